package main

import (
	"errors"
	"maps"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// connection are the flags of every command that say where the database is and what
// opens it. With the settings of serve, and the file that holds them, they are all that
// the environment may set: a variable that was left there for one command would
// otherwise change what another does.
var connection = []string{"data", "key-file", "config"}

// besideServe are the commands that look at where serve is: they take from the environment
// what serve does, and nothing else.
var besideServe = []string{"ready", "doctor", "support-bundle"}

// An environment is which variables set flags, and which do not any more.
type environment struct{ ignored map[*kong.Flag]string }

// narrow takes the variables from all other flags. It comes after [kong.DefaultEnvars].
func (e *environment) narrow(k *kong.Kong) error {
	e.ignored = map[*kong.Flag]string{}
	ofServe := map[string]bool{}
	for _, c := range k.Model.Children {
		for _, f := range c.Flags {
			ofServe[f.Name] = ofServe[f.Name] || c.Name == "serve"
		}
	}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			takes := n.Name == "serve" || slices.Contains(besideServe, n.Name) && ofServe[f.Name]
			if takes || slices.Contains(connection, f.Name) || len(f.Envs) == 0 {
				continue
			}
			e.ignored[f] = f.Envs[0]
			f.Envs, f.Tag.Envs = nil, nil
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(k.Model.Node)
	return nil
}

// set are the variables that are set and would have set a flag of a command in
// earlier versions.
func (e *environment) set(c *kong.Context) []string {
	found := map[string]bool{}
	for _, f := range c.Flags() {
		if name := e.ignored[f]; name != "" {
			if _, ok := os.LookupEnv(name); ok {
				found[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// warn says which variables are set for nothing.
func (e *environment) warn(c *kong.Context, err error) {
	var wrong *kong.ParseError
	if c == nil && errors.As(err, &wrong) {
		c = wrong.Context
	}
	if c == nil {
		return
	}
	for _, name := range e.set(c) {
		say(os.Stderr, "restic-manager: %s is set and not used: only settings of serve, --data and --key-file come from there.", name)
	}
}
