package policy

import (
	"fmt"
	"strings"
	"testing"
)

const (
	account = "222222222222"
	user    = "arn:aws:iam::222222222222:user/writer"
	role    = "arn:aws:iam::222222222222:role/outbound"
	session = "arn:aws:sts::222222222222:assumed-role/outbound/pod"
	object  = "arn:aws:s3:::acme/audience/a.csv"
)

var (
	asUser    = Caller{Account: account, ARN: user, ID: "AIDA1"}
	asSession = Caller{Account: account, ARN: session, RoleARN: role, ID: "AROA1"}
)

// one makes a document of one statement; `more` replaces or adds elements.
func one(t *testing.T, kind Kind, more ...string) *Document {
	t.Helper()
	elements := map[string]string{"Effect": `"Allow"`, "Action": `"s3:PutObject"`}
	if kind != Trust {
		elements["Resource"] = `"arn:aws:s3:::acme/audience/*"`
	}
	if kind != Identity {
		elements["Principal"] = `{"AWS": "` + user + `"}`
	}
	for _, element := range more {
		name, value, _ := strings.Cut(element, "=")
		if value == "" {
			delete(elements, name)
		} else {
			elements[name] = value
		}
	}
	var lines []string
	for name, value := range elements {
		lines = append(lines, fmt.Sprintf("%q: %s", name, value))
	}
	document, err := Parse(`{"Version": "2012-10-17", "Statement": [{`+strings.Join(lines, ", ")+`}]}`, kind)
	if err != nil {
		t.Fatalf("%v: %v", more, err)
	}
	return document
}

func TestPrincipals(t *testing.T) {
	for _, test := range []struct {
		principal string
		caller    Caller
		expected  Answer
	}{
		{`"*"`, Caller{}, Allowed},
		{`{"AWS": "*"}`, asUser, Allowed},
		{`{"AWS": "` + user + `"}`, asUser, Allowed},
		{`{"AWS": "` + user + `"}`, asSession, Silent},
		{`{"AWS": "` + role + `"}`, asSession, Allowed},
		{`{"AWS": "` + session + `"}`, asSession, Allowed},
		{`{"AWS": "` + session + `2"}`, asSession, Silent},
		{`{"AWS": "222222222222"}`, asSession, AccountAllowed},
		{`{"AWS": "arn:aws:iam::222222222222:root"}`, asUser, AccountAllowed},
		{`{"AWS": ["333333333333", "` + user + `"]}`, asUser, Allowed},
		{`{"AWS": "333333333333"}`, asUser, Silent},
		{`{"AWS": "222222222222"}`, Caller{}, Silent},
	} {
		document := one(t, Resource, "Principal="+test.principal)
		request := Request{Caller: test.caller, Action: "s3:PutObject", Resource: object}
		if got := document.Evaluate(request); got != test.expected {
			t.Errorf("%s for %q: %d", test.principal, test.caller.ARN, got)
		}
	}
}

func TestActionsAndResources(t *testing.T) {
	for element, expected := range map[string]Answer{
		`Action="s3:putobject"`:                             Allowed,
		`Action=["s3:GetObject", "s3:Put*"]`:                Allowed,
		`Action="s3:GetObject"`:                             Silent,
		`Action="s3:PutObjec"`:                              Silent,
		`Action="s3:PutObject?"`:                            Silent,
		`Action="*"`:                                        Allowed,
		`Resource="arn:aws:s3:::acme/*"`:                    Allowed,
		`Resource="arn:aws:s3:::*/audience/?.csv"`:          Allowed,
		`Resource="arn:aws:s3:::acme/Audience/*"`:           Silent,
		`Resource="arn:aws:s3:::acme"`:                      Silent,
		`Resource="arn:aws:s3:::acme/audience/${*}"`:        Silent,
		`Resource="arn:aws-cn:s3:::acme/audience/*"`:        Silent,
		`Effect="Deny"`:                                     Denied,
		`Condition={"Bool": {"aws:SecureTransport": true}}`: Silent,
	} {
		request := Request{Caller: asUser, Action: "s3:PutObject", Resource: object, Keys: map[string]string{"aws:securetransport": "false"}}
		if got := one(t, Identity, element).Evaluate(request); got != expected {
			t.Errorf("%s: %d", element, got)
		}
	}
	request := Request{Caller: asUser, Action: "s3:PutObject", Resource: object}
	for element, expected := range map[string]Answer{
		`NotAction="s3:PutObject"`: Silent, `NotAction="s3:Get*"`: Allowed,
	} {
		if got := one(t, Identity, "Action", element).Evaluate(request); got != expected {
			t.Errorf("%s: %d", element, got)
		}
	}
	if got := one(t, Identity, "Resource", `NotResource="`+object+`"`).Evaluate(request); got != Silent {
		t.Errorf("NotResource: %d", got)
	}
}

// A prefix with wildcards in it is meant literally, when it is written as policy variables.
func TestLiteralWildcards(t *testing.T) {
	document := one(t, Identity, `Resource="arn:aws:s3:::acme/a${*}b${?}${$}/*"`)
	for key, expected := range map[string]Answer{"a*b?$/x": Allowed, "axb?$/x": Silent, "a*bx$/x": Silent} {
		request := Request{Action: "s3:PutObject", Resource: "arn:aws:s3:::acme/" + key}
		if got := document.Evaluate(request); got != expected {
			t.Errorf("%s: %d", key, got)
		}
	}
}

func TestConditions(t *testing.T) {
	keys := map[string]string{"s3:x-amz-acl": "bucket-owner-full-control", "sts:externalid": "id-1", "n": "5"}
	for condition, expected := range map[string]bool{
		`{"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}`:              true,
		`{"StringEquals": {"S3:X-Amz-Acl": ["private", "bucket-owner-full-control"]}}`: true,
		`{"StringEquals": {"s3:x-amz-acl": "private"}}`:                                false,
		`{"StringNotEquals": {"s3:x-amz-acl": "private"}}`:                             true,
		`{"StringNotEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}`:           false,
		`{"StringEquals": {"absent": "x"}}`:                                            false,
		`{"StringNotEquals": {"absent": "x"}}`:                                         true,
		`{"StringEqualsIfExists": {"absent": "x"}}`:                                    true,
		`{"StringEquals": {"sts:ExternalId": "ID-1"}}`:                                 false,
		`{"StringEqualsIgnoreCase": {"sts:ExternalId": "ID-1"}}`:                       true,
		`{"StringLike": {"sts:ExternalId": "id-*"}}`:                                   true,
		`{"StringNotLike": {"sts:ExternalId": "id-*"}}`:                                false,
		`{"Null": {"s3:x-amz-acl": "false"}}`:                                          true,
		`{"Null": {"s3:x-amz-acl": true}}`:                                             false,
		`{"Null": {"absent": "true"}}`:                                                 true,
		`{"NumericLessThan": {"n": "6"}}`:                                              true,
		`{"NumericLessThan": {"n": 5}}`:                                                false,
		`{"NumericLessThan": {"sts:ExternalId": "6"}}`:                                 false,
		`{"StringEquals": {"sts:ExternalId": "id-1", "s3:x-amz-acl": "private"}}`:      false,
		`{"StringEquals": {"sts:ExternalId": "id-1"}, "Null": {"n": "true"}}`:          false,
	} {
		request := Request{Action: "s3:PutObject", Resource: object, Keys: keys}
		answer := one(t, Identity, "Condition="+condition).Evaluate(request)
		if (answer == Allowed) != expected {
			t.Errorf("%s: %d", condition, answer)
		}
	}
}

func TestAnExplicitDenyWins(t *testing.T) {
	request := Request{Action: "s3:PutObject", Resource: object}
	documents := []*Document{one(t, Identity), one(t, Identity, `Effect="Deny"`, `Action="s3:*"`), nil}
	if got := EvaluateAll(documents, request); got != Denied {
		t.Error(got)
	}
}

// A policy keeps who a principal was when it was attached, not the name.
func TestARoleThatWasMadeAgainIsSomebodyElse(t *testing.T) {
	document := one(t, Resource, `Principal={"AWS": "`+role+`"}`)
	request := Request{Caller: asSession, Action: "s3:PutObject", Resource: object}
	bind := func(arn string) (string, bool) { return "AROA1", arn == role }
	if err := document.Bind(bind); err != nil || document.Evaluate(request) != Allowed {
		t.Error(err)
	}
	request.Caller.ID = "AROA2"
	if document.Evaluate(request) != Silent {
		t.Error("the new role is taken for the old one")
	}
	if document.Bind(func(string) (string, bool) { return "", false }) == nil {
		t.Error("a principal that does not exist is accepted")
	}
}

func TestInvalidDocumentsAreRefused(t *testing.T) {
	const good = `"Effect": "Allow", "Action": "s3:*", "Resource": "*"`
	for text, kind := range map[string]Kind{
		`{`: Identity,
		`{"Version": "2008-10-17", "Statement": [{` + good + `}]}`:                                                           Identity,
		`{"Version": "2012-10-17", "Statement": []}`:                                                                         Identity,
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Permit", "Action": "a", "Resource": "*"}]}`:                     Identity,
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*"}]}`:                                     Identity,
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*"}]}`:                                    Identity,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Principal": "*"}]}`:                                         Identity,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Other": 1}]}`:                                               Identity,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Condition": {"DateLessThan": {"a": "b"}}}]}`:                Identity,
		`{"Version": "2012-10-17", "Statement": [{` + good + `}]}`:                                                           Resource,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Principal": {"AWS": []}}]}`:                                 Resource,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Principal": {"AWS": "us"}}]}`:                               Resource,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Principal": {"Service": "x"}}]}`:                            Resource,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Principal": {"AWS": "arn:aws:iam::222222222222:role/*"}}]}`: Resource,
		`{"Version": "2012-10-17", "Statement": [{` + good + `, "Principal": {"AWS": "*"}}]}`:                                Trust,
	} {
		if _, err := Parse(text, kind); err == nil {
			t.Errorf("accepted: %s", text)
		}
	}
}
