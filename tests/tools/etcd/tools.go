//go:build tools

// Package tools pins the etcd that the test control plane runs on.
package tools

import _ "go.etcd.io/etcd/server/v3/etcdmain"
