package cloud

import (
	"crypto/subtle"
	"encoding/base64"
	"time"

	"outbound.dev/tests/tools/aws/internal/policy"
)

// credential is one access key, long-term or a session's.
type credential struct {
	Credentials
	identity *identity
	// session is set for a role's.
	session string
	// limits is the session's policy, or nil.
	limits *policy.Document
	// assumed: by AssumeRole, not handed out by the administrator.
	assumed bool
}

// Caller is who signed a request.
type Caller struct {
	policy.Caller
	// Session says that a role's session asks: a chained one lasts an hour at most.
	Session bool
	// UserID is what GetCallerIdentity tells.
	UserID    string
	partition string
	identity  *identity
	limits    *policy.Document
}

// Nobody is the caller of an unsigned request.
var Nobody = Caller{Caller: policy.Caller{ARN: "anonymous"}}

// Trouble with a key: each service has its own words for it.
type Trouble int

const (
	// Fine: the key is known and its session goes on.
	Fine Trouble = iota
	// UnknownKey: no such access key, or a session's without its token.
	UnknownKey
	// WrongToken: the token isn't this key's.
	WrongToken
	// Expired: the session ended.
	Expired
)

// Lookup finds whose key that is, and its secret.
func (c *Cloud) Lookup(accessKeyID, token string) (Caller, string, Trouble) {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, ok := c.credentials[accessKeyID]
	switch {
	case !ok, found.SessionToken != "" && token == "":
		return Nobody, "", UnknownKey
	case subtle.ConstantTimeCompare([]byte(found.SessionToken), []byte(token)) != 1:
		return Nobody, "", WrongToken
	case found.SessionToken != "" && !time.Now().Before(found.Expiration):
		return Nobody, "", Expired
	}
	return found.caller(), found.SecretAccessKey, Fine
}

func (c *credential) caller() Caller {
	who := c.identity
	caller := Caller{
		Caller:    policy.Caller{Account: who.account.ID, ARN: c.ARN, ID: who.id},
		UserID:    who.id,
		partition: who.account.Partition,
		identity:  who,
		limits:    c.limits,
	}
	if c.session != "" {
		caller.RoleARN = who.arn
		caller.UserID = who.id + ":" + c.session
		caller.Session = true
	}
	return caller
}

// IssueSession makes a session of a role without asking anybody: as a node's or a pod's identity comes.
func (c *Cloud) IssueSession(role, name string, lasts time.Duration) (Credentials, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, err := c.role(role)
	if err != nil {
		return Credentials{}, err
	}
	return c.open(found, name, lasts, nil, false), nil
}

// open makes a session. The caller holds the lock.
func (c *Cloud) open(role *identity, name string, lasts time.Duration, limits *policy.Document, assumed bool) Credentials {
	session := &credential{
		Credentials: Credentials{
			AccessKeyID:     uniqueID("ASIA"),
			SecretAccessKey: secret(),
			SessionToken:    "IQoJb3JpZ2luX2Vj" + base64.StdEncoding.EncodeToString(random(300)),
			Expiration:      time.Now().Add(lasts),
			ARN:             role.account.arn("sts", "assumed-role/"+role.name+"/"+name),
		},
		identity: role,
		session:  name,
		limits:   limits,
		assumed:  assumed,
	}
	c.credentials[session.AccessKeyID] = session
	return session.Credentials
}

// SetTTL bounds the sessions that AssumeRole opens from now on; what it answers says so. 0 lifts it.
func (c *Cloud) SetTTL(role string, ttl time.Duration) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, err := c.role(role)
	if err != nil {
		return err
	}
	found.ttl = ttl
	return nil
}

// ExpireSessions ends the sessions that AssumeRole opened for a role, though their holders were told
// otherwise; returns how many.
func (c *Cloud) ExpireSessions(role string) (int, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, err := c.role(role)
	if err != nil {
		return 0, err
	}
	ended := 0
	now := time.Now()
	for _, credential := range c.credentials {
		if credential.identity == found && credential.assumed && now.Before(credential.Expiration) {
			credential.Expiration = now
			ended++
		}
	}
	return ended, nil
}
