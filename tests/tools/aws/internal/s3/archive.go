package s3

import (
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"
)

// checkArchive: what lies in an archive can't be read before a copy of it is restored.
func (c *call) checkArchive() error {
	if c.name != "GetObject" || !c.object.Archived {
		return nil
	}
	return refusal(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
}

// tellClasses says in a listing of objects in which class each is: the gateway knows but one.
func (c *call) tellClasses(reply *answer) error {
	return edit(reply, func(listing *s3response.ListObjectsV2Result) {
		for at := range listing.Contents {
			object := &listing.Contents[at]
			key := *object.Key
			if listing.EncodingType == types.EncodingTypeUrl {
				if plain, err := url.QueryUnescape(key); err == nil {
					key = plain
				}
			}
			if kept, known := c.server.Cloud.Object(c.bucketName, key); known {
				object.StorageClass = types.ObjectStorageClass(kept.StorageClass)
			}
		}
	})
}
