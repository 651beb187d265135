package sigv4

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	key    = "AKIAEXAMPLE"
	secret = "wJalr/XUtn+FEMI"
	body   = "UNSIGNED-PAYLOAD"
)

var urls = []string{
	"http://127.0.0.1:9000/",
	"http://127.0.0.1:9000/bucket/a%20b/%C3%A9+=~$?uploads",
	"http://127.0.0.1:9000/bucket/a//b?uploadId=x%2Fy&partNumber=1&x-id=UploadPart",
	"http://127.0.0.1:9000/bucket?a-b=1&a=2&list-type=2&prefix=a%2Bb%20c",
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	request, err := http.NewRequest(http.MethodPut, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.URL.RawPath = EscapePath(request.URL.Path)
	request.Header.Set("X-Amz-Content-Sha256", body)
	request.Header.Set("X-Amz-Meta-Note", "  two   words ")
	request.Header.Set("Content-Type", "text/plain")
	return request
}

// What AWS's own library signs is found right, and only with the right secret.
func TestMatchesWhatTheSDKSigns(t *testing.T) {
	for _, url := range urls {
		signed := request(t, url)
		signer := v4.NewSigner(func(options *v4.SignerOptions) { options.DisableURIPathEscaping = true })
		credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}
		if err := signer.SignHTTP(context.Background(), credentials, signed, body, "s3", "eu-west-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		signature, err := Parse(signed)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if signature.AccessKeyID != key || signature.Region != "eu-west-1" || signature.Service != "s3" {
			t.Errorf("%s: %+v", url, signature)
		}
		if !signature.Matches(signed, secret, body) {
			t.Errorf("%s: a good signature is refused", url)
		}
		if signature.Matches(signed, secret+"x", body) || signature.Matches(signed, secret, "other") {
			t.Errorf("%s: a bad signature is accepted", url)
		}
		signed.Header.Set("X-Amz-Meta-Note", "changed")
		if signature.Matches(signed, secret, body) {
			t.Errorf("%s: a changed header is accepted", url)
		}
	}
}

func TestMatchesWhatItSigns(t *testing.T) {
	for _, url := range urls {
		signed := request(t, url)
		Sign(signed, key, secret, "us-east-1", "s3", body)
		signature, err := Parse(signed)
		if err != nil || !signature.Matches(signed, secret, body) {
			t.Errorf("%s: %v %+v", url, err, signature)
		}
	}
}

func TestParseRefusesWhatIsNoSignature(t *testing.T) {
	for header, expected := range map[string]error{
		"":                         ErrUnsigned,
		"Bearer x":                 ErrMalformed,
		"AWS4-HMAC-SHA256 nothing": ErrMalformed,
		"AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=e": ErrMalformed,
	} {
		unsigned := request(t, urls[0])
		unsigned.Header.Set("Authorization", header)
		if _, err := Parse(unsigned); err != expected {
			t.Errorf("%q: %v", header, err)
		}
	}
}
