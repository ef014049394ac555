// Package sftp is how this host reaches a server by SFTP: what the agent itself has for
// it, how ssh is called, by restic and by our own knock alike, and what a knock finds.
//
// The agent has a key pair, if somebody had it made, and the keys of servers that were
// accepted, in a directory of its own. Both are beside what ssh finds in the home of the
// agent's user and in the system: what worked there goes on working. The private half
// never leaves the directory, and a server's key comes into it only if this host was shown
// that very key, and somebody named its fingerprint.
package sftp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/location"
)

// A Home is the directory with what the agent itself has. The zero Home has nothing, and
// ssh is as it is for the agent's user.
type Home struct{ Dir string }

// The files of a Home.
const (
	knownFile   = "known_hosts"
	keyFile     = "id_ed25519"
	offeredFile = "offered.json"
)

// A Target is who is to be reached where, and in which directory.
type Target struct {
	User, Host, Port string // "" of user and port is what ssh's configuration says
	Dir              string
}

// TargetOf is the target of a repository's address, taken apart as restic does. It is false
// for an address of any other kind.
func TargetOf(at location.Address) (Target, bool) {
	if at.Scheme() != "sftp" {
		return Target{}, false
	}
	if u := at.URL(); u != nil {
		return Target{User: u.User.Username(), Host: u.Hostname(), Port: u.Port(), Dir: strings.TrimPrefix(u.Path, "/")}, true
	}
	login, dir, _ := strings.Cut(at.Rest(), ":")
	t := Target{Host: login, Dir: dir}
	if i := strings.LastIndexByte(login, '@'); i >= 0 {
		t.User, t.Host = login[:i], login[i+1:]
	}
	return t, true
}

// Options are what a repository sets of ssh, each as NAME=VALUE: see location.Options.
type Options []string

// args are ssh's arguments, without the program, up to the command. ssh's own words go to
// the file log, which the server and its greeting cannot write to.
func (h Home) args(ctx context.Context, t Target, o Options, log string, more ...string) []string {
	return append(t.args(), h.options(ctx, t, o, log, more...)...)
}

// options are those of them that follow the target.
func (h Home) options(ctx context.Context, t Target, o Options, log string, more ...string) (args []string) {
	set := func(name, value string) { args = append(args, "-o", name+"="+value) }
	set("BatchMode", "yes")
	set("LogLevel", "INFO")
	own := exists(h.file(keyFile))
	if own || exists(h.file(knownFile)) {
		now := configured(ctx, t)
		if exists(h.file(knownFile)) {
			// The first file of users is the one ssh itself may add to: ours is not among those.
			set("GlobalKnownHostsFile", strings.Join(append([]string{quoted(h.file(knownFile))}, now.known...), " "))
		}
		if own {
			set("IdentityFile", quoted(h.file(keyFile)))
			for _, usual := range now.identities {
				set("IdentityFile", usual)
			}
		}
	}
	for _, m := range append(more, o...) {
		args = append(args, "-o", m)
	}
	return append(args, "-E", log)
}

// args are those that say who is to be reached where, as restic writes them.
func (t Target) args() []string {
	args := []string{t.Host}
	if t.Port != "" {
		args = append(args, "-p", t.Port)
	}
	if t.User != "" {
		args = append(args, "-l", t.User)
	}
	return args
}

// Command is restic's option sftp.command: all versions have it. ssh's own words go to the
// file log.
func (h Home) Command(ctx context.Context, t Target, o Options, log string) (string, error) {
	args, err := line(append(h.args(ctx, t, o, log), subsystem...))
	return program + " " + args, err
}

// Args is restic's option sftp.args, which is for all servers of a run: restic itself writes
// the target before it. What depends on the target is as ssh's configuration says of t.
func (h Home) Args(ctx context.Context, t Target, o Options, log string) (string, error) {
	return line(h.options(ctx, t, o, log))
}

func line(args []string) (string, error) {
	words := make([]string, len(args))
	for i, arg := range args {
		var err error
		if words[i], err = word(arg); err != nil {
			return "", err
		}
	}
	return strings.Join(words, " "), nil
}

const program = "ssh"

var subsystem = []string{"-s", "sftp"}

// word is an argument as restic takes it out of a command line: between quotes nothing is
// taken for more than itself, but for a backslash before the closing one.
func word(w string) (string, error) {
	quote := `'`
	if strings.Contains(w, quote) {
		quote = `"`
	}
	if strings.Contains(w, quote) || strings.HasSuffix(w, `\`) {
		return "", fmt.Errorf("restic cannot be given %.200q for ssh: it has both kinds of quotes, or ends with a backslash", w)
	}
	return quote + w + quote, nil
}

// quoted is a file's name as the value of an option of ssh's, in which a percent sign
// stands for something else.
func quoted(path string) string {
	if runtime.GOOS == "windows" {
		path = filepath.ToSlash(path)
	}
	path = strings.ReplaceAll(path, "%", "%%")
	if strings.ContainsAny(path, " \t#") {
		return `"` + path + `"`
	}
	return path
}

func (h Home) file(name string) string {
	if h.Dir == "" {
		return ""
	}
	return filepath.Join(h.Dir, name)
}

func exists(path string) bool {
	if path == "" {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// A configuration is what ssh's own configuration says of a target.
type configuration struct {
	known      []string // files of the system with keys of servers
	identities []string // private keys that are there
}

// configured asks ssh. One that does not answer, or cannot say, has what is usual.
func configured(ctx context.Context, t Target) configuration {
	var c configuration
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var out text
	if path, err := exec.LookPath(program); err == nil {
		process.Run(ctx, process.Spec{
			Path: path, Args: append([]string{"-G"}, t.args()...), Env: process.Inherited(), Dir: os.TempDir(),
			Stdout: &out, Stderr: &text{}, CancelGrace: 100 * time.Millisecond, PipeGrace: 100 * time.Millisecond,
		})
	}
	var identities []string
	for line := range strings.Lines(out.String()) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name {
		case "globalknownhostsfile":
			c.known = strings.Fields(value)
		case "identityfile":
			identities = append(identities, value)
		}
	}
	if c.known == nil {
		c.known = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
		if runtime.GOOS == "windows" {
			c.known = []string{`__PROGRAMDATA__\ssh/ssh_known_hosts`, `__PROGRAMDATA__\ssh/ssh_known_hosts2`}
		}
	}
	if identities == nil {
		identities = []string{"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"}
	}
	home := homeOfUser()
	for _, name := range identities {
		path := name
		if rest, ok := strings.CutPrefix(name, "~"); ok && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, `\`)) {
			path = home + rest
		}
		if strings.ContainsAny(path, "%$") || exists(path) { // what ssh puts in there is its own business
			c.identities = append(c.identities, name)
		}
	}
	return c
}

// homeOfUser is where ssh looks, whatever the variable HOME says.
func homeOfUser() string {
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		return u.HomeDir
	}
	home, _ := os.UserHomeDir()
	return home
}

// text keeps the first 64 KiB of what is written to it.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p[:min(len(p), max(0, 64<<10-t.b.Len()))])
	return len(p), nil
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// Said is what ssh itself said into a log, line by line, without empty ones.
func Said(log string) []string {
	b, err := os.ReadFile(log) // a few lines, whatever the server does
	if err != nil {
		return nil
	}
	return lines(string(b[:min(len(b), 64<<10)]))
}

func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.Trim(line, "@") != "" {
			all = append(all, line)
		}
	}
	return all
}
