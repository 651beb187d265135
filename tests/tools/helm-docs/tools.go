//go:build tools

// Package tools pins what writes the chart's README from its values.
package tools

import _ "github.com/norwoodj/helm-docs/cmd/helm-docs"
