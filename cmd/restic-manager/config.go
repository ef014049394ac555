package main

import (
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
)

// settings is a configuration file: flags by their names, for whichever command
// has one of that name, or below a command's name for it alone. The command
// line comes first, then the environment, then the file.
type settings struct{ yaml kong.Resolver }

func readSettings(r io.Reader) (kong.Resolver, error) {
	yaml, err := kongyaml.Loader(r)
	return settings{yaml}, err
}

// Validate implements kong.Resolver.
func (s settings) Validate(app *kong.Application) error { return s.yaml.Validate(app) }

// Resolve implements kong.Resolver.
func (s settings) Resolve(c *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if slices.ContainsFunc(flag.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set }) {
		return nil, nil
	}
	value, err := s.yaml.Resolve(c, parent, flag)
	if value != nil || err != nil {
		return value, err
	}
	if len(flag.Envs) == 0 {
		return nil, nil // one command's alone, see connection
	}
	return s.yaml.Resolve(c, &kong.Path{App: c.Model}, flag) // as if the flag were everybody's
}
