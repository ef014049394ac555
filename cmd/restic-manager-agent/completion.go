package main

import (
	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/manual"
)

type completion struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the completions. The packages bring them along.
func (c *completion) Run(app *kong.Kong, s streams) error {
	return manual.Completion(s.out, app.Model, c.Shell)
}
