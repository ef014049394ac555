package repositorypages

import "testing"

// The page of an import does not grow with rows times source groups.
func TestThePageOfAnImportHasFewerRowsWhereThereAreManyGroups(t *testing.T) {
	for groups, want := range map[int]int{0: 100, 1: 100, 200: 100, 400: 50, 1500: 13, 5000: 10} {
		if rows := rowsOf(groups); rows != want {
			t.Errorf("with %d groups it has %d rows, want %d", groups, rows, want)
		}
	}
}
