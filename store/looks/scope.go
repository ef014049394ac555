package looks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Scope is how much of a repository a check reads: its structure, which every check
// does, one slice of its data besides ("3/12"), or all of it.
type Scope string

// The scopes that are no slice.
const (
	Structure Scope = "structure"
	All       Scope = "all"
)

// slice returns which of how many slices the scope is; 1 of 1 is all of the data and
// 0 of 0 none.
func (s Scope) slice() (n, of int) {
	switch s {
	case Structure:
		return 0, 0
	case All:
		return 1, 1
	}
	first, rest, _ := strings.Cut(string(s), "/")
	n, _ = strconv.Atoi(first)
	of, _ = strconv.Atoi(rest)
	if n < 1 || n > of {
		return 1, 1 // what we do not understand may be anywhere
	}
	return n, of
}

// holds reports whether a check of scope s looks at everything that one of t looks at.
// restic divides packs by the remainder of their IDs: the slice 1/4 holds 1/8 and 5/8.
func (s Scope) holds(t Scope) bool {
	n, of := s.slice()
	m, by := t.slice()
	switch {
	case by == 0:
		return true
	case of == 0:
		return false
	}
	return by%of == 0 && (m-n)%of == 0
}

// join returns the smallest scope known to hold both.
func (s Scope) join(t Scope) Scope {
	switch {
	case s.holds(t):
		return s
	case t.holds(s):
		return t
	}
	return All
}

// Covered reports whether checks of the scopes in list have together looked at
// everything that s stands for.
func (s Scope) Covered(list []Scope) bool {
	if slices.ContainsFunc(list, func(t Scope) bool { return t.holds(s) }) {
		return true
	}
	n, of := s.slice()
	for _, t := range list { // any slicing of which all those slices were read that lie in s
		_, by := t.slice()
		if by == 0 || by%of != 0 {
			continue
		}
		whole := true
		for m := n; m <= by && whole; m += of {
			whole = slices.ContainsFunc(list, func(t Scope) bool { return t.holds(Scope(fmt.Sprintf("%d/%d", m, by))) })
		}
		if whole {
			return true
		}
	}
	return false
}
