package cloud

import (
	"strings"
	"testing"
	"time"
)

const (
	us       = "222222222222"
	customer = "111111111111"
	allowAll = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`
)

// world has two accounts, a bucket of the customer's, and a user and a role of each.
func world(t *testing.T) *Cloud {
	t.Helper()
	c := New()
	for _, id := range []string{us, customer} {
		must(c.AddAccount(Account{ID: id}))
		must(c.AddUser(id, "user", nil))
		must(c.AddRole(id, "role", trust("arn:aws:iam::"+us+":root"), nil))
	}
	if err := c.AddBucket("acme", customer, ""); err != nil {
		t.Fatal(err)
	}
	return c
}

// must ends the test with a trace where something that has to work doesn't.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func trust(principal string) string {
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "` + principal +
		`"}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "id"}}}]}`
}

func bucketPolicy(effect, principal string) string {
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "` + effect + `", "Principal": {"AWS": "` + principal +
		`"}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::acme/*"}]}`
}

func (c *Cloud) as(t *testing.T, key Credentials) Caller {
	t.Helper()
	caller, _, trouble := c.Lookup(key.AccessKeyID, key.SessionToken)
	if trouble != Fine {
		t.Fatal(trouble)
	}
	return caller
}

func TestBothSidesOfARequest(t *testing.T) {
	userOf := func(account string) string { return "arn:aws:iam::" + account + ":user/user" }
	for _, test := range []struct {
		account  string
		identity string
		bucket   string
		why      string // empty: allowed
	}{
		{customer, "", "", "no identity-based policy allows"},
		{customer, allowAll, "", ""},
		{customer, "", bucketPolicy("Allow", userOf(customer)), ""},
		{customer, "", bucketPolicy("Allow", customer), "no identity-based policy allows"},
		{customer, allowAll, bucketPolicy("Deny", customer), "explicit deny in a resource-based policy"},
		{us, allowAll, "", "no resource-based policy allows"},
		{us, "", bucketPolicy("Allow", userOf(us)), "no identity-based policy allows"},
		{us, allowAll, bucketPolicy("Allow", userOf(us)), ""},
		{us, allowAll, bucketPolicy("Allow", us), ""},
		{us, allowAll, bucketPolicy("Allow", userOf(customer)), "no resource-based policy allows"},
		{us, strings.Replace(allowAll, "Allow", "Deny", 1), bucketPolicy("Allow", userOf(us)), "explicit deny in an identity-based policy"},
	} {
		c := world(t)
		if test.identity != "" {
			if err := c.SetPolicies(userOf(test.account), []string{test.identity}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.SetBucketPolicy("acme", test.bucket); err != nil {
			t.Fatal(err)
		}
		bucket, _ := c.Bucket("acme")
		caller := c.as(t, must(c.NewKey(userOf(test.account))))
		decision := c.Authorize(caller, bucket, "s3:PutObject", "arn:aws:s3:::acme/a", map[string]string{})
		if decision.Allowed != (test.why == "") || !strings.Contains(decision.why, test.why) {
			t.Errorf("%+v: %q", test, decision.why)
		}
		told := decision.S3Message() != "Access Denied"
		if !decision.Allowed && told != (test.account == customer) {
			t.Errorf("%+v: told %q", test, decision.S3Message())
		}
	}
}

func TestAssumeRole(t *testing.T) {
	c := world(t)
	theirs := "arn:aws:iam::" + customer + ":role/role"
	ours := "arn:aws:iam::" + us + ":role/role"
	caller := c.as(t, must(c.IssueSession(ours, "pod", time.Hour)))
	asked := Assumption{Role: theirs, Session: "s", ExternalID: "id", Lasts: time.Hour}
	if _, err := c.AssumeRole(caller, asked); err == nil {
		t.Error("our own account doesn't allow it")
	}
	if err := c.SetPolicies(ours, []string{allowAll}); err != nil {
		t.Fatal(err)
	}
	opened := must(c.AssumeRole(caller, asked))
	if opened.ARN != "arn:aws:sts::"+customer+":assumed-role/role/s" {
		t.Error(opened.ARN)
	}
	for _, id := range []string{"", "ID", "other"} {
		wrong := asked
		wrong.ExternalID = id
		_, err := c.AssumeRole(caller, wrong)
		expected := "403 AccessDenied: User: " + caller.ARN + " is not authorized to perform: sts:AssumeRole on resource: " + theirs
		if err == nil || err.Error() != expected {
			t.Errorf("external id %q: %v", id, err)
		}
	}
	long := asked
	long.Lasts = 2 * time.Hour
	if _, err := c.AssumeRole(caller, long); err == nil {
		t.Error("a chained session over an hour")
	}
	if ended := must(c.ExpireSessions(theirs)); ended != 1 {
		t.Error(ended)
	}
	if _, _, trouble := c.Lookup(opened.AccessKeyID, opened.SessionToken); trouble != Expired {
		t.Error(trouble)
	}
	if _, _, trouble := c.Lookup(opened.AccessKeyID, "other"); trouble != WrongToken {
		t.Error(trouble)
	}
	if _, _, trouble := c.Lookup(opened.AccessKeyID, ""); trouble != UnknownKey {
		t.Error(trouble)
	}
}
