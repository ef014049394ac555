package topics

import (
	"errors"
	"fmt"
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
// agents' port.
type Update struct {
	Manifest  []byte `json:"manifest"`
	Signature []byte `json:"signature"`
}

func (u *Update) check() error {
	switch {
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
	// Back is when the agent last went back to what ran before.
	Back *WentBack `json:"back,omitempty"`
}

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
