package cloud

import (
	"fmt"
	"time"

	"outbound.dev/tests/tools/aws/internal/policy"
)

// identity is a user, a role, or an account's root.
type identity struct {
	account  *Account
	arn      string
	name     string
	id       string
	root     bool
	policies []*policy.Document

	// The rest is a role's.
	trust *policy.Document
	// longest is its MaxSessionDuration.
	longest time.Duration
	// ttl shortens its sessions below what callers ask and AWS offers. 0: not.
	ttl time.Duration
}

func (i *identity) isRole() bool { return i.trust != nil }

// AddUser makes an IAM user with a key.
func (c *Cloud) AddUser(account, name string, policies []string) (Credentials, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	owner, err := c.account(account)
	if err != nil {
		return Credentials{}, err
	}
	documents, err := parseAll(policies)
	if err != nil {
		return Credentials{}, err
	}
	user := &identity{account: owner, arn: owner.arn("iam", "user/"+name), name: name, id: uniqueID("AIDA"), policies: documents}
	if err := c.add(user); err != nil {
		return Credentials{}, err
	}
	return c.longTerm(user), nil
}

// AddRole makes a role, and returns its ARN.
func (c *Cloud) AddRole(account, name, trust string, policies []string) (string, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	owner, err := c.account(account)
	if err != nil {
		return "", err
	}
	documents, err := parseAll(policies)
	if err != nil {
		return "", err
	}
	role := &identity{account: owner, arn: owner.arn("iam", "role/"+name), name: name, id: uniqueID("AROA"), policies: documents, longest: time.Hour}
	if role.trust, err = c.parseTrust(trust); err != nil {
		return "", err
	}
	return role.arn, c.add(role)
}

func (c *Cloud) add(identity *identity) error {
	if _, taken := c.identities[identity.arn]; taken {
		return fmt.Errorf("%s exists already", identity.arn)
	}
	c.identities[identity.arn] = identity
	return nil
}

func parseAll(texts []string) ([]*policy.Document, error) {
	var all []*policy.Document
	for _, text := range texts {
		document, err := policy.Parse(text, policy.Identity)
		if err != nil {
			return nil, err
		}
		all = append(all, document)
	}
	return all, nil
}

func (c *Cloud) parseTrust(text string) (*policy.Document, error) {
	document, err := policy.Parse(text, policy.Trust)
	if err != nil {
		return nil, err
	}
	return document, document.Bind(c.boundID)
}

// boundID finds what a policy's principal is kept as. The caller holds the lock.
func (c *Cloud) boundID(arn string) (string, bool) {
	found, ok := c.identities[arn]
	if !ok {
		return "", false
	}
	return found.id, true
}

// NewKey gives a user another key; the old ones go on.
func (c *Cloud) NewKey(arn string) (Credentials, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, err := c.identity(arn)
	if err != nil {
		return Credentials{}, err
	}
	if found.isRole() {
		return Credentials{}, fmt.Errorf("%s is a role: ask for a session", arn)
	}
	return c.longTerm(found), nil
}

// DeleteKey makes an access key unknown.
func (c *Cloud) DeleteKey(accessKeyID string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if _, found := c.credentials[accessKeyID]; !found {
		return fmt.Errorf("no access key %s", accessKeyID)
	}
	delete(c.credentials, accessKeyID)
	return nil
}

// DeleteIdentity removes a user or a role with its keys and sessions. One that is made again by that
// name is somebody else for policies that named the old one.
func (c *Cloud) DeleteIdentity(arn string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	gone, err := c.identity(arn)
	if err != nil {
		return err
	}
	delete(c.identities, arn)
	for id, credential := range c.credentials {
		if credential.identity == gone {
			delete(c.credentials, id)
		}
	}
	return nil
}

// identity must exist. The caller holds the lock.
func (c *Cloud) identity(arn string) (*identity, error) {
	found, ok := c.identities[arn]
	if !ok {
		return nil, fmt.Errorf("no user or role %s", arn)
	}
	return found, nil
}

// role must exist. The caller holds the lock.
func (c *Cloud) role(arn string) (*identity, error) {
	found, err := c.identity(arn)
	if err == nil && !found.isRole() {
		err = fmt.Errorf("%s is no role", arn)
	}
	return found, err
}

// SetPolicies replaces the identity policies of a user or a role.
func (c *Cloud) SetPolicies(arn string, policies []string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, err := c.identity(arn)
	if err != nil {
		return err
	}
	documents, err := parseAll(policies)
	if err != nil {
		return err
	}
	found.policies = documents
	return nil
}

// SetTrust replaces a role's trust policy.
func (c *Cloud) SetTrust(arn, trust string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	role, err := c.role(arn)
	if err != nil {
		return err
	}
	document, err := c.parseTrust(trust)
	if err != nil {
		return err
	}
	role.trust = document
	return nil
}
