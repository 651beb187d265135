package cloud

import (
	"fmt"
	"strings"

	"outbound.dev/tests/tools/aws/internal/policy"
)

// Key is a KMS key. There is no cryptography: only who may use it.
type Key struct {
	arn    string
	owner  *Account
	policy *policy.Document
	// state is Enabled, Disabled or PendingDeletion.
	state string
}

// AddKey makes a key and returns its ARN. An empty policy is KMS's default: the account's IAM decides.
func (c *Cloud) AddKey(account, region, text string) (string, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	owner, err := c.account(account)
	if err != nil {
		return "", err
	}
	if region == "" {
		region = "us-east-1"
	}
	id := hexadecimal(16)
	id = strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
	key := &Key{arn: fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", owner.Partition, region, owner.ID, id), owner: owner, state: "Enabled"}
	if key.policy, err = c.parseKeyPolicy(owner, text); err != nil {
		return "", err
	}
	c.keys[key.arn] = key
	return key.arn, nil
}

func (c *Cloud) parseKeyPolicy(owner *Account, text string) (*policy.Document, error) {
	if text == "" {
		text = fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": %q}, "Action": "kms:*", "Resource": "*"}]}`,
			owner.arn("iam", "root"))
	}
	document, err := policy.Parse(text, policy.Resource)
	if err != nil {
		return nil, err
	}
	return document, document.Bind(c.boundID)
}

// SetKeyPolicy replaces a key's policy.
func (c *Cloud) SetKeyPolicy(arn, text string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	key, found := c.keys[arn]
	if !found {
		return fmt.Errorf("no key %s", arn)
	}
	document, err := c.parseKeyPolicy(key.owner, text)
	if err == nil {
		key.policy = document
	}
	return err
}

// SetKeyState enables or disables a key, or schedules its deletion.
func (c *Cloud) SetKeyState(arn, state string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	key, found := c.keys[arn]
	switch {
	case !found:
		return fmt.Errorf("no key %s", arn)
	case state != "Enabled" && state != "Disabled" && state != "PendingDeletion":
		return fmt.Errorf("no key state %q", state)
	}
	key.state = state
	return nil
}

// managedKey is AWS's own key for S3 in an account: whoever may use S3 there may use it through S3.
const managedKey = "alias/aws/s3"

// KeyARN is what S3 makes of a key's name: ids and aliases are looked up in the caller's own account.
func (c *Cloud) KeyARN(caller Caller, region, name string) string {
	switch {
	case strings.HasPrefix(name, "arn:"):
		return name
	case name == "":
		name = managedKey
	case !strings.HasPrefix(name, "alias/"):
		name = "key/" + name
	}
	return fmt.Sprintf("arn:%s:kms:%s:%s:%s", caller.partition, region, caller.Account, name)
}

// UseKey asks KMS for an action on behalf of the caller, in a bucket's region and for that bucket or
// object (the encryption context). nil: allowed.
func (c *Cloud) UseKey(caller Caller, bucket Bucket, action, arn, context string) *Refusal {
	if arn == c.KeyARN(caller, bucket.Region, managedKey) {
		return nil
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	key, found := c.keys[arn]
	if !found || !strings.Contains(arn, ":kms:"+bucket.Region+":") {
		if strings.Contains(arn, ":"+caller.Account+":") {
			return &Refusal{400, "KMS.NotFoundException", fmt.Sprintf("Key '%s' does not exist", arn)}
		}
		// Whether a stranger's key exists isn't told.
		decision := Decision{request: policy.Request{Caller: caller.Caller, Action: action, Resource: arn}, why: "resource-based"}
		return &Refusal{403, "AccessDenied", decision.KMSMessage()}
	}
	request := policy.Request{Action: action, Resource: arn, Keys: map[string]string{
		"kms:viaservice":                   "s3." + bucket.Region + ".amazonaws.com",
		"kms:calleraccount":                caller.Account,
		"kms:encryptioncontext:aws:s3:arn": context,
	}}
	addCaller(request.Keys, caller)
	decision := c.decide(caller, request, resource{owner: key.owner, policy: key.policy, needed: true})
	switch {
	case !decision.Allowed:
		return &Refusal{403, "AccessDenied", decision.KMSMessage()}
	case key.state == "Disabled":
		return &Refusal{400, "KMS.DisabledException", arn + " is disabled."}
	case key.state == "PendingDeletion":
		return &Refusal{400, "KMS.KMSInvalidStateException", arn + " is pending deletion."}
	}
	return nil
}
