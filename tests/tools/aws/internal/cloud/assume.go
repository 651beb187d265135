package cloud

import (
	"fmt"
	"time"

	"outbound.dev/tests/tools/aws/internal/policy"
)

// Assumption is a call of AssumeRole.
type Assumption struct {
	Role       string
	Session    string
	ExternalID string
	// Policy limits the session; empty: not.
	Policy string
	Lasts  time.Duration
}

// Refusal is a service's error.
type Refusal struct {
	Status  int
	Code    string
	Message string
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Message) }

// Assumed is an answer of AssumeRole.
type Assumed struct {
	Credentials
	// RoleID is AROA...:SESSION.
	RoleID string
}

// AssumeRole opens a session when the role's trust policy and the caller's own account allow it.
func (c *Cloud) AssumeRole(caller Caller, asked Assumption) (Assumed, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	request := policy.Request{Caller: caller.Caller, Action: "sts:AssumeRole", Resource: asked.Role, Keys: map[string]string{}}
	if asked.ExternalID != "" {
		request.Keys["sts:externalid"] = asked.ExternalID
	}
	request.Keys["sts:rolesessionname"] = asked.Session
	addCaller(request.Keys, caller)
	role, err := c.role(asked.Role)
	if err != nil {
		// Whether a role exists is nobody's business.
		refused := Decision{request: request}
		return Assumed{}, &Refusal{403, "AccessDenied", refused.STSMessage()}
	}
	decision := c.decide(caller, request, resource{owner: role.account, policy: role.trust, needed: true})
	if !decision.Allowed {
		return Assumed{}, &Refusal{403, "AccessDenied", decision.STSMessage()}
	}
	lasts, err := role.duration(caller, asked.Lasts)
	if err != nil {
		return Assumed{}, err
	}
	var limits *policy.Document
	if asked.Policy != "" {
		if limits, err = policy.Parse(asked.Policy, policy.Identity); err != nil {
			return Assumed{}, &Refusal{400, "MalformedPolicyDocument", err.Error()}
		}
	}
	session := c.open(role, asked.Session, lasts, limits, true)
	return Assumed{session, role.id + ":" + asked.Session}, nil
}

// duration is how long a session lasts, or why it can't last so long.
func (i *identity) duration(caller Caller, asked time.Duration) (time.Duration, error) {
	switch {
	case caller.Session && asked > time.Hour:
		return 0, &Refusal{400, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."}
	case asked > i.longest:
		return 0, &Refusal{400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."}
	case i.ttl > 0 && i.ttl < asked:
		return i.ttl, nil
	default:
		return asked, nil
	}
}

// addCaller adds the condition keys that tell who asks.
func addCaller(keys map[string]string, caller Caller) {
	if caller.Account == "" {
		return
	}
	keys["aws:principalaccount"] = caller.Account
	keys["aws:principalarn"] = caller.ARN
	if caller.RoleARN != "" {
		keys["aws:principalarn"] = caller.RoleARN
	}
	keys["aws:userid"] = caller.UserID
}
