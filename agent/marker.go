package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/restic-manager/restic-manager/topics"
)

// markerFile stands in the state directory. Restic leaves out what lies beside it, by
// whatever path it comes there, and when it does: paths are looked at before restic
// begins, and somebody may mount, move or copy the directory after that.
const markerFile = ".restic-manager-agent"

var markerForm = regexp.MustCompile(`^restic-manager-agent [0-9a-f]{32}\n`)

// mark writes the marker where it is missing and returns what restic is told to look for:
// the name, and how the file begins. That is this host's own, so that nobody leaves out
// somebody else's files with a file of this name.
func mark(state string) (string, error) {
	path := filepath.Join(state, markerFile)
	b, err := readSmall(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the marker of the agent's files: %w", err)
	}
	head := markerForm.Find(b)
	if head == nil {
		random := make([]byte, 16)
		_, _ = rand.Read(random) // never fails
		head = []byte("restic-manager-agent " + hex.EncodeToString(random) + "\n")
		text := string(head) + "The directory that this file is in holds the keys of restic-manager-agent. Backups leave out\n" +
			"what lies in it and below; so they do for a copy of it with this file.\n"
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // whatever it is, nothing is written through it
			return "", fmt.Errorf("mark the agent's files: %w", err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return "", fmt.Errorf("mark the agent's files: %w", err)
		}
		_, err = f.WriteString(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("mark the agent's files: %w", errors.Join(err, os.Remove(path)))
		}
	}
	return markerFile + ":" + string(bytes.TrimSuffix(head, []byte("\n"))), nil
}

// readSmall reads the beginning of a regular file.
func readSmall(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4096))
}

// secondNames returns the other names of the agent's own files below the sources: hard
// links, which lie in directories of somebody else. It looks through the sources only if
// one of these files has more than one name, and on their file system alone.
func secondNames(ctx context.Context, state string, sources []string) (found []topics.Own) {
	real, err := resolve(state)
	if err != nil {
		return nil
	}
	own, sources := severalNames(real), slices.Clone(sources)
	info, err := os.Stat(real)
	if len(own) == 0 || err != nil {
		return nil
	}
	for _, at := range sameDisk(real) {
		if slices.ContainsFunc(sources, func(source string) bool { return within(at, source) && at != source }) {
			sources = append(sources, at)
		}
	}
	disk := device(info)
	for _, source := range sources {
		_ = filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil: // restic says what cannot be read
			case d.IsDir() && path != source:
				if info, err := d.Info(); err == nil && device(info) != disk {
					return filepath.SkipDir
				}
			case d.Type().IsRegular():
				twice := func(o topics.Own) bool { return o.Path == path }
				if id, ok := linked(path); ok && slices.Contains(own, id) && !slices.ContainsFunc(found, twice) {
					found = append(found, topics.Own{Path: path, What: topics.OwnAgent})
				}
			}
			return nil
		})
	}
	return found
}

// severalNames lists the agent's own files that have more than one name. What was
// restored is somebody else's, and what is in the cache is sealed.
func severalNames(state string) (own []fileID) {
	_ = filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil: // what is not there has no other name
		case d.IsDir() && (path == filepath.Join(state, quarantine) || path == filepath.Join(state, "cache")):
			return filepath.SkipDir
		case d.Type().IsRegular():
			if id, ok := linked(path); ok {
				own = append(own, id)
			}
		}
		return nil
	})
	return own
}
