// Package sigv4 checks and makes AWS Signature Version 4 in the Authorization header. Bodies are checked
// elsewhere against the hash that was signed.
package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature is what a request claims.
type Signature struct {
	AccessKeyID string
	Date        string
	Region      string
	Service     string
	headers     []string
	signature   string
}

// Errors of [Parse].
var (
	// ErrUnsigned: no signature at all.
	ErrUnsigned = errors.New("the request isn't signed")
	// ErrMalformed: an Authorization header that is none of this kind.
	ErrMalformed = errors.New("the authorization header is malformed")
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
)

// Parse reads the Authorization header.
func Parse(request *http.Request) (Signature, error) {
	header := request.Header.Get("Authorization")
	if header == "" {
		return Signature{}, ErrUnsigned
	}
	fields, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return Signature{}, ErrMalformed
	}
	var found Signature
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 || scope[4] != terminator {
				return Signature{}, ErrMalformed
			}
			found.AccessKeyID, found.Date, found.Region, found.Service = scope[0], scope[1], scope[2], scope[3]
		case "SignedHeaders":
			found.headers = strings.Split(value, ";")
		case "Signature":
			found.signature = value
		}
	}
	if found.AccessKeyID == "" || found.signature == "" || !slices.Contains(found.headers, "host") {
		return Signature{}, ErrMalformed
	}
	return found, nil
}

// Time is when the request was signed.
func Time(request *http.Request) (time.Time, error) {
	return time.Parse(timeFormat, request.Header.Get("X-Amz-Date"))
}

// Matches tells whether that secret signed the request, whose body has that hash (or what stands for
// one in x-amz-content-sha256).
func (s Signature) Matches(request *http.Request, secret, bodyHash string) bool {
	return hmac.Equal([]byte(s.compute(request, secret, bodyHash)), []byte(s.signature))
}

// Sign signs a request now. All its x-amz-* headers and its Content-* are covered.
func Sign(request *http.Request, accessKeyID, secret, region, service, bodyHash string) {
	now := time.Now().UTC().Format(timeFormat)
	request.Header.Set("X-Amz-Date", now)
	request.Header.Del("Authorization")
	made := Signature{AccessKeyID: accessKeyID, Date: now[:8], Region: region, Service: service, headers: []string{"host"}}
	for name := range request.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") || name == "content-md5" || name == "content-type" {
			made.headers = append(made.headers, name)
		}
	}
	slices.Sort(made.headers)
	request.Header.Set("Authorization", algorithm+" Credential="+accessKeyID+"/"+made.scope()+
		", SignedHeaders="+strings.Join(made.headers, ";")+", Signature="+made.compute(request, secret, bodyHash))
}

func (s Signature) scope() string {
	return strings.Join([]string{s.Date, s.Region, s.Service, terminator}, "/")
}

func (s Signature) compute(request *http.Request, secret, bodyHash string) string {
	canonical := strings.Join([]string{
		request.Method,
		EscapePath(request.URL.Path),
		canonicalQuery(request.URL.RawQuery),
		s.canonicalHeaders(request),
		strings.Join(s.headers, ";"),
		bodyHash,
	}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{algorithm, request.Header.Get("X-Amz-Date"), s.scope(), hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.Date, s.Region, s.Service, terminator} {
		key = authenticate(key, part)
	}
	return hex.EncodeToString(authenticate(key, text))
}

func authenticate(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func (s Signature) canonicalHeaders(request *http.Request) string {
	var lines strings.Builder
	for _, name := range s.headers {
		var value string
		switch name {
		case "host":
			value = request.Host
		case "content-length":
			value = strconv.FormatInt(request.ContentLength, 10)
		default:
			value = strings.Join(request.Header.Values(name), ",")
		}
		lines.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	return lines.String()
}

func canonicalQuery(raw string) string {
	type parameter struct{ name, value string }
	var all []parameter
	for pair := range strings.SplitSeq(raw, "&") {
		if pair != "" {
			name, value, _ := strings.Cut(pair, "=")
			all = append(all, parameter{reescape(name), reescape(value)})
		}
	}
	slices.SortFunc(all, func(a, b parameter) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	var pairs []string
	for _, one := range all {
		pairs = append(pairs, one.name+"="+one.value)
	}
	return strings.Join(pairs, "&")
}

func reescape(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		plain = text
	}
	return escape(plain, false)
}

// EscapePath encodes a path as SigV4 for S3 wants it: once, and no slash.
func EscapePath(path string) string { return escape(path, true) }

// escape encodes as SigV4 wants it: all but unreserved characters, and slashes of a path.
func escape(text string, slashes bool) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	const digits = "0123456789ABCDEF"
	var escaped strings.Builder
	for at := range len(text) {
		char := text[at]
		if strings.IndexByte(unreserved, char) >= 0 || slashes && char == '/' {
			escaped.WriteByte(char)
		} else {
			escaped.Write([]byte{'%', digits[char>>4], digits[char&15]})
		}
	}
	return escaped.String()
}
