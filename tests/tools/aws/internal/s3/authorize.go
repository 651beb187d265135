package s3

import (
	"net/url"
	"strings"

	"outbound.dev/tests/tools/aws/internal/cloud"
)

const fullControl = "bucket-owner-full-control"

// describe finds out what the new object or upload shall be, or what the upload at hand was begun as,
// and from it the keys of policies' conditions.
func (c *call) describe() error {
	if upload, known := c.server.Cloud.Upload(c.bucketName, c.query.Get("uploadId")); known && upload.Key == c.key {
		// Parts and Complete carry no such headers; S3 holds policies against those of the Create.
		c.object = upload.Object
	} else if c.writes {
		if err := c.describeNew(); err != nil {
			return err
		}
	}
	header := c.request.Header
	keys := map[string]string{
		"aws:securetransport": "false",
		"aws:resourceaccount": c.bucket.Owner.ID,
		"s3:resourceaccount":  c.bucket.Owner.ID,
		"s3:authtype":         "REST-HEADER",
		"s3:signatureversion": "AWS4-HMAC-SHA256",
	}
	if c.request.TLS != nil {
		keys["aws:securetransport"] = "true"
	}
	set := func(key, value string) {
		if value != "" {
			keys[key] = value
		}
	}
	set("s3:prefix", c.query.Get("prefix"))
	set("s3:if-none-match", header.Get("If-None-Match"))
	set("s3:x-amz-acl", c.object.ACL)
	set("s3:x-amz-server-side-encryption", c.object.Asked.Algorithm)
	set("s3:x-amz-server-side-encryption-aws-kms-key-id", c.object.Asked.Key)
	if c.object.StorageClass != "" {
		set("s3:x-amz-storage-class", c.object.StorageClass)
	}
	for key, value := range c.object.Tags {
		keys["s3:requestobjecttag/"+strings.ToLower(key)] = value
	}
	c.keys = keys
	return nil
}

// describeNew reads a write's headers.
func (c *call) describeNew() error {
	header := c.request.Header
	c.object = cloud.Object{
		ACL:          header.Get("X-Amz-Acl"),
		Writer:       c.caller.ARN,
		Owner:        c.caller.Account,
		StorageClass: header.Get("X-Amz-Storage-Class"),
	}
	takesOver := c.bucket.Ownership == cloud.BucketOwnerPreferred && c.object.ACL == fullControl
	if c.bucket.Ownership == cloud.BucketOwnerEnforced || takesOver {
		c.object.Owner = c.bucket.Owner.ID
	}
	if c.object.StorageClass == "" {
		c.object.StorageClass = "STANDARD"
	}
	c.object.Archived = c.object.StorageClass == "GLACIER" || c.object.StorageClass == "DEEP_ARCHIVE"
	if text := header.Get("X-Amz-Tagging"); text != "" {
		tags, err := url.ParseQuery(text)
		if err != nil || len(tags) > 10 {
			return refusal(400, "InvalidArgument", "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
		}
		c.object.Tags = map[string]string{}
		for key := range tags {
			c.object.Tags[key] = tags.Get(key)
		}
	}
	return c.describeEncryption()
}

// actions are all that the caller must be allowed, in the order in which S3 asks.
func (c *call) actions() []string {
	actions := []string{c.action}
	if c.writes && c.sendsACL() {
		actions = append(actions, "s3:PutObjectAcl")
	}
	if c.writes && c.request.Header.Get("X-Amz-Tagging") != "" {
		actions = append(actions, "s3:PutObjectTagging")
	}
	return actions
}

func (c *call) sendsACL() bool {
	for _, name := range append(grants, "X-Amz-Acl") {
		if c.request.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// arn is what the action is on.
func (c *call) arn() string {
	if c.key == "" {
		return c.bucket.ARN()
	}
	return c.bucket.ARN() + "/" + c.key
}

// authorize asks the policies for each action.
func (c *call) authorize() error {
	for _, action := range c.actions() {
		if err := c.allowed(action, c.arn()); err != nil {
			return err
		}
	}
	if c.action != "s3:GetObject" {
		return nil
	}
	object, known := c.server.Cloud.Object(c.bucketName, c.key)
	owned := object.Owner == c.bucket.Owner.ID || object.Owner == c.caller.Account
	if known && !owned && object.ACL != fullControl {
		// With ACLs enabled, a bucket's policy says nothing about the objects of others.
		return refusal(403, "AccessDenied", "Access Denied")
	}
	return nil
}

// allowed decides about one action and notes that it was asked.
func (c *call) allowed(action, arn string) error {
	c.entry.Actions = append(c.entry.Actions, action)
	if decision := c.decide(action, arn); !decision.Allowed {
		return refusal(403, "AccessDenied", decision.S3Message())
	}
	return nil
}

func (c *call) decide(action, arn string) cloud.Decision {
	return c.server.Cloud.Authorize(c.caller, c.bucket, action, arn, c.keys)
}

// checkACL: where ACLs are disabled, only the one that says nothing new is taken.
func (c *call) checkACL() error {
	if !c.writes || c.bucket.Ownership != cloud.BucketOwnerEnforced || !c.sendsACL() || c.object.ACL == fullControl {
		return nil
	}
	return refusal(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}
