package policy

// Caller is who asks, as policies see it.
type Caller struct {
	// Account has 12 digits; empty for nobody (an unsigned request).
	Account string
	// ARN is the user's, the session's or the account's root's.
	ARN string
	// RoleARN is set for a session.
	RoleARN string
	// ID is the unique id of the user or the role.
	ID string
}

// Request is one question: may the caller do that?
type Request struct {
	Caller   Caller
	Action   string
	Resource string
	// Keys of the conditions, in lower case.
	Keys map[string]string
}

// Answer is what one document, or several together, say about a request.
type Answer int

const (
	// Silent: nothing applies.
	Silent Answer = iota
	// AccountAllowed: the caller's whole account is allowed, so its identity policies decide.
	AccountAllowed
	// Allowed: the caller itself is.
	Allowed
	// Denied explicitly.
	Denied
)

// Evaluate answers for this document. A nil document is silent.
func (d *Document) Evaluate(request Request) Answer {
	answer := Silent
	if d == nil {
		return answer
	}
	for _, statement := range d.statements {
		if found := statement.answer(request); found > answer {
			answer = found
		}
	}
	return answer
}

// EvaluateAll answers for several documents of one identity.
func EvaluateAll(documents []*Document, request Request) Answer {
	answer := Silent
	for _, document := range documents {
		if found := document.Evaluate(request); found > answer {
			answer = found
		}
	}
	return answer
}

func (s statement) answer(request Request) Answer {
	match := s.principal(request.Caller)
	if match == Silent || !s.action(request.Action) || !s.resource(request.Resource) {
		return Silent
	}
	for _, condition := range s.conditions {
		if !condition.fulfilled(request.Keys) {
			return Silent
		}
	}
	if !s.allow {
		return Denied
	}
	return match
}

func (s statement) action(action string) bool {
	if len(s.notActions) > 0 {
		return !anyAction(action, s.notActions)
	}
	return anyAction(action, s.actions)
}

// resource: a statement of a trust policy has none and is about its role.
func (s statement) resource(resource string) bool {
	switch {
	case len(s.notResources) > 0:
		return !anyLike(resource, s.notResources)
	case len(s.resources) > 0:
		return anyLike(resource, s.resources)
	default:
		return true
	}
}

// principal: an identity policy names none and is about its owner.
func (s statement) principal(caller Caller) Answer {
	if s.principals == nil {
		return Allowed
	}
	best := Silent
	for _, principal := range s.principals {
		if match := principal.match(caller); match > best {
			best = match
		}
	}
	return best
}

func (p principal) match(caller Caller) Answer {
	switch {
	case p.any:
		return Allowed
	case p.account != "":
		if p.account == caller.Account {
			return AccountAllowed
		}
	case p.id != "":
		if p.id == caller.ID {
			return Allowed
		}
	case p.arn == caller.ARN, caller.RoleARN != "" && p.arn == caller.RoleARN:
		return Allowed
	}
	return Silent
}
