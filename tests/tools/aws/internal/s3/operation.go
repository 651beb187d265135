package s3

import (
	"net/http"
	"net/url"
	"strings"
)

// operation is a request, told apart by method and query as S3 does.
type operation struct {
	// name as S3's API has it.
	name string
	// action that the caller must be allowed, on the object when it has a key, else on the bucket.
	action string
	// writes: it begins an object, so ACL, tags, encryption and storage class are chosen with it.
	writes bool
}

// route finds an operation; the first whose method, level and query fit.
type route struct {
	method string
	object bool
	// query must hold this parameter; empty: any request.
	query string
	operation
}

// routes, special ones first. What isn't here is answered with 501.
var routes = []route{
	{http.MethodPost, true, "uploads", operation{"CreateMultipartUpload", "s3:PutObject", true}},
	{http.MethodPost, true, "uploadId", operation{"CompleteMultipartUpload", "s3:PutObject", false}},
	{http.MethodPut, true, "partNumber", operation{"UploadPart", "s3:PutObject", false}},
	{http.MethodPut, true, "tagging", operation{"PutObjectTagging", "s3:PutObjectTagging", false}},
	{http.MethodPut, true, "", operation{"PutObject", "s3:PutObject", true}},
	{http.MethodGet, true, "uploadId", operation{"ListParts", "s3:ListMultipartUploadParts", false}},
	{http.MethodGet, true, "tagging", operation{"GetObjectTagging", "s3:GetObjectTagging", false}},
	{http.MethodGet, true, "", operation{"GetObject", "s3:GetObject", false}},
	{http.MethodHead, true, "", operation{"HeadObject", "s3:GetObject", false}},
	{http.MethodDelete, true, "uploadId", operation{"AbortMultipartUpload", "s3:AbortMultipartUpload", false}},
	{http.MethodDelete, true, "", operation{"DeleteObject", "s3:DeleteObject", false}},
	{http.MethodGet, false, "uploads", operation{"ListMultipartUploads", "s3:ListBucketMultipartUploads", false}},
	{http.MethodGet, false, "policy", operation{"GetBucketPolicy", "s3:GetBucketPolicy", false}},
	{http.MethodPut, false, "policy", operation{"PutBucketPolicy", "s3:PutBucketPolicy", false}},
	{http.MethodDelete, false, "policy", operation{"DeleteBucketPolicy", "s3:DeleteBucketPolicy", false}},
	{http.MethodGet, false, "location", operation{"GetBucketLocation", "s3:GetBucketLocation", false}},
	{http.MethodGet, false, "list-type", operation{"ListObjectsV2", "s3:ListBucket", false}},
	{http.MethodHead, false, "", operation{"HeadBucket", "s3:ListBucket", false}},
	{http.MethodPut, false, "", operation{"CreateBucket", "s3:CreateBucket", false}},
	{http.MethodDelete, false, "", operation{"DeleteBucket", "s3:DeleteBucket", false}},
}

// qualifiers are parameters that don't change which operation it is.
var qualifiers = map[string]bool{
	"x-id": true, "prefix": true, "delimiter": true, "max-keys": true, "max-uploads": true, "max-parts": true,
	"part-number-marker": true, "key-marker": true, "upload-id-marker": true, "encoding-type": true,
	"continuation-token": true, "start-after": true, "fetch-owner": true, "uploadId": true, "list-type": true,
	"partNumber": true,
}

// find tells which operation that is, or not.
func find(method string, object bool, query url.Values) (operation, bool) {
	for _, route := range routes {
		if route.method != method || route.object != object || route.query != "" && !query.Has(route.query) {
			continue
		}
		for name := range query {
			if name != route.query && !qualifiers[name] {
				return operation{}, false
			}
		}
		return route.operation, true
	}
	return operation{}, false
}

// place splits a path-style path into bucket and key.
func place(path string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return bucket, key
}

// Headers that grant to others than canned ACLs do.
var grants = []string{
	"X-Amz-Grant-Full-Control", "X-Amz-Grant-Read", "X-Amz-Grant-Read-Acp", "X-Amz-Grant-Write-Acp",
}
