package topics

import (
	"errors"
	"fmt"
	"regexp"
)

// UpdatesItself is the ability of an agent to be updated by a job.
const UpdatesItself Ability = "updates"

// Bounds of an [Update]: both travel in one message, in base64.
const (
	MaxManifest  = 32 << 10
	MaxSignature = 2 << 10
)

// An Update is the release that a job of kind update has an agent run: a manifest as
// package release writes it, byte for byte, and its signature. The host's agent decides by
// its own keys, number and policy whether to take it, and downloads its program from the
// agents' port. Or it is the restic that the agent is to use.
type Update struct {
	Manifest  []byte `json:"manifest,omitempty"`
	Signature []byte `json:"signature,omitempty"`
	// Restic is instead of both.
	Restic *ResticUpdate `json:"restic,omitempty"`
}

// FetchesRestic is the ability of an agent to fetch a restic by a job of kind update.
const FetchesRestic Ability = "restics"

// MaxRestic is how many bytes a file with a restic has at most, as it is released; those of
// today have 30 MB unpacked.
const MaxRestic = 128 << 20

// A ResticUpdate is a restic that the agent is to fetch from the agents' port and to use from
// then on, if the host's policy lets it: a file as restic is released, to the last byte the
// one that an administrator of the control plane named by its checksum. Or the agent is to go
// back to the restic that it used before.
type ResticUpdate struct {
	Name   string `json:"name,omitempty"` // restic_0.18.1_linux_amd64.bz2
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // in hexadecimal digits, as restic's SHA256SUMS have it
	Older  bool   `json:"older,omitempty"`  // it may be older than the one that the host has
	Back   bool   `json:"back,omitempty"`   // instead of all that
}

var resticName = regexp.MustCompile(`^restic_([0-9][0-9A-Za-z.+~-]{0,40})_([a-z0-9]{1,20})_([a-z0-9]{1,20})(\.bz2|\.zip|\.exe)?$`)

// ResticFile reads from the name of a file as restic is released which version it is, and for
// which platform, as Go names it. ok is false of any other name.
func ResticFile(name string) (version, os, arch string, ok bool) {
	m := resticName.FindStringSubmatch(name)
	if m == nil {
		return "", "", "", false
	}
	return m[1], m[2], m[3], true
}

var hexSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsSHA256 reports whether a text is a SHA-256 in hexadecimal digits, small letters.
func IsSHA256(text string) bool { return hexSum.MatchString(text) }

func (r ResticUpdate) check() error {
	if r.Back {
		if r != (ResticUpdate{Back: true}) {
			return errors.New("update: to go back names no file")
		}
		return nil
	}
	_, _, _, ok := ResticFile(r.Name)
	switch {
	case !ok:
		return fmt.Errorf("update: %.80q is no name of a file as restic is released", r.Name)
	case r.Size <= 0 || r.Size > MaxRestic:
		return fmt.Errorf("update: a file with restic has at most %d bytes", MaxRestic)
	case !IsSHA256(r.SHA256):
		return errors.New("update: the SHA-256 of a file is 64 hexadecimal digits")
	}
	return nil
}

func (u *Update) check() error {
	switch {
	case u != nil && u.Restic != nil:
		if len(u.Manifest)+len(u.Signature) > 0 {
			return errors.New("update: a restic comes without a manifest")
		}
		return u.Restic.check()
	case u == nil || len(u.Manifest) == 0 || len(u.Signature) == 0:
		return errors.New("update: a manifest and its signature are needed")
	case len(u.Manifest) > MaxManifest || len(u.Signature) > MaxSignature:
		return fmt.Errorf("update: a manifest has at most %d bytes, its signature %d", MaxManifest, MaxSignature)
	}
	return nil
}

// Updates is what an agent says of updates of itself. One that has none of it is of an
// older version, and is updated by hand.
type Updates struct {
	OS     string `json:"os"`   // as manifests name the platform
	Arch   string `json:"arch"` // likewise
	Number int64  `json:"number,omitempty"`
	// Keys are the IDs of those whose signatures it takes; none is that it refuses every
	// update.
	Keys []string `json:"keys,omitempty"`
	// Forbidden says that the host's policy forbids updates.
	Forbidden bool `json:"forbidden,omitempty"`
	// Kept says that an update brought the program that runs, and Installed is the number of
	// the installed one then; Trial that it is not kept yet.
	Kept      bool  `json:"kept,omitempty"`
	Installed int64 `json:"installed,omitempty"`
	Trial     bool  `json:"trial,omitempty"`
	// Restic is what it says of fetching restic.
	Restic *ResticFetching `json:"restic,omitempty"`
	// Back is when the agent last went back to what ran before.
	Back *WentBack `json:"back,omitempty"`
}

// ResticFetching is what an agent says of restics that it may fetch.
type ResticFetching struct {
	Allowed bool     `json:"allowed,omitempty"` // the host's policy lets it
	Sums    []string `json:"sums,omitempty"`    // files with these checksums alone; none is any that the control plane names
	Fetched string   `json:"fetched,omitempty"` // the checksum of the file whose restic it uses; "" is the host's own
	Name    string   `json:"name,omitempty"`    // of that file
	Why     string   `json:"why,omitempty"`     // why one that was fetched is not used
}

// MaxSums is how many checksums an agent names.
const MaxSums = 32

// MaxKeys is how many keys an agent names.
const MaxKeys = 8

// WentBack is that an agent went back from a release.
type WentBack struct {
	From    int64  `json:"from"`    // the number that was left
	Version string `json:"version"` // what that called itself
	To      int64  `json:"to"`      // the number that runs since; 0 is a build that has none
	At      int64  `json:"at"`      // Unix milliseconds by the host's clock
	Cause   Cause  `json:"cause"`   // CauseRolledBack is that somebody on the host said so
	Message string `json:"message,omitempty"`
}
