// Package s3 stands before a real S3 server that keeps the bytes: here are AWS's accounts, policies,
// Object Ownership and KMS, and what S3 says of them; there are objects, uploads, checksums and
// conditions. Each request is authenticated, authorized, sent on as the gateway's own, and logged.
package s3

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"outbound.dev/tests/tools/aws/internal/cloud"
	"outbound.dev/tests/tools/aws/internal/sigv4"
)

// Server is the service.
type Server struct {
	Cloud   *cloud.Cloud
	Gateway Gateway
}

// call is one request on its way.
type call struct {
	server  *Server
	request *http.Request
	query   url.Values
	operation
	bucketName string
	key        string
	caller     cloud.Caller
	bucket     cloud.Bucket
	// object is what a new object or upload will be, or what the upload at hand was begun as.
	object cloud.Object
	// keys are those of policies' conditions.
	keys  map[string]string
	entry *cloud.Entry
}

// answer is what goes back to the client.
type answer struct {
	status int
	header http.Header
	body   io.ReadCloser
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	bucket, key := place(request.URL.Path)
	entry := cloud.Entry{
		Time: time.Now(), Service: "s3", Caller: cloud.Nobody.ARN, Actions: []string{},
		Method: request.Method, Bucket: bucket, Key: key, Query: request.URL.RawQuery,
		Headers: telling(request.Header),
	}
	call := &call{
		server: s, request: request, query: request.URL.Query(),
		bucketName: bucket, key: key, caller: cloud.Nobody, entry: &entry,
	}
	answer, err := call.answer()
	if err != nil {
		answer = call.refuse(err)
		// A client that still sends its body would meet a closed connection instead of the answer.
		_, _ = io.Copy(io.Discard, request.Body)
	}
	entry.Status = answer.status
	// Before the client can see the answer: who has it finds it in the log.
	s.Cloud.Record(entry)
	defer func() { _ = answer.body.Close() }()
	for name, values := range answer.header {
		writer.Header()[name] = values
	}
	writer.WriteHeader(answer.status)
	_, _ = io.Copy(writer, answer.body)
}

// telling are the headers that the log keeps.
func telling(header http.Header) map[string]string {
	kept := map[string]string{}
	for name := range header {
		lower := strings.ToLower(name)
		switch {
		case lower == "x-amz-security-token", lower == "x-amz-date", lower == "x-amz-content-sha256":
		case strings.HasPrefix(lower, "x-amz-"), strings.HasPrefix(lower, "if-"), lower == "content-md5", lower == "content-length":
			kept[lower] = header.Get(name)
		}
	}
	return kept
}

// answer goes through the steps in the order in which AWS lets its refusals be seen.
func (c *call) answer() (*answer, error) {
	operation, known := find(c.request.Method, c.key != "", c.query)
	if !known || c.request.Header.Get("X-Amz-Copy-Source") != "" {
		return nil, refusal(501, "NotImplemented", "A header or a query that you provided implies functionality that is not implemented.")
	}
	c.operation = operation
	c.entry.Operation = operation.name
	if c.bucketName == "" {
		return nil, refusal(501, "NotImplemented", "Buckets aren't listed here.")
	}
	if err := c.authenticate(); err != nil {
		return nil, err
	}
	if c.name == "CreateBucket" {
		return c.createBucket()
	}
	var found bool
	if c.bucket, found = c.server.Cloud.Bucket(c.bucketName); !found {
		return nil, refusal(404, "NoSuchBucket", "The specified bucket does not exist")
	}
	for _, step := range []func() error{c.checkRegion, c.checkOwner, c.describe, c.authorize, c.checkACL, c.checkKey, c.checkArchive} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	switch c.name {
	case "GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy", "GetBucketLocation":
		return c.configure()
	default:
		return c.forward()
	}
}

func refusal(status int, code, message string) error {
	return &cloud.Refusal{Status: status, Code: code, Message: message}
}

// authenticate finds who signed.
func (c *call) authenticate() error {
	signature, err := sigv4.Parse(c.request)
	switch {
	case errors.Is(err, sigv4.ErrUnsigned):
		return nil // nobody; a policy may still allow that
	case err != nil:
		return refusal(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the authorization component is incomplete.")
	}
	caller, secret, trouble := c.server.Cloud.Lookup(signature.AccessKeyID, c.request.Header.Get("X-Amz-Security-Token"))
	switch trouble {
	case cloud.UnknownKey:
		return refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
	case cloud.WrongToken:
		return refusal(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	case cloud.Expired:
		return refusal(400, "ExpiredToken", "The provided token has expired.")
	}
	signed, err := sigv4.Time(c.request)
	if err != nil || time.Since(signed).Abs() > 15*time.Minute {
		return refusal(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
	}
	hash := c.request.Header.Get("X-Amz-Content-Sha256")
	if strings.HasPrefix(hash, "STREAMING-AWS4-") {
		return refusal(501, "NotImplemented", "Chunks that are signed one by one aren't implemented here.")
	}
	if signature.Service != "s3" || !signature.Matches(c.request, secret, hash) {
		return refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	}
	c.caller = caller
	c.entry.Caller = caller.ARN
	return nil
}

// checkRegion: a bucket answers in its own region only.
func (c *call) checkRegion() error {
	signature, err := sigv4.Parse(c.request)
	if err != nil || signature.Region == c.bucket.Region {
		return nil
	}
	return &wrongRegion{signed: signature.Region, right: c.bucket.Region}
}

// checkOwner compares with the owner that the client expects.
func (c *call) checkOwner() error {
	expected := c.request.Header.Get("X-Amz-Expected-Bucket-Owner")
	if expected == "" || expected == c.bucket.Owner.ID {
		return nil
	}
	return refusal(403, "AccessDenied", "Access Denied")
}
