package sshd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Server is one sshd. It ends with the test.
type Server struct {
	Port int
	User string // who may log in: the test's own user

	t    testing.TB
	dir  string
	said said

	mu      sync.Mutex
	cmd     *exec.Cmd
	gone    chan struct{}
	options []string
	print   string
}

// Start starts a server with a key of its own that nobody knows, to which nobody may log
// in. Options are lines of sshd_config.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, User: who.Username, dir: t.TempDir(), options: options}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	s.Rekey()
	t.Cleanup(s.Stop)
	s.Begin()
	return s
}

// URL is the address of a directory there, an absolute one.
func (s *Server) URL(dir string) string {
	return fmt.Sprintf("sftp://%s@127.0.0.1:%d/%s", s.User, s.Port, dir)
}

// Name is what known_hosts calls it.
func (s *Server) Name() string { return fmt.Sprintf("[127.0.0.1]:%d", s.Port) }

// Fingerprint is that of its key.
func (s *Server) Fingerprint() string { return s.print }

// Rekey gives it another key, from its next Begin on.
func (s *Server) Rekey() {
	s.t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(secret, "")
	if err != nil {
		s.t.Fatal(err)
	}
	half, err := ssh.NewPublicKey(public)
	if err != nil {
		s.t.Fatal(err)
	}
	s.print = ssh.FingerprintSHA256(half)
	s.write("host_key", string(pem.EncodeToMemory(block)))
	s.write("host_key.pub", string(ssh.MarshalAuthorizedKey(half)))
}

// HostKey is its key as known_hosts has it, with its name.
func (s *Server) HostKey() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "host_key.pub"))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.Name() + " " + string(b)
}

// Authorize lets whoever has the private half of a key log in, and nobody else. Options go
// before the key in authorized_keys.
func (s *Server) Authorize(public string) { s.write("authorized_keys", public+"\n") }

// Set puts other lines into its configuration, from its next Begin on.
func (s *Server) Set(options ...string) { s.options = options }

func (s *Server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Begin starts it, after a Stop, and waits until it answers.
func (s *Server) Begin() {
	s.t.Helper()
	path, err := exec.LookPath("sshd")
	if err != nil {
		path = "/usr/sbin/sshd"
	}
	if os.Getuid() == 0 { // as root it wants this directory, which its package makes at boot
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	lines := append([]string{
		fmt.Sprintf("ListenAddress 127.0.0.1:%d", s.Port), "HostKey " + filepath.Join(s.dir, "host_key"),
		"AuthorizedKeysFile " + filepath.Join(s.dir, "authorized_keys"), "PidFile none", "StrictModes no", "UsePAM no",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes", "MaxStartups 100",
	}, s.options...)
	if !strings.Contains(strings.Join(s.options, "\n"), "Subsystem") {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	s.write("config", strings.Join(lines, "\n")+"\n")
	cmd := exec.Command(path, "-D", "-e", "-f", filepath.Join(s.dir, "config"))
	cmd.Stdout, cmd.Stderr = &s.said, &s.said
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("%v: it is in Debian's package openssh-server", err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	s.mu.Lock()
	s.cmd, s.gone = cmd, gone
	s.mu.Unlock()
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-gone:
			s.t.Fatalf("sshd ended: %s", s.said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Cut ends the sessions under way at once, as when the server loses its power, and goes on.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pid := range children(s.cmd.Process.Pid) {
		kill(pid)
	}
}

// Stop ends it, with all sessions.
func (s *Server) Stop() {
	s.Cut()
	s.mu.Lock()
	cmd, gone := s.cmd, s.gone
	s.mu.Unlock()
	_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended before
	<-gone
}

// Said is what it has logged.
func (s *Server) Said() string { return s.said.String() }

type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
