package topics

import "strings"

// SameHost compares two names of machines, as locks and hosts bear them: without regard to
// capitals. A name without a domain may be that of the machine that another calls by its
// whole name, which is not certain: machines of two domains may have one name. Nothing is
// removed for a likeness that is not certain.
func SameHost(a, b string) (same, certain bool) {
	if a == "" || b == "" {
		return false, false
	}
	if strings.EqualFold(a, b) {
		return true, true
	}
	short, whole := a, b
	if len(short) > len(whole) {
		short, whole = whole, short
	}
	first, _, qualified := strings.Cut(whole, ".")
	return qualified && strings.EqualFold(short, first), false
}
