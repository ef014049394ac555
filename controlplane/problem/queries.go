package problem

import (
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/topics"
)

// ofQuery words why a question has no answer, nil if the error is of something else.
func ofQuery(err error) *Problem {
	var refused *queries.Refused
	var input *queries.InputError
	switch {
	case errors.As(err, &input):
		return &Problem{Kind: Invalid, Title: "This cannot be asked for like that", Say: input.Field + ": " + input.Say,
			Do: "Correct it and ask again."}
	case errors.As(err, &refused):
		p := &Problem{Kind: Conflict, Title: refused.Title, Say: refused.Say, Do: refused.Do, Cause: refused.Cause, Command: refused.Command,
			Job: refused.Job, After: refused.After, Err: err}
		if refused.Cause == topics.CauseTooMany {
			p.Kind = TooMany
		}
		if refused.Job != "" {
			p.Link = Link{Text: "Look at the search", URL: "/jobs/" + string(refused.Job)}
		}
		return p
	}
	return nil
}
