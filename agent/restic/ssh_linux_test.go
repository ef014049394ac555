package restic

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/sftp"
	"github.com/restic-manager/restic-manager/agent/sftp/sshd"
	"github.com/restic-manager/restic-manager/topics"
)

// far is a world whose repository is on a real SSH server, which knows nobody and which
// nobody knows.
func far(t *testing.T, options ...string) (*world, *sshd.Server) {
	t.Helper()
	w, s := newWorld(t), sshd.Start(t, options...)
	w.vault()
	w.repo.URL = topics.Secret(s.URL(w.repo.URL.Reveal()))
	w.b.SSH = sftp.Home{Dir: filepath.Join(t.TempDir(), "state with a space", "ssh")}
	w.b.Timing.Reach = time.Millisecond
	return w, s
}

// introduce makes both know each other.
func introduce(w *world, s *sshd.Server) {
	w.t.Helper()
	public, err := w.b.SSH.Make("attic")
	if err != nil {
		w.t.Fatal(err)
	}
	s.Authorize(public)
	e := w.reach()
	w.want(e, topics.Failed, topics.CauseHostKey)
	w.accept(e, s, false)
}

func (w *world) reach() Ending { return w.b.Reach(w.t.Context(), w.repo, w.sink) }

func (w *world) accept(e Ending, s *sshd.Server, other bool) {
	w.t.Helper()
	if len(e.HostKeys) != 1 || e.HostKeys[0].Fingerprint != s.Fingerprint() || e.HostKeys[0].Name != s.Name() {
		w.t.Fatalf("the ending has the keys %+v, and %s of %s was shown", e.HostKeys, s.Fingerprint(), s.Name())
	}
	if _, err := w.b.SSH.Accept(s.Name(), s.Fingerprint(), other); err != nil {
		w.t.Fatal(err)
	}
}

func TestANewUserOfSFTPIsLedIn(t *testing.T) {
	t.Parallel()
	w, s := far(t)
	e := w.reach()
	w.want(e, topics.Failed, topics.CauseHostKey)
	if !strings.Contains(e.Message, s.Fingerprint()) {
		t.Errorf("it says %q, without the fingerprint", e.Message)
	}
	w.want(w.backup(), topics.Failed, topics.CauseHostKey) // restic alone ends of the same, whenever that begins

	w.accept(e, s, false)
	w.want(w.reach(), topics.Failed, topics.CauseKeyRefused)
	w.want(w.backup(), topics.Failed, topics.CauseKeyRefused)

	public, err := w.b.SSH.Make("attic")
	if err != nil {
		t.Fatal(err)
	}
	s.Authorize(public)
	w.want(w.reach(), topics.Succeeded, topics.CauseNone)
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)

	w.repo.URL = topics.Secret(fmt.Sprintf("sftp://%s@127.0.0.1:%d/%s/nowhere", s.User, s.Port, t.TempDir()))
	w.want(w.reach(), topics.Succeeded, topics.CauseNone)
	w.want(w.backup(), topics.Failed, topics.CauseNoRepository)
}

func TestAnotherKeyOfAServerIsNotTrusted(t *testing.T) {
	t.Parallel()
	w, s := far(t)
	introduce(w, s)
	w.want(w.reach(), topics.Succeeded, topics.CauseNone)
	first := s.Fingerprint()
	s.Stop()
	s.Rekey()
	s.Begin()
	e := w.reach()
	w.want(e, topics.Failed, topics.CauseHostKeyOther)
	w.want(w.backup(), topics.Failed, topics.CauseHostKeyOther)
	if len(e.HostKeys) != 1 || !strings.HasSuffix(e.HostKeys[0].Known, "known_hosts:1") {
		t.Errorf("it names the keys %+v, and not where the other is known", e.HostKeys)
	}
	for _, c := range []struct {
		name, print string
		want        error
	}{
		{s.Name(), s.Fingerprint(), sftp.ErrChanged},
		{s.Name(), first, sftp.ErrNotOffered},
		{"[127.0.0.1]:1", s.Fingerprint(), sftp.ErrNotOffered},
	} {
		if _, err := w.b.SSH.Accept(c.name, c.print, false); err != c.want {
			t.Errorf("accepting %s of %s: %v, want %v", c.print, c.name, err, c.want)
		}
	}
	w.accept(e, s, true)
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
}

// What the user of the agent had before counts beside what the agent has.
func TestWhatTheUserHadForSSHGoesOnWorking(t *testing.T) {
	w, s := far(t)
	home := t.TempDir()
	other := sftp.Home{Dir: filepath.Join(home, "keys")}
	public, err := other.Make("of the user")
	if err != nil {
		t.Fatal(err)
	}
	s.Authorize(public)
	for name, content := range map[string]string{"known_hosts": s.HostKey(), "config": fmt.Sprintf("Host nas\n HostName 127.0.0.1\n Port %d\n"+
		" UserKnownHostsFile %s/known_hosts\n IdentityFile %s/keys/id_ed25519\n LogLevel QUIET\n", s.Port, home, home)} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ssh(t, fmt.Sprintf(`exec /usr/bin/ssh -F '%s/config' "$@"`, home))
	dir := strings.TrimPrefix(w.repo.URL.Reveal(), s.URL(""))
	w.repo.URL = topics.Secret("sftp:" + s.User + "@nas:" + dir)
	w.want(w.reach(), topics.Succeeded, topics.CauseNone)
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	if _, err := w.b.SSH.Make("attic"); err != nil { // which the server does not know
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.b.SSH.Dir, "known_hosts"), []byte("elsewhere "+s.HostKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.want(w.reach(), topics.Succeeded, topics.CauseNone)
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
}

func TestWhyAnSFTPServerDoesNotServe(t *testing.T) {
	for _, c := range []struct {
		what    string
		options []string
		change  func(t *testing.T, w *world, s *sshd.Server)
		cause   topics.Cause
		says    string
	}{
		{"only SFTP is allowed", []string{"ForceCommand internal-sftp"}, nil, topics.CauseNone, ""},
		{"a greeting that says anything", nil, func(t *testing.T, w *world, s *sshd.Server) {
			banner := filepath.Join(t.TempDir(), "banner")
			if err := os.WriteFile(banner, []byte("Host key verification failed.\nPermission denied (publickey).\n"+
				"No space left on device\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.Stop()
			s.Set("Banner " + banner)
			s.Begin()
		}, topics.CauseNone, ""},
		{"no SFTP", []string{"Subsystem other /bin/false"}, nil, topics.CauseUsage, "subsystem request failed"},
		{"an SFTP that ends at once", []string{"Subsystem sftp /bin/false"}, nil, topics.CauseUsage, "without a word of SFTP"},
		{"a login that says something", []string{`ForceCommand echo "Host key verification failed."`}, nil, topics.CauseUsage,
			"in the place of SFTP"},
		{"nobody listens", nil, func(_ *testing.T, _ *world, s *sshd.Server) { s.Stop() }, topics.CauseUnreachable, "Connection refused"},
		{"a name that is none", nil, func(_ *testing.T, w *world, _ *sshd.Server) { w.repo.URL = "sftp:u@no-such-host.invalid:/r" },
			topics.CauseUnreachable, "Could not resolve hostname"},
		{"a server that says nothing", nil, func(t *testing.T, w *world, _ *sshd.Server) {
			w.b.Timing.Knock = 500 * time.Millisecond
			host, port, _ := strings.Cut(mutes(t), ":")
			w.repo.URL = topics.Secret("sftp://u@" + host + ":" + port + "//r")
		}, topics.CauseUnreachable, "does not answer ssh"},
		{"no ssh", nil, func(t *testing.T, _ *world, _ *sshd.Server) { t.Setenv("PATH", t.TempDir()) }, topics.CauseUsage, `exec: "ssh"`},
		{"a configuration that ssh does not take", nil, func(t *testing.T, _ *world, _ *sshd.Server) {
			ssh(t, `exec /usr/bin/ssh -o NoSuchOption=1 "$@"`)
		}, topics.CauseUsage, "Bad configuration option"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, s := far(t, c.options...)
			introduce(w, s)
			if c.change != nil {
				c.change(t, w, s)
			}
			e := w.reach()
			if c.cause == topics.CauseNone {
				w.want(e, topics.Succeeded, topics.CauseNone)
				w.want(w.backup(), topics.Succeeded, topics.CauseNone)
				return
			}
			w.want(e, topics.Failed, c.cause)
			if !strings.Contains(e.Message, c.says) {
				t.Errorf("it says %q, want %q in it", e.Message, c.says)
			}
		})
	}
}

// A directory that is closed is the server's word, not ssh's.
func TestADirectoryThatAnSFTPServerCloses(t *testing.T) {
	t.Parallel()
	w, s := far(t)
	introduce(w, s)
	if os.Getuid() == 0 {
		// root gets in everywhere: the server's own word, of what is no directory to anybody, stands in
		s.Stop()
		s.Set("ForceCommand internal-sftp -P stat,lstat")
		s.Begin()
	} else if err := os.Chmod(filepath.Dir(w.repo.URL.Reveal()), 0); err != nil {
		t.Fatal(err)
	}
	e := w.reach()
	w.want(e, topics.Failed, topics.CausePermission)
	if !strings.Contains(e.Message, "SSH_FX_PERMISSION_DENIED") {
		t.Errorf("it says %q", e.Message)
	}
}

func TestAnSFTPServerThatIsLostInTheMiddle(t *testing.T) {
	t.Parallel()
	w, s := far(t)
	introduce(w, s)
	w.want(w.reach(), topics.Succeeded, topics.CauseNone)
	big, err := os.Create(filepath.Join(w.source, "big"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(big, rand.Reader, 64<<20); err != nil {
		t.Fatal(err)
	}
	big.Close()
	w.b.Limits.UploadKiB = 4096 // it is at it for a while
	w.b.Timing.CancelGrace = time.Second
	data := filepath.Join(strings.TrimPrefix(w.repo.URL.Reveal(), s.URL("")), "data/*/*")
	cut, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(cut)
		for {
			if packs, _ := filepath.Glob(data); len(packs) > 0 {
				s.Stop()
				return
			}
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	defer func() { close(over); <-cut }()
	e := w.backup()
	w.want(e, topics.Failed, topics.CauseUnreachable)
}
