package s3

import (
	"net/http"
	"strconv"

	"outbound.dev/tests/tools/aws/internal/cloud"
)

const encryptionHeader = "X-Amz-Server-Side-Encryption"

const (
	keyHeader       = encryptionHeader + "-Aws-Kms-Key-Id"
	bucketKeyHeader = encryptionHeader + "-Bucket-Key-Enabled"
)

// describeEncryption: what the headers ask for, else the bucket's default.
func (c *call) describeEncryption() error {
	header := c.request.Header
	asked := cloud.Encryption{
		Algorithm: header.Get(encryptionHeader),
		Key:       header.Get(keyHeader),
		BucketKey: header.Get(bucketKeyHeader) == "true",
	}
	c.object.Asked = asked
	switch asked.Algorithm {
	case "":
		if asked.Key != "" {
			return refusal(400, "InvalidArgument", "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
		}
		asked = c.bucket.Encryption
	case "AES256", "aws:kms":
	default:
		return refusal(400, "InvalidArgument", "The encryption method specified is not supported")
	}
	if asked.Algorithm == "aws:kms" {
		asked.Key = c.server.Cloud.KeyARN(c.caller, c.bucket.Region, asked.Key)
	}
	c.object.Encryption = asked
	return nil
}

// checkKey asks KMS. A new object or upload needs a data key; what is added to an upload, or read,
// needs it decrypted: so an upload can begin and then fail, where a small PUT works.
func (c *call) checkKey() error {
	encryption := c.object.Encryption
	action := ""
	switch {
	case c.writes:
		action = "kms:GenerateDataKey"
	case c.name == "UploadPart", c.name == "CompleteMultipartUpload":
		action = "kms:Decrypt"
	case c.name == "GetObject", c.name == "HeadObject":
		object, _ := c.server.Cloud.Object(c.bucketName, c.key)
		c.object = object
		encryption = object.Encryption
		if c.name == "GetObject" {
			action = "kms:Decrypt"
		}
	}
	if encryption.Algorithm != "aws:kms" || action == "" {
		return nil
	}
	c.entry.Actions = append(c.entry.Actions, action)
	context := c.arn()
	if encryption.BucketKey {
		context = c.bucket.ARN()
	}
	if refused := c.server.Cloud.UseKey(c.caller, c.bucket, action, encryption.Key, context); refused != nil {
		return refused
	}
	return nil
}

// tellEncryption adds to an answer what S3 says of an object's encryption and storage class.
func (c *call) tellEncryption(header http.Header) {
	switch c.name {
	case "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject", "GetObject", "HeadObject":
	default:
		return
	}
	encryption := c.object.Encryption
	if encryption.Algorithm == "" {
		return
	}
	header.Set(encryptionHeader, encryption.Algorithm)
	if encryption.Algorithm == "aws:kms" {
		header.Set(keyHeader, encryption.Key)
		if encryption.BucketKey {
			header.Set(bucketKeyHeader, strconv.FormatBool(true))
		}
	}
	reads := c.name == "GetObject" || c.name == "HeadObject"
	if reads && c.object.StorageClass != "STANDARD" {
		header.Set("X-Amz-Storage-Class", c.object.StorageClass)
	}
}
