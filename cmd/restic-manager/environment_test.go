package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Only these flags come from the environment: the settings of serve, and what says
// where the database is. Whoever adds one here thinks of every other command that has a
// flag of this name.
func TestOnlySettingsComeFromTheEnvironment(t *testing.T) {
	var env environment
	k := kong.Must(&cli{}, append(options(t.Context()), kong.PostBuild(env.narrow))...)
	names := map[string][]string{}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, name := range f.Envs {
				if !slices.Contains(names[name], n.Path()) {
					names[name] = append(names[name], n.Path())
				}
			}
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(k.Model.Node)
	for name, at := range names {
		flag := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "RESTIC_MANAGER_")), "_", "-")
		for _, path := range at {
			beside := slices.ContainsFunc(besideServe, func(c string) bool { return strings.HasSuffix(path, c) }) &&
				slices.ContainsFunc(at, func(p string) bool { return strings.HasSuffix(p, "serve") })
			if !slices.Contains(connection, flag) && !strings.HasSuffix(path, "serve") && !beside {
				t.Errorf("%s sets --%s of %q", name, flag, path)
			}
		}
	}
	for _, name := range []string{"RESTIC_MANAGER_DATA", "RESTIC_MANAGER_KEY_FILE", "RESTIC_MANAGER_HTTP", "RESTIC_MANAGER_AGENTS",
		"RESTIC_MANAGER_MQTT", "RESTIC_MANAGER_LOG_LEVEL"} {
		if names[name] == nil {
			t.Errorf("%s sets nothing any more", name)
		}
	}
	if ignored := slices.Collect(maps.Values(env.ignored)); !slices.Contains(ignored, "RESTIC_MANAGER_ALL") ||
		!slices.Contains(ignored, "RESTIC_MANAGER_APPROVE") {
		t.Errorf("ignored are %v", ignored)
	}
}

func TestAVariableOfAnotherCommandChangesNothing(t *testing.T) {
	t.Setenv("RESTIC_MANAGER_ALL", "true")
	t.Setenv("RESTIC_MANAGER_DATA", "/srv/rm")
	var env environment
	c := &cli{}
	k := kong.Must(c, append(options(t.Context()), kong.PostBuild(env.narrow))...)
	command, err := k.Parse([]string{"job", "start", "--host", "nas", "--kind", "unlock"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Job.Start.All || c.Job.Start.Data != "/srv/rm" {
		t.Errorf("all is %t, data is %q", c.Job.Start.All, c.Job.Start.Data)
	}
	if got := env.set(command); !slices.Equal(got, []string{"RESTIC_MANAGER_ALL"}) {
		t.Errorf("warned of are %v", got)
	}
	if command, err = k.Parse([]string{"version"}); err != nil || len(env.set(command)) != 0 {
		t.Errorf("a command without this flag warns of %v, %v", env.set(command), err)
	}
}
