package s3

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"

	"outbound.dev/tests/tools/aws/internal/cloud"
	"outbound.dev/tests/tools/aws/internal/sigv4"
)

// Gateway is the real S3 server: where it listens and its administrator's key.
type Gateway struct {
	Transport   http.RoundTripper
	AccessKeyID string
	Secret      string
}

// gatewayRegion is the only one that the gateway knows.
const gatewayRegion = "us-east-1"

// longestText bounds the answers that are read as a whole: a listing of 1,000 uploads.
const longestText = 8 << 20

// Headers that the gateway must not see: they concern accounts, keys, or this connection.
var withheld = map[string]bool{
	"Authorization": true, "X-Amz-Security-Token": true, "X-Amz-Date": true, "X-Amz-Expected-Bucket-Owner": true,
	"X-Amz-Acl": true, "X-Amz-Request-Payer": true, "X-Amz-Storage-Class": true, "Connection": true,
	"Expect": true, "Accept-Encoding": true, encryptionHeader: true, keyHeader: true, bucketKeyHeader: true,
}

// send makes the gateway's own request of it and returns the answer.
func (g Gateway) send(method, path, query string, header http.Header, body io.Reader, length int64) (*http.Response, error) {
	target := &url.URL{Scheme: "http", Host: "gateway", Path: path, RawPath: sigv4.EscapePath(path), RawQuery: query}
	request, err := http.NewRequest(method, target.String(), body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = length
	if length == 0 {
		request.Body = http.NoBody
	}
	for name, values := range header {
		if !withheld[name] && !strings.HasPrefix(name, "X-Amz-Grant-") {
			request.Header[name] = values
		}
	}
	hash := header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		hash = "UNSIGNED-PAYLOAD"
		request.Header.Set("X-Amz-Content-Sha256", hash)
	}
	sigv4.Sign(request, g.AccessKeyID, g.Secret, gatewayRegion, "s3", hash)
	return g.Transport.RoundTrip(request)
}

// forward lets the gateway do it, and adds what AWS would say and remember.
func (c *call) forward() (*answer, error) {
	request := c.request
	response, err := c.server.Gateway.send(request.Method, request.URL.Path, request.URL.RawQuery, request.Header, request.Body, request.ContentLength)
	if err != nil {
		return nil, err
	}
	reply := &answer{status: response.StatusCode, header: response.Header, body: response.Body}
	for _, name := range []string{"Connection", "Keep-Alive", "Server", "Date"} {
		reply.header.Del(name)
	}
	if reply.status >= 400 {
		return c.refused(reply)
	}
	reply.header.Del("X-Amz-Storage-Class")
	c.tellEncryption(reply.header)
	return reply, c.remember(reply)
}

// refused: who may not list a bucket isn't told that a key isn't there.
func (c *call) refused(reply *answer) (*answer, error) {
	hidden := c.action == "s3:GetObject" && reply.status == http.StatusNotFound
	if hidden {
		// Not logged: no client asks for that.
		if decision := c.decide("s3:ListBucket", c.bucket.ARN()); !decision.Allowed {
			_ = reply.body.Close()
			return nil, refusal(403, "AccessDenied", decision.S3Message())
		}
	}
	text, err := reply.read()
	if err != nil {
		return nil, err
	}
	var failed struct{ Code, Message string }
	if xml.Unmarshal(text, &failed) == nil {
		c.entry.Code, c.entry.Message = failed.Code, failed.Message
	}
	return reply, nil
}

// read takes the body as a whole and leaves it there to be sent.
func (a *answer) read() ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(a.body, longestText))
	if err != nil {
		return nil, err
	}
	_ = a.body.Close()
	a.body = io.NopCloser(bytes.NewReader(text))
	return text, nil
}

// remember keeps what later requests are held against.
func (c *call) remember(reply *answer) error {
	state := c.server.Cloud
	uploadID := c.query.Get("uploadId")
	switch c.name {
	case "PutObject":
		state.KeepObject(c.bucketName, c.key, c.object)
	case "DeleteObject":
		state.ForgetObject(c.bucketName, c.key)
	case "DeleteBucket":
		state.RemoveBucket(c.bucketName)
	case "AbortMultipartUpload":
		state.ForgetUpload(c.bucketName, uploadID)
	case "CreateMultipartUpload":
		text, err := reply.read()
		if err != nil {
			return err
		}
		var created struct{ UploadId string }
		if err := xml.Unmarshal(text, &created); err != nil {
			return err
		}
		state.KeepUpload(c.bucketName, cloud.Upload{Key: c.key, ID: created.UploadId, Object: c.object})
	case "CompleteMultipartUpload":
		text, err := reply.read()
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("<CompleteMultipartUploadResult")) && c.object.Owner != "" {
			state.KeepObject(c.bucketName, c.key, c.object)
			state.ForgetUpload(c.bucketName, uploadID)
		}
	case "ListMultipartUploads":
		return c.tellInitiators(reply)
	case "ListObjectsV2":
		return c.tellClasses(reply)
	}
	return nil
}
