// Package sts answers the Security Token Service's query protocol: AssumeRole and GetCallerIdentity.
package sts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"outbound.dev/tests/tools/aws/internal/cloud"
	"outbound.dev/tests/tools/aws/internal/sigv4"
)

// Server is the service; its region is whatever a client signs for.
type Server struct {
	Cloud *cloud.Cloud
}

const namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// longestBody bounds a request: session policies may have 2,048 characters.
const longestBody = 64 << 10

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	entry := cloud.Entry{Time: time.Now(), Service: "sts", Caller: cloud.Nobody.ARN, Method: request.Method, Status: 200, Actions: []string{}}
	answer, err := s.answer(request, &entry)
	if err != nil {
		answer = failure(err, &entry)
	}
	s.Cloud.Record(entry)
	writer.Header().Set("Content-Type", "text/xml")
	writer.Header().Set("X-Amzn-Requestid", requestID)
	writer.WriteHeader(entry.Status)
	_ = xml.NewEncoder(writer).Encode(answer)
}

const requestID = "00000000-0000-4000-8000-000000000000"

func (s *Server) answer(request *http.Request, entry *cloud.Entry) (any, error) {
	body, err := io.ReadAll(io.LimitReader(request.Body, longestBody))
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &cloud.Refusal{Status: 400, Code: "MalformedQueryString", Message: err.Error()}
	}
	entry.Operation = form.Get("Action")
	caller, err := s.authenticate(request, body)
	entry.Caller = caller.ARN
	if err != nil {
		return nil, err
	}
	switch entry.Operation {
	case "AssumeRole":
		entry.Actions = []string{"sts:AssumeRole"}
		entry.Key = form.Get("RoleArn")
		entry.Headers = map[string]string{"ExternalId": form.Get("ExternalId"), "DurationSeconds": form.Get("DurationSeconds")}
		return s.assumeRole(caller, form)
	case "GetCallerIdentity":
		// Needs no right at all.
		return identity{Namespace: namespace, ARN: caller.ARN, UserID: caller.UserID, Account: caller.Account, RequestID: requestID}, nil
	default:
		return nil, &cloud.Refusal{Status: 400, Code: "InvalidAction", Message: "Could not find operation " + entry.Operation + " for version " + form.Get("Version")}
	}
}

func (s *Server) authenticate(request *http.Request, body []byte) (cloud.Caller, error) {
	signature, err := sigv4.Parse(request)
	if err != nil {
		return cloud.Nobody, &cloud.Refusal{Status: 403, Code: "MissingAuthenticationToken", Message: "Request is missing Authentication Token"}
	}
	caller, secret, trouble := s.Cloud.Lookup(signature.AccessKeyID, request.Header.Get("X-Amz-Security-Token"))
	switch trouble {
	case cloud.UnknownKey, cloud.WrongToken:
		return cloud.Nobody, &cloud.Refusal{Status: 403, Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid."}
	case cloud.Expired:
		return cloud.Nobody, &cloud.Refusal{Status: 403, Code: "ExpiredToken", Message: "The security token included in the request is expired"}
	}
	hash := sha256.Sum256(body)
	if signature.Service != "sts" || !signature.Matches(request, secret, hex.EncodeToString(hash[:])) {
		return cloud.Nobody, &cloud.Refusal{Status: 403, Code: "SignatureDoesNotMatch", Message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	signed, err := sigv4.Time(request)
	if err != nil || time.Since(signed).Abs() > 5*time.Minute {
		return cloud.Nobody, &cloud.Refusal{Status: 403, Code: "SignatureDoesNotMatch", Message: "Signature expired: " + request.Header.Get("X-Amz-Date") + " is now earlier than " + time.Now().UTC().Format("20060102T150405Z")}
	}
	return caller, nil
}

// What AssumeRole's reference gives for its parameters.
var (
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`) // 1,224 at most: more than a pattern here may repeat
	roleARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/.+$`)
)

func (s *Server) assumeRole(caller cloud.Caller, form url.Values) (any, error) {
	asked := cloud.Assumption{
		Role:       form.Get("RoleArn"),
		Session:    form.Get("RoleSessionName"),
		ExternalID: form.Get("ExternalId"),
		Policy:     form.Get("Policy"),
		Lasts:      time.Hour,
	}
	switch {
	case !roleARN.MatchString(asked.Role):
		return nil, invalid("roleArn", asked.Role, roleARN.String())
	case !sessionName.MatchString(asked.Session):
		return nil, invalid("roleSessionName", asked.Session, sessionName.String())
	case form.Has("ExternalId") && (len(asked.ExternalID) > 1224 || !externalID.MatchString(asked.ExternalID)):
		return nil, invalid("externalId", asked.ExternalID, externalID.String())
	}
	if text := form.Get("DurationSeconds"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 900 || seconds > 43200 {
			return nil, &cloud.Refusal{Status: 400, Code: "ValidationError", Message: fmt.Sprintf("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900", text)}
		}
		asked.Lasts = time.Duration(seconds) * time.Second
	}
	opened, err := s.Cloud.AssumeRole(caller, asked)
	if err != nil {
		return nil, err
	}
	return assumed{
		Namespace: namespace, ID: opened.RoleID, ARN: opened.ARN,
		AccessKeyID: opened.AccessKeyID, Secret: opened.SecretAccessKey, Token: opened.SessionToken,
		Expiration: opened.Expiration.UTC().Format("2006-01-02T15:04:05Z"), RequestID: requestID,
	}, nil
}

func invalid(member, value, pattern string) error {
	return &cloud.Refusal{Status: 400, Code: "ValidationError", Message: fmt.Sprintf("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", value, member, pattern)}
}

type identity struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

type assumed struct {
	XMLName     xml.Name `xml:"AssumeRoleResponse"`
	Namespace   string   `xml:"xmlns,attr"`
	ID          string   `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
	ARN         string   `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	AccessKeyID string   `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret      string   `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token       string   `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expiration  string   `xml:"AssumeRoleResult>Credentials>Expiration"`
	RequestID   string   `xml:"ResponseMetadata>RequestId"`
}

type failed struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func failure(err error, entry *cloud.Entry) failed {
	var refusal *cloud.Refusal
	if !errors.As(err, &refusal) {
		refusal = &cloud.Refusal{Status: 500, Code: "InternalFailure", Message: err.Error()}
	}
	entry.Status, entry.Code, entry.Message = refusal.Status, refusal.Code, refusal.Message
	return failed{Namespace: namespace, Type: "Sender", Code: refusal.Code, Message: refusal.Message, RequestID: requestID}
}
