package main

import (
	"encoding/json"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// verdict is what a tool says of an object.
type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// kstatus says Current, InProgress, Failed or Terminating, by Flux's own library.
func kstatus(object map[string]any) (verdict, error) {
	// Numbers as a cluster's client has them: whole ones are int64, which the library asks for.
	document, err := json.Marshal(object)
	if err != nil {
		return verdict{}, err
	}
	read := &unstructured.Unstructured{}
	if err := read.UnmarshalJSON(document); err != nil {
		return verdict{}, err
	}
	result, err := status.Compute(read)
	if err != nil {
		return verdict{}, err
	}
	return verdict{Status: result.Status.String(), Message: result.Message}, nil
}
