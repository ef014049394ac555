package web

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
)

// notSaved words bad fields of what was to be saved, a "repository" for example.
// Any other error stays as it is.
func notSaved(what string, err error) error {
	var wrong field.Errors
	if errors.As(err, &wrong) {
		return problem.NotSaved(what, wrong)
	}
	return err
}

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

// checkName says what is wrong with a name, "" if nothing is.
func checkName(what, name string, _, most int) string { return field.NameUpTo(what, name, most) }

// textOf is what an error says, "" for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
