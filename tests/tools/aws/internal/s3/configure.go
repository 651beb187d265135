package s3

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"

	"outbound.dev/tests/tools/aws/internal/sigv4"
)

// longestPolicy is S3's limit for a bucket's policy.
const longestPolicy = 20 << 10

// createBucket makes one in the caller's account, in the region that was signed for.
func (c *call) createBucket() (*answer, error) {
	arn := "arn:aws:s3:::" + c.bucketName
	c.entry.Actions = append(c.entry.Actions, c.action)
	decision, account := c.server.Cloud.AuthorizeAccount(c.caller, c.action, arn, map[string]string{})
	if !decision.Allowed {
		return nil, refusal(403, "AccessDenied", decision.S3Message())
	}
	if _, taken := c.server.Cloud.Bucket(c.bucketName); taken {
		return nil, refusal(409, "BucketAlreadyExists", "The requested bucket name is not available.")
	}
	signature, err := sigv4.Parse(c.request)
	if err != nil {
		return nil, err
	}
	if err := c.server.AddBucket(c.bucketName, account.ID, signature.Region); err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, header: http.Header{"Location": {"/" + c.bucketName}}, body: http.NoBody}, nil
}

// AddBucket makes an empty bucket of that account.
func (s *Server) AddBucket(name, owner, region string) error {
	response, err := s.Gateway.send(http.MethodPut, "/"+name, "", http.Header{}, nil, 0)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, longestText))
		return fmt.Errorf("bucket %s: %s %s", name, response.Status, text)
	}
	return s.Cloud.AddBucket(name, owner, region)
}

// configure answers what concerns a bucket's settings, which the gateway doesn't have.
func (c *call) configure() (*answer, error) {
	state := c.server.Cloud
	switch c.name {
	case "GetBucketPolicy":
		if c.bucket.Policy == nil {
			return nil, refusal(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
		}
		header := http.Header{"Content-Type": {"application/json"}}
		return &answer{status: http.StatusOK, header: header, body: io.NopCloser(strings.NewReader(c.bucket.Policy.String()))}, nil
	case "GetBucketLocation":
		type location struct {
			XMLName   xml.Name `xml:"LocationConstraint"`
			Namespace string   `xml:"xmlns,attr"`
			Region    string   `xml:",chardata"`
		}
		region := c.bucket.Region
		if region == "us-east-1" {
			region = ""
		}
		return document(http.StatusOK, location{Namespace: namespace, Region: region}), nil
	}
	text := ""
	if c.name == "PutBucketPolicy" {
		body, err := io.ReadAll(io.LimitReader(c.request.Body, longestPolicy))
		if err != nil {
			return nil, err
		}
		text = string(body)
		if text == "" {
			return nil, refusal(400, "MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
		}
	}
	if err := state.SetBucketPolicy(c.bucketName, text); err != nil {
		return nil, refusal(400, "MalformedPolicy", err.Error())
	}
	return &answer{status: http.StatusNoContent, header: http.Header{}, body: http.NoBody}, nil
}
