package policy

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// scalars is one value of a condition or a list of them; numbers and booleans count by their text.
type scalars []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalars) UnmarshalJSON(text []byte) error {
	var many []json.RawMessage
	if json.Unmarshal(text, &many) != nil {
		many = []json.RawMessage{text}
	}
	for _, one := range many {
		var word string
		if json.Unmarshal(one, &word) != nil {
			word = strings.TrimSpace(string(one))
			if word == "" || strings.ContainsAny(word[:1], "{[n") {
				return fmt.Errorf("%s is no value of a condition", one)
			}
		}
		*s = append(*s, word)
	}
	return nil
}

type condition struct {
	key    string
	values []string
	// holds compares the request's value with one of the policy's.
	holds func(value, pattern string) bool
	// negated: holds for none of the values; and an absent key fulfils it.
	negated bool
	// ifExists: an absent key fulfils it.
	ifExists bool
	// null: only asks whether the key is absent.
	null bool
}

func equal(value, pattern string) bool { return value == pattern }

func boolean(value, pattern string) bool { return strings.EqualFold(value, pattern) }

// numeric makes a comparison of two numbers; what is no number is never true.
func numeric(compare func(a, b float64) bool) func(value, pattern string) bool {
	return func(value, pattern string) bool {
		a, first := strconv.ParseFloat(value, 64)
		b, second := strconv.ParseFloat(pattern, 64)
		return first == nil && second == nil && compare(a, b)
	}
}

// operators are those that are evaluated; any other is an error of the policy.
var operators = map[string]condition{
	"StringEquals":              {holds: equal},
	"StringNotEquals":           {holds: equal, negated: true},
	"StringEqualsIgnoreCase":    {holds: strings.EqualFold},
	"StringNotEqualsIgnoreCase": {holds: strings.EqualFold, negated: true},
	"StringLike":                {holds: like},
	"StringNotLike":             {holds: like, negated: true},
	"ArnEquals":                 {holds: like},
	"ArnLike":                   {holds: like},
	"ArnNotEquals":              {holds: like, negated: true},
	"ArnNotLike":                {holds: like, negated: true},
	"Bool":                      {holds: boolean},
	"Null":                      {null: true},
	"NumericEquals":             {holds: numeric(func(a, b float64) bool { return a == b })},
	"NumericLessThan":           {holds: numeric(func(a, b float64) bool { return a < b })},
	"NumericLessThanEquals":     {holds: numeric(func(a, b float64) bool { return a <= b })},
	"NumericGreaterThan":        {holds: numeric(func(a, b float64) bool { return a > b })},
	"NumericGreaterThanEquals":  {holds: numeric(func(a, b float64) bool { return a >= b })},
}

func conditions(raw map[string]map[string]scalars) ([]condition, error) {
	var all []condition
	for name, keys := range raw {
		base, ifExists := strings.CutSuffix(name, "IfExists")
		operator, known := operators[base]
		if !known {
			return nil, fmt.Errorf("condition operator %q is not evaluated", name)
		}
		for key, values := range keys {
			one := operator
			one.key = strings.ToLower(key)
			one.values = values
			one.ifExists = ifExists
			all = append(all, one)
		}
	}
	sort.Slice(all, func(a, b int) bool { return all[a].key < all[b].key })
	return all, nil
}

// fulfilled tells for the request's keys, which are in lower case.
func (c condition) fulfilled(keys map[string]string) bool {
	value, present := keys[c.key]
	if c.null {
		return len(c.values) == 1 && strings.EqualFold(c.values[0], strconv.FormatBool(!present))
	}
	if !present {
		return c.negated || c.ifExists
	}
	for _, pattern := range c.values {
		if c.holds(value, pattern) {
			return !c.negated
		}
	}
	return c.negated
}
