//go:build tools

// Package tools pins s5cmd.
package tools

import _ "github.com/peak/s5cmd/v2"
