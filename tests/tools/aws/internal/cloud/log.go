package cloud

import "time"

// Entry is one request that was answered, by S3 or STS.
type Entry struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	// Caller is the ARN of who signed, or "anonymous".
	Caller string `json:"caller"`
	// Operation as AWS's API names it: CreateMultipartUpload, AssumeRole...
	Operation string `json:"operation"`
	// Actions that the caller's policies were asked for, KMS's among them.
	Actions []string `json:"actions"`
	Method  string   `json:"method"`
	Bucket  string   `json:"bucket"`
	Key     string   `json:"key"`
	Query   string   `json:"query"`
	// Headers that tell what was asked for: x-amz-*, without tokens and hashes.
	Headers map[string]string `json:"headers"`
	Status  int               `json:"status"`
	// Code and Message of a refusal.
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Record adds an entry.
func (c *Cloud) Record(entry Entry) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.log = append(c.log, entry)
}

// Log is what was answered so far, in the order of the ends; of one bucket, or of all.
func (c *Cloud) Log(bucket string) []Entry {
	c.lock.Lock()
	defer c.lock.Unlock()
	found := []Entry{}
	for _, entry := range c.log {
		if bucket == "" || entry.Bucket == bucket {
			found = append(found, entry)
		}
	}
	return found
}
