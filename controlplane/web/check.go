package web

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
)

// notSavedHere is notSaved for a page whose form is not shown again. It leaves out
// the names of the fields, which a page does not show.
func notSavedHere(what string, err error) error {
	var wrong field.Errors
	if !errors.As(err, &wrong) {
		return err
	}
	p, said := problem.NotSaved(what, wrong), []string{}
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		said = append(said, wrong[name])
	}
	p.Say, p.Do = strings.Join(said, " "), "Change it and save again."
	return p
}
