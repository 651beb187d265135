//go:build tools

// Package tools pins a third-party S3 server that `make compat` delivers to.
package tools

import _ "github.com/minio/minio"
