package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
)

func TestSettingsComeFromTheCommandLineThenTheEnvironmentThenTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.yaml")
	for what, c := range map[string]struct {
		yaml, env string
		args      []string
		want      string // --http
	}{
		"by the flag's name":            {"data: /d\nhttp: 127.0.0.1:1\n", "", nil, "127.0.0.1:1"},
		"below the command":             {"serve:\n  data: /d\n  http: 127.0.0.1:2\n", "", nil, "127.0.0.1:2"},
		"its own before everybody's":    {"data: /d\nhttp: 127.0.0.1:1\nserve:\n  http: 127.0.0.1:2\n", "", nil, "127.0.0.1:2"},
		"another command's is not ours": {"data: /d\ndemo:\n  http: 127.0.0.1:3\n", "", nil, "127.0.0.1:8080"},
		"the environment outranks it":   {"data: /d\nhttp: 127.0.0.1:1\n", "127.0.0.1:4", nil, "127.0.0.1:4"},
		"the command line outranks all": {"data: /d\nhttp: 127.0.0.1:1\n", "127.0.0.1:4", []string{"--http", "127.0.0.1:5"}, "127.0.0.1:5"},
	} {
		t.Run(what, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(c.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.env != "" {
				t.Setenv("RESTIC_MANAGER_HTTP", c.env)
			}
			var got cli
			parser := kong.Must(&got, options(t.Context())...)
			if _, err := parser.Parse(append([]string{"serve", "--config", file}, c.args...)); err != nil {
				t.Fatal(err)
			}
			if got.Serve.HTTP != c.want || got.Serve.Data != "/d" {
				t.Errorf("--http %s --data %s, want %s and /d", got.Serve.HTTP, got.Serve.Data, c.want)
			}
		})
	}
}
