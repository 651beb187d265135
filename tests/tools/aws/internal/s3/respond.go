package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/versity/versitygw/s3response"

	"outbound.dev/tests/tools/aws/internal/cloud"
)

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// requestID: nobody looks one up here.
const requestID = "TESTAWS000000000"

// wrongRegion: the bucket is elsewhere than the client signed for.
type wrongRegion struct{ signed, right string }

// Error implements error.
func (w *wrongRegion) Error() string {
	return fmt.Sprintf("The authorization header is malformed; the region '%s' is wrong; expecting '%s'", w.signed, w.right)
}

type failure struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Region    string `xml:",omitempty"`
	Resource  string
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

// refuse makes an answer of an error, and notes it.
func (c *call) refuse(err error) *answer {
	told := failure{Resource: c.request.URL.Path, RequestID: requestID, HostID: requestID}
	status := http.StatusInternalServerError
	header := http.Header{}
	var refusal *cloud.Refusal
	var elsewhere *wrongRegion
	switch {
	case errors.As(err, &refusal):
		status, told.Code, told.Message = refusal.Status, refusal.Code, refusal.Message
	case errors.As(err, &elsewhere):
		status, told.Code, told.Message, told.Region = 400, "AuthorizationHeaderMalformed", elsewhere.Error(), elsewhere.right
		header.Set("X-Amz-Bucket-Region", elsewhere.right)
	default:
		told.Code, told.Message = "InternalError", err.Error()
	}
	c.entry.Code, c.entry.Message = told.Code, told.Message
	reply := document(status, told)
	reply.header.Set("X-Amz-Request-Id", requestID)
	reply.header.Set("X-Amz-Id-2", requestID)
	for name, values := range header {
		reply.header[name] = values
	}
	if c.request.Method == http.MethodHead {
		reply.body = http.NoBody
	}
	return reply
}

// document is an answer in XML.
func document(status int, value any) *answer {
	text, err := xml.Marshal(value)
	if err != nil {
		text = []byte(xml.Header)
		status = http.StatusInternalServerError
	}
	header := http.Header{"Content-Type": {"application/xml"}}
	return &answer{status: status, header: header, body: io.NopCloser(bytes.NewReader(append([]byte(xml.Header), text...)))}
}

// edit changes an answer in XML.
func edit[Document any](reply *answer, change func(*Document)) error {
	text, err := reply.read()
	if err != nil {
		return err
	}
	var document Document
	if err := xml.Unmarshal(text, &document); err != nil {
		return err
	}
	change(&document)
	if text, err = xml.Marshal(document); err != nil {
		return err
	}
	text = append([]byte(xml.Header), text...)
	reply.body = io.NopCloser(bytes.NewReader(text))
	reply.header.Del("Content-Length")
	return nil
}

// tellInitiators says in a listing of uploads who began them: to the gateway they are all its own.
func (c *call) tellInitiators(reply *answer) error {
	return edit(reply, func(listing *s3response.ListMultipartUploadsResult) {
		for at := range listing.Uploads {
			upload := &listing.Uploads[at]
			kept, known := c.server.Cloud.Upload(c.bucketName, upload.UploadID)
			if !known {
				continue
			}
			name := kept.Writer[strings.LastIndexAny(kept.Writer, ":/")+1:]
			upload.Initiator = s3response.Initiator{ID: kept.Writer, DisplayName: name}
			owner := c.bucket.Owner.CanonicalID()
			if account, known := c.server.Cloud.Account(kept.Owner); known {
				owner = account.CanonicalID()
			}
			upload.Owner = s3response.Owner{ID: owner, DisplayName: kept.Owner}
		}
	})
}
