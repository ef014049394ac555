package process

import (
	"slices"
	"testing"
)

func TestDescendantsAreNotWhoHasAnOldNumber(t *testing.T) {
	all := []parented{
		{1, 0, 1}, {10, 1, 100}, // the agent, and what it started
		{11, 10, 110}, {12, 11, 120}, {13, 12, 0}, // a child, one of its own, and one that says nothing
		{14, 10, 50}, {15, 14, 130}, // began before its parent: its parent was another process of the same number
		{20, 1, 105},
		{30, 30, 1}, // its own parent
	}
	if got := descendants(10, all); !slices.Equal(got, []uint32{13, 12, 11}) {
		t.Errorf("10 has the descendants %v", got)
	}
	if got := descendants(30, all); len(got) != 0 {
		t.Errorf("30 has the descendants %v", got)
	}
}
