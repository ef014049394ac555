// Package release is what a release of the agent is: a manifest that names its programs,
// signed by an offline key, and whether to believe it. Agents and the control plane link
// it; build/release writes what it reads.
//
// The bytes of a manifest are what is signed, so they are kept and handed on as they are.
package release

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"aead.dev/minisign"
)

// Set when a program is linked; make build does, with RELEASE_KEY=… and the commit's moment.
var (
	// Key is the public half of the key that signs releases, as minisign writes it: the
	// line that begins with RW. Without one, no manifest is believed.
	Key string
	// Number is that of the build, which only rises: the second of its commit.
	Number string
)

// Own is this build's number; 0 is that it has none, and so is older than any release.
func Own() int64 {
	n, err := strconv.ParseInt(Number, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Format is that of manifests. One of another format is refused.
const Format = 1

// Limits of what is read; a manifest travels in one message, with its signature.
const (
	MaxManifest  = 32 << 10
	MaxSignature = 2 << 10
	MaxProgram   = 200 << 20 // bytes of one program
	MaxPrograms  = 64
)

// Names of the files in a directory of agents.
const (
	ManifestFile  = "manifest.json"
	SignatureFile = ManifestFile + ".minisig"
)

// A Manifest says of which programs a release of the agent consists.
type Manifest struct {
	Format   int       `json:"format"`
	Number   int64     `json:"number"` // only rises: the second of the commit
	Version  string    `json:"version"`
	Programs []Program `json:"programs"`
}

// A Program is the agent for one platform.
type Program struct {
	OS     string `json:"os"`   // as Go names it
	Arch   string `json:"arch"` // amd64, arm64, armv7 or 386
	Name   string `json:"name"` // of its file, which is a plain one
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hexadecimal digits
}

// Why a manifest is not believed.
var (
	ErrNoKey     = errors.New("this build has no release key, and refuses every update")
	ErrSignature = errors.New("the manifest is not signed by the release key")
	ErrManifest  = errors.New("the manifest is not understood")
)

// Verify returns what a manifest says, if one of the keys signed these very bytes. Keys are
// written as [Key] is; none is ErrNoKey.
func Verify(keys []string, manifest, signature []byte) (Manifest, error) {
	if len(keys) == 0 {
		return Manifest{}, ErrNoKey
	}
	if len(manifest) > MaxManifest || len(signature) > MaxSignature {
		return Manifest{}, fmt.Errorf("%w: it has %d bytes and its signature %d, at most %d and %d are read", ErrManifest, len(manifest),
			len(signature), MaxManifest, MaxSignature)
	}
	signed := false
	for _, text := range keys {
		key, err := parseKey(text)
		if err != nil {
			return Manifest{}, err
		}
		signed = signed || minisign.Verify(key, manifest, signature)
	}
	if !signed {
		return Manifest{}, fmt.Errorf("%w (%s)", ErrSignature, IDs(keys))
	}
	return Parse(manifest)
}

var (
	plain   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}$`)
	version = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,79}$`)
	word    = regexp.MustCompile(`^[a-z0-9]{1,20}$`)
)

// Parse returns what a manifest says, whoever signed it. It is for who only shows it.
func Parse(manifest []byte) (m Manifest, err error) {
	bad := func(format string, args ...any) (Manifest, error) {
		return Manifest{}, fmt.Errorf("%w: %s", ErrManifest, fmt.Sprintf(format, args...))
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return bad("%v", err)
	}
	switch {
	case m.Format != Format:
		return bad("it is of format %d, and this version reads %d", m.Format, Format)
	case m.Number <= 0:
		return bad("it has no number")
	case !version.MatchString(m.Version):
		return bad("%.40q is no version", m.Version)
	case len(m.Programs) == 0 || len(m.Programs) > MaxPrograms:
		return bad("it names %d programs", len(m.Programs))
	}
	seen := map[[2]string]bool{}
	for _, p := range m.Programs {
		sum, err := hex.DecodeString(p.SHA256)
		switch {
		case !word.MatchString(p.OS) || !word.MatchString(p.Arch):
			return bad("%.20q, %.20q is no platform", p.OS, p.Arch)
		case seen[[2]string{p.OS, p.Arch}]:
			return bad("it names two programs for %s %s", p.OS, p.Arch)
		case !plain.MatchString(p.Name):
			return bad("%.60q is no plain name of a file", p.Name)
		case p.Size <= 0 || p.Size > MaxProgram:
			return bad("%s has %d bytes", p.Name, p.Size)
		case err != nil || len(sum) != 32 || strings.ToLower(p.SHA256) != p.SHA256:
			return bad("the checksum of %s is no SHA-256", p.Name)
		}
		seen[[2]string{p.OS, p.Arch}] = true
	}
	return m, nil
}

// Encode writes a manifest as it is signed.
func Encode(m Manifest) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		panic(err) // texts and numbers become JSON
	}
	return b.Bytes()
}

// For is the program for a platform.
func (m Manifest) For(os, arch string) (Program, bool) {
	for _, p := range m.Programs {
		if p.OS == os && p.Arch == arch {
			return p, true
		}
	}
	return Program{}, false
}

// Newer compares builds by their numbers: 1 if a is the newer one, 0 if they are the same,
// -1 if a is the older. A build without a number is the oldest. What versions are called
// makes no difference.
func Newer(a, b int64) int { return cmp.Compare(max(a, 0), max(b, 0)) }

// Platform is this program's, as manifests name it.
func Platform() (os, arch string) {
	arm := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "GOARM" {
				arm = s.Value
			}
		}
	}
	return runtime.GOOS, ArchOf(runtime.GOARCH, arm)
}

// ArchOf is how manifests name a processor, given GOARCH and, of arm, GOARM.
func ArchOf(arch, arm string) string {
	if arch != "arm" {
		return arch
	}
	arm, _, _ = strings.Cut(arm, ",")
	return "armv" + cmp.Or(arm, "7")
}

// parseKey reads a public key: its line alone, or minisign's file.
func parseKey(text string) (key minisign.PublicKey, err error) {
	lines := strings.Fields(text)
	if len(lines) == 0 {
		return key, fmt.Errorf("%.60q is no public key of minisign: it is the line that begins with RW", text)
	}
	if err := key.UnmarshalText([]byte(lines[len(lines)-1])); err != nil {
		return key, fmt.Errorf("%.60q is no public key of minisign: it is the line that begins with RW", text)
	}
	return key, nil
}

// KeyID is how minisign calls a public key: 16 hexadecimal digits.
func KeyID(text string) (string, error) {
	key, err := parseKey(text)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%016X", key.ID()), nil
}

// IDs are those of keys, for people; one that is none is called so.
func IDs(keys []string) string {
	var ids []string
	for _, k := range keys {
		id, err := KeyID(k)
		if err != nil {
			id = "a key that is none"
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, ", ")
}

// Pinned are the keys that were linked in, none or one.
func Pinned() []string {
	if strings.TrimSpace(Key) == "" {
		return nil
	}
	return []string{Key}
}
