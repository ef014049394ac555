package sftp

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/topics"
)

// mu keeps those apart who write below a Home.
var mu sync.Mutex

// Public is the public half of the agent's own key, one line as authorized_keys has it,
// "" if there is none.
func (h Home) Public() (string, error) {
	path := h.file(keyFile)
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the agent's SSH key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(b)
	if err != nil {
		return "", fmt.Errorf("%s is no SSH key: %w", path, err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	if comment, err := os.ReadFile(path + ".pub"); err == nil { // its comment, if it is this key's
		if _, said, _, _, err := ssh.ParseAuthorizedKey(comment); err == nil && said != "" && strings.HasPrefix(string(comment), line+" ") {
			line += " " + said
		}
	}
	return line, nil
}

// Make makes the agent's own key if there is none, and returns its public half. The
// comment goes behind that.
func (h Home) Make(comment string) (string, error) {
	mu.Lock()
	defer mu.Unlock()
	if line, err := h.Public(); line != "" || err != nil {
		return line, err
	}
	if h.Dir == "" {
		return "", errors.New("this agent has no directory for a key")
	}
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make an SSH key: %w", err)
	}
	comment = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, comment)
	block, err := ssh.MarshalPrivateKey(secret, comment)
	if err != nil {
		return "", fmt.Errorf("make an SSH key: %w", err)
	}
	half, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("make an SSH key: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(half))) + " " + comment
	if err := h.write(keyFile+".pub", []byte(line+"\n")); err != nil {
		return "", err
	}
	return line, h.write(keyFile, pem.EncodeToMemory(block))
}

// write puts a file into the Home, for its owner alone, whole or not at all.
func (h Home) write(name string, content []byte) (err error) {
	if err := private.MakeDir(h.Dir); err != nil {
		return fmt.Errorf("make a directory for what ssh needs: %w", err)
	}
	f, err := os.CreateTemp(h.Dir, "."+name+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close(), private.Hand(f.Name()), private.Own(f.Name(), h.Dir))
	if err == nil {
		err = os.Rename(f.Name(), h.file(name))
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", h.file(name), err)
	}
	if d, err := os.Open(h.Dir); err == nil { // the name is on disk, too; where a directory cannot be synced it need not be
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// An offered key is one that a server showed this host.
type offered struct {
	topics.HostKey
	Key     string `json:"key"` // as known_hosts has it, without name and type
	Changed bool   `json:"changed,omitempty"`
	At      int64  `json:"at"` // Unix seconds
}

// Bounds of what was offered and not accepted.
const (
	mostOffered = 64
	offeredAge  = 30 * 24 * time.Hour
)

func (h Home) offered() (list []offered) {
	b, err := os.ReadFile(h.file(offeredFile))
	if err != nil || json.Unmarshal(b, &list) != nil {
		return nil
	}
	old := time.Now().Add(-offeredAge).Unix()
	return slices.DeleteFunc(list, func(o offered) bool { return o.At < old })
}

// note remembers what a server showed.
func (h Home) note(shown []offered) error {
	if h.Dir == "" || len(shown) == 0 {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	list := h.offered()
	for _, o := range shown {
		list = slices.DeleteFunc(list, func(was offered) bool { return was.Name == o.Name && was.Fingerprint == o.Fingerprint })
		list = append(list, o)
	}
	return h.writeOffered(list[max(0, len(list)-mostOffered):])
}

func (h Home) writeOffered(list []offered) error {
	b, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	return h.write(offeredFile, append(b, '\n'))
}

// What Accept returns.
var (
	ErrNotOffered = errors.New("no server of that name has shown this host a key with that fingerprint in the last thirty days")
	ErrChanged    = errors.New("another key of this server is known")
)

// Accept writes a key that a server showed into the agent's own known_hosts. It takes the
// place of every other key that is there for that server. One that is not the server's
// first, as far as this host knew, is taken only if other says so.
func (h Home) Accept(name, fingerprint string, other bool) (topics.HostKey, error) {
	mu.Lock()
	defer mu.Unlock()
	list := h.offered()
	i := slices.IndexFunc(list, func(o offered) bool { return o.Name == name && o.Fingerprint == fingerprint })
	if i < 0 {
		return topics.HostKey{}, ErrNotOffered
	}
	key := list[i]
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key.Type + " " + key.Key))
	if err != nil || ssh.FingerprintSHA256(parsed) != fingerprint {
		return topics.HostKey{}, ErrNotOffered // the file was changed
	}
	b, err := os.ReadFile(h.file(knownFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return topics.HostKey{}, fmt.Errorf("read the servers' keys: %w", err)
	}
	line := name + " " + key.Type + " " + key.Key
	var lines []string
	known := false
	for l := range strings.Lines(string(b)) {
		l = strings.TrimRight(l, "\r\n")
		first, _, _ := strings.Cut(l, " ")
		if known = known || l == line; l == "" || first == name {
			if l != "" && l != line {
				key.Changed = true
			}
			continue
		}
		lines = append(lines, l)
	}
	if key.Changed && !known && !other {
		return key.HostKey, ErrChanged
	}
	if err := h.write(knownFile, []byte(strings.Join(append(lines, line), "\n")+"\n")); err != nil {
		return key.HostKey, err
	}
	return key.HostKey, h.writeOffered(slices.DeleteFunc(list, func(o offered) bool { return o.Name == name }))
}

// readOffered reads a file of known hosts, at most so many.
func readOffered(path string, most int) (shown []offered) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 3 || len(shown) == most {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(f[1] + " " + f[2]))
		if err != nil {
			continue
		}
		o := offered{Key: f[2], At: time.Now().Unix()}
		o.Name, o.Type, o.Fingerprint = f[0], f[1], ssh.FingerprintSHA256(key)
		if topics.CheckHostKey(o.Name, o.Fingerprint) == nil {
			shown = append(shown, o)
		}
	}
	return shown
}

// State is what there is: the public half of the agent's key, the keys that were accepted,
// and those that were shown and wait for somebody.
func (h Home) State() (topics.SSHState, error) {
	mu.Lock()
	defer mu.Unlock()
	public, err := h.Public()
	state := topics.SSHState{PublicKey: public}
	if err != nil {
		return state, err
	}
	accepted := readOffered(h.file(knownFile), topics.MaxKnownServers-mostOffered)
	for _, o := range accepted {
		state.Keys = append(state.Keys, topics.KnownServer{HostKey: o.HostKey, Accepted: true})
	}
	for _, o := range h.offered() {
		if slices.ContainsFunc(accepted, func(a offered) bool { return a.Name == o.Name && a.Fingerprint == o.Fingerprint }) {
			continue
		}
		state.Keys = append(state.Keys, topics.KnownServer{HostKey: o.HostKey, Changed: o.Changed, At: o.At * 1000})
	}
	return state, nil
}
