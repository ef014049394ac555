package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/topics"
)

// Where the master key may be given, besides a file.
const (
	keyVariable   = "RESTIC_MANAGER_KEY"
	keyCredential = "restic-manager-key"
)

// key says where the master key is: in the file that was named, in a systemd
// credential, in the environment, or in the file beside the data directory.
func (d database) key() (keyring.Source, error) {
	text, set := os.LookupEnv(keyVariable)
	given := topics.Secret(text)
	if err := os.Unsetenv(keyVariable); err != nil { // no program that is started from here has to know it
		return keyring.Source{}, err
	}
	if d.KeyFile != "" {
		return keyring.Source{File: d.KeyFile}, nil
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		text, err := os.ReadFile(filepath.Join(dir, keyCredential))
		if err == nil && len(bytes.TrimSpace(text)) == 0 { // a key in a file would be made in its place
			return keyring.Source{}, fmt.Errorf("%w: the systemd credential %s is empty", keyring.ErrKey, keyCredential)
		}
		if err == nil {
			return keyring.Source{Given: topics.Secret(text), From: "the systemd credential " + keyCredential}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return keyring.Source{}, fmt.Errorf("%w: the systemd credential cannot be read: %w", keyring.ErrKey, err)
		}
	}
	if set && given == "" {
		return keyring.Source{}, fmt.Errorf("%w: the environment variable %s is empty; give the key in it, or unset it",
			keyring.ErrKey, keyVariable)
	}
	return keyring.Source{Given: given, From: "the environment variable " + keyVariable}, nil
}

type keyRotateCmd struct {
	NewKeyFile string `placeholder:"FILE" help:"Where the new key goes if the old one is in no file: put it in its place and run this again."`

	Identity bool          `help:"Replace the CA and the sealing key that hosts know instead; the control plane may run."`
	For      time.Duration `default:"720h" help:"With --identity: how long the ones from before are accepted, too."`
	Now      bool          `help:"With --identity, if they were stolen: accept the old ones no more; every host must enrol again."`
	database
}

// Run changes the keys while no control plane runs.
func (c *keyRotateCmd) Run(ctx context.Context) error {
	if c.Identity {
		return c.rotateIdentity(ctx)
	}
	if c.Now {
		return errors.New("--now is for --identity: the key that encrypts secrets is always replaced at once")
	}
	if err := c.there(); err != nil {
		return err
	}
	claimed, err := controlplane.Claim(c.Data)
	if err != nil {
		return err
	}
	return errors.Join(c.with(ctx, func(s *store.Store) error {
		r, err := s.RotateKeys(ctx, actor, c.NewKeyFile)
		if err != nil {
			return err
		}
		if r.NewKeyFile != "" {
			fmt.Fprintf(os.Stderr, "The new key is in %s, and opens the database beside the old one.\nPut it where the old one is given, "+
				"then run restic-manager key rotate again: that takes the old one's rights away and seals every secret anew.\n", r.NewKeyFile)
			return nil
		}
		fmt.Fprintf(os.Stderr, "The key was changed and %d secrets are sealed anew. Copies of the database from before still need the old "+
			"key; a copy of the new one belongs where backups of the database do not go.\n", r.Resealed)
		return nil
	}), claimed.Close())
}
