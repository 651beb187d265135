package cloud

import (
	"fmt"
	"strings"

	"outbound.dev/tests/tools/aws/internal/policy"
)

// Denial is a test's switch: an explicit deny that stands in no policy.
type Denial struct {
	// Bucket, or empty: anywhere.
	Bucket string `json:"bucket"`
	// Action, in full.
	Action string `json:"action"`
	// Principal is an ARN (a role's covers its sessions), or empty: anybody.
	Principal string `json:"principal"`
	// Where AWS would say that it stands, such as "a service control policy"; empty:
	// "a resource-based policy".
	Where string `json:"where"`
}

func (d Denial) applies(request policy.Request) bool {
	caller := request.Caller
	return strings.EqualFold(d.Action, request.Action) &&
		(d.Principal == "" || d.Principal == caller.ARN || d.Principal == caller.RoleARN) &&
		(d.Bucket == "" || d.Bucket == bucketOf(request.Resource))
}

// bucketOf is the bucket in an S3 ARN: arn:PARTITION:s3:::BUCKET/KEY.
func bucketOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[2] != "s3" {
		return ""
	}
	bucket, _, _ := strings.Cut(parts[5], "/")
	return bucket
}

// Deny adds a switch.
func (c *Cloud) Deny(denial Denial) error {
	if denial.Action == "" {
		return fmt.Errorf("which action is denied?")
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	c.denials = append(c.denials, denial)
	return nil
}

// Undeny lifts all switches of that bucket.
func (c *Cloud) Undeny(bucket string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	var kept []Denial
	for _, denial := range c.denials {
		if denial.Bucket != bucket {
			kept = append(kept, denial)
		}
	}
	c.denials = kept
	return nil
}

// Decision is the answer to one request, and in AWS's words why.
type Decision struct {
	Allowed bool
	request policy.Request
	why     string
	// explained: to a caller of the resource's own account or organization.
	explained bool
}

// resource is what a request is about: whose it is, its policy, and how much that can give alone.
type resource struct {
	owner  *Account
	policy *policy.Document
	// needed: without its policy's consent nobody may, not even its own account (keys, roles).
	needed bool
}

// decide is AWS's evaluation. The caller holds the lock.
func (c *Cloud) decide(caller Caller, request policy.Request, about resource) Decision {
	request.Caller = caller.Caller
	why := c.refusal(caller, request, about)
	return Decision{
		Allowed:   why == "",
		request:   request,
		why:       why,
		explained: c.explained(caller, about.owner),
	}
}

// refusal is empty when the request is allowed.
func (c *Cloud) refusal(caller Caller, request policy.Request, about resource) string {
	theirs := about.policy.Evaluate(request)
	own := caller.evaluate(request)
	limits := policy.Allowed
	if caller.limits != nil {
		limits = caller.limits.Evaluate(request)
	}
	for _, denial := range c.denials {
		if denial.applies(request) {
			where := denial.Where
			if where == "" {
				where = "a resource-based policy"
			}
			return "with an explicit deny in " + where
		}
	}
	const nothing = "because no %s policy allows the %s action"
	same := caller.Account == about.owner.ID
	switch {
	case own == policy.Denied:
		return "with an explicit deny in an identity-based policy"
	case theirs == policy.Denied:
		return "with an explicit deny in a resource-based policy"
	case limits == policy.Denied:
		return "with an explicit deny in a session policy"
	case limits != policy.Allowed:
		return fmt.Sprintf(nothing, "session", request.Action)
	case caller.Account == "" && theirs == policy.Allowed:
		return "" // public
	case theirs == policy.Silent && (!same || about.needed):
		return fmt.Sprintf(nothing, "resource-based", request.Action)
	case same && theirs == policy.Allowed, own == policy.Allowed:
		return ""
	default:
		return fmt.Sprintf(nothing, "identity-based", request.Action)
	}
}

// evaluate asks the caller's own account.
func (c Caller) evaluate(request policy.Request) policy.Answer {
	if c.identity == nil {
		return policy.Silent
	}
	if c.identity.root {
		return policy.Allowed
	}
	return policy.EvaluateAll(c.identity.policies, request)
}

// explained tells whether AWS says why. The caller holds the lock.
func (c *Cloud) explained(caller Caller, owner *Account) bool {
	if caller.Account == owner.ID {
		return true
	}
	account, known := c.accounts[caller.Account]
	return known && account.Organization != "" && account.Organization == owner.Organization
}

// S3Message is how S3 puts a refusal; strangers aren't told why.
func (d Decision) S3Message() string {
	if !d.explained {
		return "Access Denied"
	}
	return d.words(`"` + d.request.Resource + `"`)
}

// KMSMessage is how KMS puts it, also through S3.
func (d Decision) KMSMessage() string {
	if !d.explained && strings.Contains(d.why, "resource-based") {
		d.why = "because the resource does not exist in this Region, no resource-based policies allow access, " +
			"or a resource-based policy explicitly denies access"
	}
	return d.words(d.request.Resource)
}

// STSMessage is how STS puts it: it never says why.
func (d Decision) STSMessage() string {
	d.why = ""
	return strings.TrimSuffix(d.words(d.request.Resource), " ")
}

func (d Decision) words(resource string) string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s",
		d.request.Caller.ARN, d.request.Action, resource, d.why)
}
