// Package cloud is the state of the test AWS: accounts, who is in them, what they own, and who may do
// what. All of it lives in memory and goes with the process.
package cloud

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Cloud is safe for concurrent use: each method is one step.
type Cloud struct {
	lock        sync.Mutex
	accounts    map[string]*Account
	identities  map[string]*identity   // by ARN
	credentials map[string]*credential // by access key id
	buckets     map[string]*Bucket
	keys        map[string]*Key // by ARN
	denials     []Denial
	log         []Entry
}

// New has no account yet.
func New() *Cloud {
	return &Cloud{
		accounts:    map[string]*Account{},
		identities:  map[string]*identity{},
		credentials: map[string]*credential{},
		buckets:     map[string]*Bucket{},
		keys:        map[string]*Key{},
	}
}

// Account is a company's.
type Account struct {
	// ID has 12 digits.
	ID string
	// Partition is aws, aws-cn or aws-us-gov.
	Partition string
	// Organization: AWS explains a refusal only to callers of the resource's own account or
	// organization. Empty: in none.
	Organization string
}

// Credentials are what a client signs with.
type Credentials struct {
	AccessKeyID     string    `json:"accessKeyId"`
	SecretAccessKey string    `json:"secretAccessKey"`
	SessionToken    string    `json:"sessionToken,omitempty"`
	Expiration      time.Time `json:"-"`
	// ARN is whose they are.
	ARN string `json:"arn"`
}

// AddAccount makes an account, or changes its organization, and returns new keys of its root.
func (c *Cloud) AddAccount(account Account) (Credentials, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if len(account.ID) != 12 || strings.Trim(account.ID, "0123456789") != "" {
		return Credentials{}, fmt.Errorf("account %q: 12 digits are needed", account.ID)
	}
	switch account.Partition {
	case "":
		account.Partition = "aws"
	case "aws", "aws-cn", "aws-us-gov":
	default:
		return Credentials{}, fmt.Errorf("partition %q", account.Partition)
	}
	if known, found := c.accounts[account.ID]; found {
		known.Organization = account.Organization
		return c.longTerm(c.identities[known.arn("iam", "root")]), nil
	}
	c.accounts[account.ID] = &account
	root := &identity{account: &account, arn: account.arn("iam", "root"), id: account.ID, root: true}
	c.identities[root.arn] = root
	return c.longTerm(root), nil
}

// account must exist. The caller holds the lock.
func (c *Cloud) account(id string) (*Account, error) {
	account, found := c.accounts[id]
	if !found {
		return nil, fmt.Errorf("no account %s", id)
	}
	return account, nil
}

// arn names a global resource of the account.
func (a *Account) arn(service, resource string) string {
	return fmt.Sprintf("arn:%s:%s::%s:%s", a.Partition, service, a.ID, resource)
}

// longTerm makes keys without a session. The caller holds the lock.
func (c *Cloud) longTerm(of *identity) Credentials {
	key := Credentials{AccessKeyID: uniqueID("AKIA"), SecretAccessKey: secret(), ARN: of.arn}
	c.credentials[key.AccessKeyID] = &credential{Credentials: key, identity: of}
	return key
}

// uniqueID is like AWS's: the prefix tells what it names, 20 characters in all.
func uniqueID(prefix string) string {
	return prefix + base32.StdEncoding.EncodeToString(random(10))
}

// secret has 40 characters, among them / and + now and then, as AWS's have.
func secret() string { return base64.StdEncoding.EncodeToString(random(30)) }

func hexadecimal(bytes int) string { return hex.EncodeToString(random(bytes)) }

func random(bytes int) []byte {
	buffer := make([]byte, bytes)
	// Never fails (its documentation).
	_, _ = rand.Read(buffer)
	return buffer
}
