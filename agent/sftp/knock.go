package sftp

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// An Answer is what a knock found.
type Answer struct {
	Missing error    // there is no ssh on this host
	Late    bool     // the time was over before anything was known
	Speaks  bool     // the server speaks SFTP to this user
	Closed  bool     // and does not let it into the directory
	Noise   string   // what came where SFTP should, the beginning of it
	Said    []string // ssh's own words
	Errs    []string // what else came for people, ssh's before it has a log and the server's
	Code    int      // with which ssh ended
}

// grace is how long ssh has to end when a knock is over: it has nothing to clean up.
const grace = 300 * time.Millisecond

// Knock reaches a server as restic does, sees whether it speaks SFTP and lets its user
// into the directory, and leaves again. It ends with ctx at the latest.
func (h Home) Knock(ctx context.Context, t Target, o Options) (a Answer) {
	ssh, err := exec.LookPath(program)
	if err != nil {
		return Answer{Missing: err}
	}
	dir, err := h.scratch()
	if err != nil {
		return Answer{Missing: err}
	}
	defer os.RemoveAll(dir)
	in, out, err := os.Pipe()
	if err != nil {
		return Answer{Missing: err}
	}
	defer in.Close()
	talk := newTalk(out, t.Dir)
	defer talk.end()
	log := filepath.Join(dir, "log")
	var errs text
	x := process.Run(ctx, process.Spec{
		Path: ssh, Args: append(h.args(ctx, t, o, log, "ControlMaster=no"), subsystem...), Env: process.Inherited(), Dir: dir,
		Stdin: in, Stdout: talk, Stderr: &errs, CancelGrace: grace, PipeGrace: grace,
		Started: func(process.ID) { in.Close(); talk.begin() },
	})
	if x.Err != nil && !x.Cancelled {
		return Answer{Missing: x.Err}
	}
	a.Speaks, a.Closed, a.Noise = talk.found()
	a.Said, a.Errs, a.Code = Said(log), lines(errs.String()), x.Code
	a.Late = x.Cancelled && !a.Speaks && a.Noise == "" && len(a.Said) == 0
	return a
}

func (h Home) scratch() (string, error) {
	if h.Dir == "" {
		return os.MkdirTemp("", "ssh-")
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(h.Dir, "knock-")
}

// where another key of a server is known, as ssh says it.
var knownAt = regexp.MustCompile(`^(?:Offending .* key in |in )(.+:[0-9]+)$`)

// Shown asks a server once more which key it shows, in a session that trusts nobody and
// logs in as nobody, and remembers it, so that it can be accepted. said are ssh's words of a
// knock that did not trust it. changed says that another key of the server is known, or that
// this one was revoked.
func (h Home) Shown(ctx context.Context, t Target, said []string, changed bool) []topics.HostKey {
	ssh, err := exec.LookPath(program)
	if err != nil {
		return nil
	}
	dir, err := h.scratch()
	if err != nil {
		return nil
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "shown")
	args := t.args()
	for _, o := range []string{"BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=" + quoted(file),
		"GlobalKnownHostsFile=" + quoted(filepath.Join(dir, "none")), "HashKnownHosts=no", "CheckHostIP=no", "UpdateHostKeys=no",
		"VerifyHostKeyDNS=no", "PreferredAuthentications=none", "PubkeyAuthentication=no", "PasswordAuthentication=no",
		"KbdInteractiveAuthentication=no", "HostbasedAuthentication=no", "ControlMaster=no", "ControlPath=none", "ClearAllForwardings=yes"} {
		args = append(args, "-o", o)
	}
	args = append(args, "-E", filepath.Join(dir, "log"))
	process.Run(ctx, process.Spec{
		Path: ssh, Args: append(args, subsystem...), Env: process.Inherited(), Dir: dir,
		Stdout: &text{}, Stderr: &text{}, CancelGrace: grace, PipeGrace: grace,
	})
	shown := readOffered(file, topics.MaxHostKeys)
	keys := make([]topics.HostKey, 0, len(shown))
	for i := range shown {
		shown[i].Changed = changed
		for _, line := range said {
			if m := knownAt.FindStringSubmatch(line); m != nil && len(m[1]) <= 4200 {
				shown[i].Known = m[1]
			}
		}
		keys = append(keys, shown[i].HostKey)
	}
	_ = h.note(shown) // where that fails they can be seen, and not be accepted
	return keys
}

// A talk is what we say to an SFTP server: who we are, and whether it has a file. It is the
// writer that the server's words come to.
type talk struct {
	mu     sync.Mutex
	to     *os.File
	over   bool
	asks   string // for this file
	got    []byte
	speaks bool
	closed bool
	noise  string
}

// Of SFTP's packets, see draft-ietf-secsh-filexfer-02.
const (
	sftpInit, sftpVersion, sftpStat, sftpStatus = 1, 2, 17, 101
	sftpDenied                                  = 3
	largestPacket                               = 256 << 10
)

func newTalk(to *os.File, dir string) *talk { return &talk{to: to, asks: path.Join(dir, "config")} }

func packet(kind byte, body []byte) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(len(body)+1))
	return append(append(p, kind), body...)
}

func (k *talk) begin() { k.say(packet(sftpInit, []byte{0, 0, 0, 3})) }

func (k *talk) say(p []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		_, _ = k.to.Write(p) // a few bytes, which a pipe takes; one that is closed shows by ssh's end
	}
}

// end closes ssh's input, which ends it.
func (k *talk) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		k.over = true
		k.to.Close()
	}
}

func (k *talk) Write(p []byte) (int, error) {
	k.mu.Lock()
	done := k.noise != "" || k.over
	if !done {
		k.got = append(k.got, p...)
	}
	k.mu.Unlock()
	for !done {
		kind, body, noise, whole := k.next()
		if noise {
			k.end()
			break
		}
		if !whole {
			break
		}
		switch kind {
		case sftpVersion:
			k.mu.Lock()
			k.speaks = true
			ask := binary.BigEndian.AppendUint32(nil, 1)
			ask = binary.BigEndian.AppendUint32(ask, uint32(len(k.asks)))
			ask = append(ask, k.asks...)
			k.mu.Unlock()
			k.say(packet(sftpStat, ask))
		default:
			k.mu.Lock()
			k.closed = kind == sftpStatus && len(body) >= 8 && binary.BigEndian.Uint32(body[4:]) == sftpDenied
			k.mu.Unlock()
			k.end()
			return len(p), nil
		}
	}
	return len(p), nil
}

// next takes the next packet out of what has come. What comes first and is no version is
// noise.
func (k *talk) next() (kind byte, body []byte, noise, whole bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.got) < 5 {
		return 0, nil, false, false
	}
	n := binary.BigEndian.Uint32(k.got)
	if n == 0 || n > largestPacket || !k.speaks && k.got[4] != sftpVersion {
		k.noise = fmt.Sprintf("%.200s", strings.ToValidUTF8(string(k.got), "?"))
		return 0, nil, true, false
	}
	if uint32(len(k.got)-4) < n {
		return 0, nil, false, false
	}
	kind, body = k.got[4], k.got[5:4+n]
	k.got = k.got[4+n:]
	return kind, body, false, true
}

func (k *talk) found() (speaks, closed bool, noise string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.speaks && k.noise == "" && len(k.got) > 0 { // fewer bytes than a packet has
		k.noise = strings.ToValidUTF8(string(k.got), "?")
	}
	return k.speaks, k.closed, k.noise
}
