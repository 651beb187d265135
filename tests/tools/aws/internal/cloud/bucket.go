package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"

	"outbound.dev/tests/tools/aws/internal/policy"
)

// Ownership is a bucket's Object Ownership.
type Ownership string

// As S3 names them.
const (
	BucketOwnerEnforced  Ownership = "BucketOwnerEnforced"
	BucketOwnerPreferred Ownership = "BucketOwnerPreferred"
	ObjectWriter         Ownership = "ObjectWriter"
)

// Encryption is what an object is, or will be, encrypted with.
type Encryption struct {
	// Algorithm is AES256 or aws:kms.
	Algorithm string `json:"algorithm"`
	// Key is the ARN of the KMS key.
	Key       string `json:"key,omitempty"`
	BucketKey bool   `json:"bucketKey,omitempty"`
}

// Object is what the server keeps of an object, or of an upload, beside the bytes.
type Object struct {
	// Owner is the account that the object belongs to: not always the bucket's.
	Owner string `json:"owner"`
	// ACL is the canned one that was sent, or empty.
	ACL        string     `json:"acl,omitempty"`
	Encryption Encryption `json:"encryption"`
	// Asked is the encryption that the headers asked for; empty: the bucket's default applies.
	Asked        Encryption        `json:"asked"`
	StorageClass string            `json:"storageClass"`
	Tags         map[string]string `json:"tags,omitempty"`
	// Archived: it lies in an archive, and no restored copy of it is there.
	Archived bool `json:"archived,omitempty"`
	// Writer is the ARN of who wrote it.
	Writer string `json:"writer"`
}

// Upload is an open multipart upload.
type Upload struct {
	Key string `json:"key"`
	ID  string `json:"id"`
	Object
}

// Bucket is a snapshot of one; changing it changes nothing.
type Bucket struct {
	Name       string
	Owner      *Account
	Region     string
	Ownership  Ownership
	Policy     *policy.Document
	Encryption Encryption
	objects    map[string]Object
	uploads    map[string]Upload
}

// ARN names the bucket in its partition.
func (b Bucket) ARN() string { return fmt.Sprintf("arn:%s:s3:::%s", b.Owner.Partition, b.Name) }

// CanonicalID is an account's name in ACLs and listings.
func (a *Account) CanonicalID() string {
	sum := sha256.Sum256([]byte(a.ID))
	return hex.EncodeToString(sum[:])
}

// AddBucket makes one, with the settings that new buckets have at AWS.
func (c *Cloud) AddBucket(name, owner, region string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	account, err := c.account(owner)
	if err != nil {
		return err
	}
	if _, taken := c.buckets[name]; taken {
		return fmt.Errorf("bucket %s exists already", name)
	}
	if region == "" {
		region = "us-east-1"
	}
	c.buckets[name] = &Bucket{
		Name: name, Owner: account, Region: region,
		Ownership:  BucketOwnerEnforced,
		Encryption: Encryption{Algorithm: "AES256"},
		objects:    map[string]Object{}, uploads: map[string]Upload{},
	}
	return nil
}

// RemoveBucket forgets one.
func (c *Cloud) RemoveBucket(name string) {
	c.lock.Lock()
	defer c.lock.Unlock()
	delete(c.buckets, name)
}

// Bucket is a snapshot of that one.
func (c *Cloud) Bucket(name string) (Bucket, bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, ok := c.buckets[name]
	if !ok {
		return Bucket{}, false
	}
	return *found, true
}

// bucket must exist. The caller holds the lock.
func (c *Cloud) bucket(name string) (*Bucket, error) {
	found, ok := c.buckets[name]
	if !ok {
		return nil, fmt.Errorf("no bucket %s", name)
	}
	return found, nil
}

// change runs `edit` on that bucket.
func (c *Cloud) change(name string, edit func(*Bucket) error) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, err := c.bucket(name)
	if err != nil {
		return err
	}
	return edit(found)
}

// SetBucketPolicy attaches a policy as S3 does: it must be about this bucket, and its principals must
// exist. Empty: removes it.
func (c *Cloud) SetBucketPolicy(name, text string) error {
	return c.change(name, func(bucket *Bucket) error {
		if text == "" {
			bucket.Policy = nil
			return nil
		}
		document, err := policy.Parse(text, policy.Resource)
		if err != nil {
			return err
		}
		for _, pattern := range document.Patterns() {
			if pattern != bucket.ARN() && !strings.HasPrefix(pattern, bucket.ARN()+"/") {
				return fmt.Errorf("policy has invalid resource: %s isn't in this bucket, %s", pattern, bucket.ARN())
			}
		}
		if err := document.Bind(c.boundID); err != nil {
			return err
		}
		bucket.Policy = document
		return nil
	})
}

// SetOwnership changes Object Ownership.
func (c *Cloud) SetOwnership(name string, ownership Ownership) error {
	switch ownership {
	case BucketOwnerEnforced, BucketOwnerPreferred, ObjectWriter:
	default:
		return fmt.Errorf("no Object Ownership %q", ownership)
	}
	return c.change(name, func(bucket *Bucket) error { bucket.Ownership = ownership; return nil })
}

// SetOwner hands a bucket over: as if it had been deleted, and made by somebody else.
func (c *Cloud) SetOwner(name, owner string) error {
	return c.change(name, func(bucket *Bucket) error {
		account, err := c.account(owner)
		if err == nil {
			bucket.Owner = account
		}
		return err
	})
}

// SetEncryption changes the bucket's default.
func (c *Cloud) SetEncryption(name string, encryption Encryption) error {
	switch encryption.Algorithm {
	case "AES256", "aws:kms":
	default:
		return fmt.Errorf("no encryption %q", encryption.Algorithm)
	}
	return c.change(name, func(bucket *Bucket) error { bucket.Encryption = encryption; return nil })
}

// KeepObject remembers what was said about an object when it was written.
func (c *Cloud) KeepObject(bucket, key string, object Object) {
	_ = c.change(bucket, func(b *Bucket) error { b.objects[key] = object; return nil })
}

// ForgetObject goes with an object.
func (c *Cloud) ForgetObject(bucket, key string) {
	_ = c.change(bucket, func(b *Bucket) error { delete(b.objects, key); return nil })
}

// Object is what is kept of one.
func (c *Cloud) Object(bucket, key string) (object Object, known bool) {
	_ = c.change(bucket, func(b *Bucket) error { object, known = b.objects[key]; return nil })
	return object, known
}

// Objects is what is kept of all, by key.
func (c *Cloud) Objects(bucket string) (all map[string]Object, err error) {
	err = c.change(bucket, func(b *Bucket) error { all = maps.Clone(b.objects); return nil })
	return all, err
}

// SetArchived moves an object into its archive, or restores a copy of it.
func (c *Cloud) SetArchived(bucket, key string, archived bool) error {
	return c.change(bucket, func(b *Bucket) error {
		object, known := b.objects[key]
		if !known {
			return fmt.Errorf("no object %s in bucket %s", key, bucket)
		}
		object.Archived = archived
		b.objects[key] = object
		return nil
	})
}

// KeepUpload remembers an upload that was created.
func (c *Cloud) KeepUpload(bucket string, upload Upload) {
	_ = c.change(bucket, func(b *Bucket) error { b.uploads[upload.ID] = upload; return nil })
}

// ForgetUpload goes with one that was completed or aborted.
func (c *Cloud) ForgetUpload(bucket, id string) {
	_ = c.change(bucket, func(b *Bucket) error { delete(b.uploads, id); return nil })
}

// Upload is what is kept of one.
func (c *Cloud) Upload(bucket, id string) (upload Upload, known bool) {
	_ = c.change(bucket, func(b *Bucket) error { upload, known = b.uploads[id]; return nil })
	return upload, known
}

// Uploads are the open ones.
func (c *Cloud) Uploads(bucket string) ([]Upload, error) {
	all := []Upload{}
	err := c.change(bucket, func(b *Bucket) error {
		for _, upload := range b.uploads {
			all = append(all, upload)
		}
		return nil
	})
	return all, err
}

// Authorize decides about an action on a bucket or on one of its objects.
func (c *Cloud) Authorize(caller Caller, bucket Bucket, action, arn string, keys map[string]string) Decision {
	c.lock.Lock()
	defer c.lock.Unlock()
	request := policy.Request{Action: action, Resource: arn, Keys: maps.Clone(keys)}
	addCaller(request.Keys, caller)
	return c.decide(caller, request, resource{owner: bucket.Owner, policy: bucket.Policy})
}

// Account finds one.
func (c *Cloud) Account(id string) (*Account, bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, ok := c.accounts[id]
	return found, ok
}

// AuthorizeAccount decides about an action on the caller's own account, such as making a bucket.
func (c *Cloud) AuthorizeAccount(caller Caller, action, arn string, keys map[string]string) (Decision, *Account) {
	c.lock.Lock()
	defer c.lock.Unlock()
	request := policy.Request{Action: action, Resource: arn, Keys: maps.Clone(keys)}
	addCaller(request.Keys, caller)
	account, known := c.accounts[caller.Account]
	if !known {
		return Decision{request: request}, nil
	}
	return c.decide(caller, request, resource{owner: account}), account
}
