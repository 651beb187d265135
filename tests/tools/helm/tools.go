//go:build tools

// Package tools pins Helm, with which the tests check, render and install the chart.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
