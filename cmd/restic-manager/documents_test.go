package main

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// A command of the documents, in a line of its own or within one.
var commandOf = regexp.MustCompile("(?m)^ {4,}(?:bin/)?restic-manager ([a-z][^|\n]*)$|`restic-manager ([a-z][^`]*)`")

// What the documents about programs that listen have people type is understood, and what they
// start does not ask for one port twice.
func TestTheDocumentsCommandsAreUnderstood(t *testing.T) {
	for _, name := range []string{"HOME-ASSISTANT.md", "INSTALL.md", "METRICS.md", "OPERATIONS.md", "TOPICS.md", "UPLINK.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		found := commandOf.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s has no command", name)
		}
		for _, m := range found {
			line := strings.ReplaceAll(m[1]+m[2], " …", "")
			args := strings.Fields(line)
			if !slices.Contains(args, "--data") && args[0] != "ready" { // which asks whoever listens
				args = append(args, "--data", "DIR")
			}
			var got cli
			_, err := kong.Must(&got, options(t.Context())...).Parse(withTaken(args))
			if err != nil && !strings.Contains(err.Error(), "missing") && !strings.Contains(err.Error(), "expected") { // what it leaves open
				t.Errorf("%s: restic-manager %s: %v", name, line, err)
			}
			if args[0] != "serve" || err != nil {
				continue
			}
			ports := map[string]string{}
			for flag, address := range map[string]string{"--http": got.Serve.HTTP, "--agents": got.Serve.Agents, "--mqtt": got.Serve.MQTT} {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					t.Errorf("%s: restic-manager %s: %s: %v", name, line, flag, err)
				}
				if other := ports[port]; other != "" {
					t.Errorf("%s: restic-manager %s: %s and %s both ask for port %s", name, line, flag, other, port)
				}
				ports[port] = flag
			}
		}
	}
}
