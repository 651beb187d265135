package policy

import "strings"

// token is a character to be met, or a wildcard.
type token struct {
	char rune
	wild bool
}

// tokens reads a pattern; `${*}`, `${?}` and `${$}` stand for the characters themselves.
func tokens(pattern string) []token {
	var all []token
	for len(pattern) > 0 {
		if len(pattern) >= 4 && pattern[:2] == "${" && pattern[3] == '}' && strings.ContainsAny(pattern[2:3], "*?$") {
			all = append(all, token{char: rune(pattern[2])})
			pattern = pattern[4:]
			continue
		}
		for _, char := range pattern {
			all = append(all, token{char: char, wild: char == '*' || char == '?'})
			pattern = pattern[len(string(char)):]
			break
		}
	}
	return all
}

// like compares with a pattern in which * stands for any characters and ? for one.
func like(value, pattern string) bool {
	return likeTokens([]rune(value), tokens(pattern))
}

// likeTokens is the usual greedy match that goes back to the latest star only: linear but for that.
func likeTokens(value []rune, pattern []token) bool {
	at, next, star, resume := 0, 0, -1, 0
	for at < len(value) {
		switch {
		case next < len(pattern) && pattern[next].wild && pattern[next].char == '*':
			star, resume = next, at
			next++
		case next < len(pattern) && (pattern[next].char == value[at] || pattern[next].wild):
			at++
			next++
		case star >= 0:
			resume++
			at, next = resume, star+1
		default:
			return false
		}
	}
	for next < len(pattern) && pattern[next].wild && pattern[next].char == '*' {
		next++
	}
	return next == len(pattern)
}

func anyLike(value string, patterns []string) bool {
	for _, pattern := range patterns {
		if like(value, pattern) {
			return true
		}
	}
	return false
}

// anyAction: the names of actions are compared without regard to case.
func anyAction(action string, patterns []string) bool {
	for _, pattern := range patterns {
		if like(strings.ToLower(action), strings.ToLower(pattern)) {
			return true
		}
	}
	return false
}
