// Package policy reads AWS policy documents and evaluates them as AWS documents it: one statement at a
// time, an explicit Deny wins.
package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Kind says where a document stands, and so what its statements must and must not hold.
type Kind int

const (
	// Identity is attached to a user or a role: no principal.
	Identity Kind = iota
	// Resource is attached to a bucket or a key: principal and resource.
	Resource
	// Trust is a role's: principal, no resource.
	Trust
)

// Document is a valid policy.
type Document struct {
	text       string
	statements []statement
}

// String is the text that the document was read from, verbatim.
func (d *Document) String() string { return d.text }

type statement struct {
	allow        bool
	principals   []principal
	actions      []string
	notActions   []string
	resources    []string
	notResources []string
	conditions   []condition
}

// principal is one member of a Principal element.
type principal struct {
	// any is "*".
	any bool
	// account is set for a whole account: its 12 digits or its root's ARN.
	account string
	// arn is a user's, a role's or a session's.
	arn string
	// id is the unique id that arn had when the policy was attached. AWS keeps that instead of the
	// ARN: a role that is deleted and made again is somebody else.
	id string
}

// list is a string or a list of strings.
type list []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *list) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = list{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(text, &many); err != nil {
		return fmt.Errorf("neither a string nor a list of strings: %s", text)
	}
	*l = many
	return nil
}

type rawDocument struct {
	Version   string
	ID        string `json:"Id"`
	Statement json.RawMessage
}

type rawStatement struct {
	Sid         string
	Effect      string
	Principal   json.RawMessage
	Action      list
	NotAction   list
	Resource    list
	NotResource list
	Condition   map[string]map[string]scalars
}

// Parse reads a document of that kind. Elements that this package does not evaluate are errors, never
// ignored.
func Parse(text string, kind Kind) (*Document, error) {
	var raw rawDocument
	if err := strict([]byte(text), &raw); err != nil {
		return nil, err
	}
	if raw.Version != "2012-10-17" {
		return nil, fmt.Errorf("version %q: only 2012-10-17 is evaluated", raw.Version)
	}
	var many []rawStatement
	if err := strict(raw.Statement, &many); err != nil {
		var one rawStatement
		if strict(raw.Statement, &one) != nil {
			return nil, err
		}
		many = []rawStatement{one}
	}
	if len(many) == 0 {
		return nil, fmt.Errorf("no statement")
	}
	document := &Document{text: text}
	for _, raw := range many {
		statement, err := raw.check(kind)
		if err != nil {
			return nil, fmt.Errorf("statement %q: %w", raw.Sid, err)
		}
		document.statements = append(document.statements, statement)
	}
	return document, nil
}

func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func (raw rawStatement) check(kind Kind) (statement, error) {
	checked := statement{
		allow:        raw.Effect == "Allow",
		actions:      raw.Action,
		notActions:   raw.NotAction,
		resources:    raw.Resource,
		notResources: raw.NotResource,
	}
	switch {
	case raw.Effect != "Allow" && raw.Effect != "Deny":
		return checked, fmt.Errorf("effect %q", raw.Effect)
	case (len(raw.Action) == 0) == (len(raw.NotAction) == 0):
		return checked, fmt.Errorf("it needs either Action or NotAction")
	case kind == Identity && raw.Principal != nil:
		return checked, fmt.Errorf("an identity policy has no Principal")
	case kind != Identity && raw.Principal == nil:
		return checked, fmt.Errorf("it needs a Principal")
	case kind == Trust && len(raw.Resource)+len(raw.NotResource) > 0:
		return checked, fmt.Errorf("a trust policy has no Resource")
	case kind != Trust && (len(raw.Resource) == 0) == (len(raw.NotResource) == 0):
		return checked, fmt.Errorf("it needs either Resource or NotResource")
	}
	var err error
	if raw.Principal != nil {
		if checked.principals, err = principals(raw.Principal); err != nil {
			return checked, err
		}
	}
	checked.conditions, err = conditions(raw.Condition)
	return checked, err
}

func principals(text json.RawMessage) ([]principal, error) {
	var any string
	if json.Unmarshal(text, &any) == nil {
		if any != "*" {
			return nil, fmt.Errorf("invalid principal %q", any)
		}
		return []principal{{any: true}}, nil
	}
	var named struct{ AWS list }
	if err := strict(text, &named); err != nil {
		return nil, fmt.Errorf("invalid principal: %w", err)
	}
	if len(named.AWS) == 0 {
		return nil, fmt.Errorf("an empty principal")
	}
	var all []principal
	for _, name := range named.AWS {
		one, err := namedPrincipal(name)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func namedPrincipal(name string) (principal, error) {
	if name == "*" {
		return principal{any: true}, nil
	}
	if isAccount(name) {
		return principal{account: name}, nil
	}
	parts := strings.SplitN(name, ":", 6)
	valid := len(parts) == 6 && parts[0] == "arn" && isAccount(parts[4]) &&
		(parts[2] == "iam" || parts[2] == "sts") && !strings.ContainsAny(name, "*?")
	if !valid {
		return principal{}, fmt.Errorf("invalid principal in policy: %q", name)
	}
	if parts[2] == "iam" && parts[5] == "root" {
		return principal{account: parts[4]}, nil
	}
	return principal{arn: name}, nil
}

func isAccount(name string) bool {
	return len(name) == 12 && strings.Trim(name, "0123456789") == ""
}

// Bind replaces the ARNs of users and roles by their unique ids, as AWS does when a policy is attached.
// One that does not exist makes the document invalid.
func (d *Document) Bind(id func(arn string) (string, bool)) error {
	for _, statement := range d.statements {
		for at := range statement.principals {
			principal := &statement.principals[at]
			if principal.arn == "" || strings.Contains(principal.arn, ":sts:") {
				continue
			}
			found, ok := id(principal.arn)
			if !ok {
				return fmt.Errorf("invalid principal in policy: %q does not exist", principal.arn)
			}
			principal.id = found
		}
	}
	return nil
}

// Patterns are the resources that the document names.
func (d *Document) Patterns() []string {
	var all []string
	for _, statement := range d.statements {
		all = append(append(all, statement.resources...), statement.notResources...)
	}
	return all
}
