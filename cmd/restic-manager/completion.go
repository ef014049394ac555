package main

import (
	"os"

	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/manual"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the completions. The packages bring them along.
func (c completionCmd) Run(app *kong.Kong) error {
	return manual.Completion(os.Stdout, app.Model, c.Shell)
}
