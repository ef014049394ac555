package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/restic-manager/restic-manager/release"
)

// manifest writes which programs of the agent are in a directory, for the offline key to
// sign. Its number is SOURCE_DATE_EPOCH, as that of the programs.
func manifest(dir, version string) error {
	at, err := moment()
	if err != nil {
		return err
	}
	m := release.Manifest{Format: release.Format, Number: at.Unix(), Version: version}
	prefix := "restic-manager-agent_" + version + "_"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		platform, ours := strings.CutPrefix(e.Name(), prefix)
		system, arch, program := strings.Cut(strings.TrimSuffix(platform, ".exe"), "_")
		if !ours || !program || strings.Contains(arch, ".") { // a package, or a zip file
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		m.Programs = append(m.Programs, release.Program{OS: system, Arch: arch, Name: e.Name(), Size: int64(len(b)),
			SHA256: hex.EncodeToString(sum[:])})
	}
	b := release.Encode(m)
	if _, err := release.Parse(b); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return os.WriteFile(filepath.Join(dir, release.ManifestFile), b, 0o644)
}

// manifestSigned puts a signature beside the manifest that it is of.
func manifestSigned(dir, signature, key string) error {
	b, err := os.ReadFile(filepath.Join(dir, release.ManifestFile))
	if err != nil {
		return err
	}
	by, err := os.ReadFile(signature)
	if err != nil {
		return err
	}
	if _, err := release.Verify([]string{key}, b, by); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", signature, err), errors.New("the programs are others than those that were signed, or the key is"))
	}
	return os.WriteFile(filepath.Join(dir, release.SignatureFile), by, 0o644)
}
