// Package admin is how tests arrange the test AWS and look at what it saw: POST /CALL with a JSON object,
// answered by 200 and JSON, or by 400 and the reason as text.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"outbound.dev/tests/tools/aws/internal/cloud"
	"outbound.dev/tests/tools/aws/internal/s3"
)

// longestCall bounds a request, in bytes.
const longestCall = 1 << 20

// handler answers one call.
type handler func(body *json.Decoder) (any, error)

// call makes a handler of a function of a typed request.
func call[Request any](function func(Request) (any, error)) handler {
	return func(body *json.Decoder) (any, error) {
		var request Request
		body.DisallowUnknownFields()
		if err := body.Decode(&request); err != nil {
			return nil, err
		}
		return function(request)
	}
}

// change is a call that answers nothing.
func change[Request any](function func(Request) error) handler {
	return call(func(request Request) (any, error) { return struct{}{}, function(request) })
}

// seconds of a request as a duration.
func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

// New answers the administrator's calls.
func New(state *cloud.Cloud, server *s3.Server) http.Handler {
	calls := map[string]handler{}
	for _, more := range []map[string]handler{identities(state), buckets(state, server), keys(state), switches(state)} {
		for name, handler := range more {
			calls[name] = handler
		}
	}
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		handler, known := calls[request.URL.Path]
		if !known || request.Method != http.MethodPost {
			http.Error(writer, fmt.Sprintf("no call %s", request.URL.Path), http.StatusNotFound)
			return
		}
		answer, err := handler(json.NewDecoder(http.MaxBytesReader(writer, request.Body, longestCall)))
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		writer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(writer).Encode(answer)
	})
}

type arnOnly struct {
	ARN string `json:"arn"`
}

func identities(state *cloud.Cloud) map[string]handler {
	type account struct{ ID, Partition, Organization string }
	type member struct {
		Account, Name, Trust string
		Policies             []string
	}
	type policies struct {
		ARN      string
		Policies []string
	}
	type trust struct{ ARN, Trust string }
	type session struct {
		Role, Name string
		Seconds    float64
	}
	return map[string]handler{
		// Again: changes the organization. Answers keys of the account's root.
		"/account": call(func(r account) (any, error) {
			return state.AddAccount(cloud.Account{ID: r.ID, Partition: r.Partition, Organization: r.Organization})
		}),
		"/user": call(func(r member) (any, error) { return state.AddUser(r.Account, r.Name, r.Policies) }),
		"/role": call(func(r member) (any, error) {
			arn, err := state.AddRole(r.Account, r.Name, r.Trust, r.Policies)
			return arnOnly{arn}, err
		}),
		"/delete":     change(func(r arnOnly) error { return state.DeleteIdentity(r.ARN) }),
		"/key":        call(func(r arnOnly) (any, error) { return state.NewKey(r.ARN) }),
		"/delete-key": change(func(r struct{ AccessKeyID string }) error { return state.DeleteKey(r.AccessKeyID) }),
		"/policies":   change(func(r policies) error { return state.SetPolicies(r.ARN, r.Policies) }),
		"/trust":      change(func(r trust) error { return state.SetTrust(r.ARN, r.Trust) }),
		// Not by AssumeRole: as a pod or a node gets its own.
		"/session": call(func(r session) (any, error) { return state.IssueSession(r.Role, r.Name, seconds(r.Seconds)) }),
		"/ttl":     change(func(r session) error { return state.SetTTL(r.Role, seconds(r.Seconds)) }),
		"/expire": call(func(r session) (any, error) {
			ended, err := state.ExpireSessions(r.Role)
			return struct {
				Ended int `json:"ended"`
			}{ended}, err
		}),
	}
}

func buckets(state *cloud.Cloud, server *s3.Server) map[string]handler {
	type bucket struct{ Name, Owner, Region, Policy, Ownership string }
	type encryption struct {
		Name string
		cloud.Encryption
	}
	type archive struct {
		Name, Key string
		Archived  bool
	}
	return map[string]handler{
		"/archive":       change(func(r archive) error { return state.SetArchived(r.Name, r.Key, r.Archived) }),
		"/bucket":        change(func(r bucket) error { return server.AddBucket(r.Name, r.Owner, r.Region) }),
		"/bucket-owner":  change(func(r bucket) error { return state.SetOwner(r.Name, r.Owner) }),
		"/bucket-policy": change(func(r bucket) error { return state.SetBucketPolicy(r.Name, r.Policy) }),
		"/ownership":     change(func(r bucket) error { return state.SetOwnership(r.Name, cloud.Ownership(r.Ownership)) }),
		"/encryption":    change(func(r encryption) error { return state.SetEncryption(r.Name, r.Encryption) }),
		"/objects":       call(func(r bucket) (any, error) { return state.Objects(r.Name) }),
		"/uploads":       call(func(r bucket) (any, error) { return state.Uploads(r.Name) }),
	}
}

func keys(state *cloud.Cloud) map[string]handler {
	type key struct{ Account, Region, ARN, Policy, State string }
	return map[string]handler{
		"/kms-key": call(func(r key) (any, error) {
			arn, err := state.AddKey(r.Account, r.Region, r.Policy)
			return arnOnly{arn}, err
		}),
		"/kms-policy": change(func(r key) error { return state.SetKeyPolicy(r.ARN, r.Policy) }),
		"/kms-state":  change(func(r key) error { return state.SetKeyState(r.ARN, r.State) }),
	}
}

func switches(state *cloud.Cloud) map[string]handler {
	type place struct{ Bucket string }
	return map[string]handler{
		"/deny":   change(state.Deny),
		"/undeny": change(func(r place) error { return state.Undeny(r.Bucket) }),
		"/log":    call(func(r place) (any, error) { return state.Log(r.Bucket), nil }),
	}
}
