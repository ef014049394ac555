package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"aead.dev/minisign"
)

const (
	sumsFile  = "SHA256SUMS"
	signature = ".minisig"
)

// sums writes what sha256sum would of everything in a directory.
func sums(dir string) error {
	text, err := summed(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, sumsFile), []byte(text), 0o644)
}

func summed(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), sumsFile) {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%s  %s\n", hex.EncodeToString(hash.Sum(nil)), e.Name())
	}
	return text.String(), nil
}

// sign signs a file with a secret key of minisign, whose password it reads.
func sign(path, key string, password io.Reader) error {
	message, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(key)
	if err != nil {
		return err
	}
	secret := minisign.PrivateKey{}
	if minisign.IsEncrypted(text) {
		fmt.Fprintf(os.Stderr, "password of %s: ", key)
		line, err := bufio.NewReader(password).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if secret, err = minisign.DecryptKey(strings.TrimRight(line, "\r\n"), text); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	} else if err := secret.UnmarshalText(text); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	// No moment in it: the same files have the same signature.
	signed := minisign.SignWithComments(secret, message, "file:"+filepath.Base(path), "restic-manager: verify it with minisign")
	return os.WriteFile(path+signature, signed, 0o644)
}

// verify sees that a directory is as it was signed: its checksums by the key, each file by
// its checksum, and nothing more in it.
func verify(dir, key string) error {
	public, err := minisign.PublicKeyFromFile(key)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	signed, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		return err
	}
	by, err := os.ReadFile(filepath.Join(dir, sumsFile+signature))
	if err != nil {
		return err
	}
	if !minisign.Verify(public, signed, by) {
		return fmt.Errorf("%s is not signed by %s", sumsFile, key)
	}
	is, err := summed(dir)
	if err != nil {
		return err
	}
	if is == string(signed) {
		return nil
	}
	was := strings.Split(string(signed), "\n")
	for line := range strings.SplitSeq(is, "\n") {
		if !slices.Contains(was, line) {
			_, name, _ := strings.Cut(line, "  ")
			return fmt.Errorf("%s is not as it was signed", name)
		}
	}
	return errors.New("something that was signed is missing")
}
