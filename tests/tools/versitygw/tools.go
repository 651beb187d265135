//go:build tools

// Package tools pins the S3 server that the tests and the demo write to.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
