// Package shelf reads the release that lies beside the agents which are handed out: what
// hosts can be updated to, or why there is nothing.
package shelf

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/restic-manager/restic-manager/release"
)

// A Release is what agents can be updated to: the manifest that lies beside the files, with
// its signature, as hosts get them.
type Release struct {
	release.Manifest
	Bytes, Signature []byte
	SignedBy         string // the ID of the key, as the signature says it
	// Believed says that this server's own release key signed it. Without such a key it is
	// false, and the agents decide, each with its own.
	Believed bool
	// Lacks are programs that the manifest names and that are not there, or are others.
	Lacks []release.Program
	// Dir is where it lies. Say is why there is none, or none that hosts are to be given;
	// Remedy what to do. The rest may be known all the same.
	Dir, Say, Remedy string
}

// Good reports whether hosts may be given it.
func (r Release) Good() bool { return r.Number > 0 && r.Say == "" }

// For is the program for a platform, if it is there.
func (r Release) For(os, arch string) (p release.Program, there bool) {
	if p, there = r.Manifest.For(os, arch); !there {
		return p, false
	}
	return p, !slices.ContainsFunc(r.Lacks, func(l release.Program) bool { return l.Name == p.Name })
}

const releaseRemedy = "Install the package restic-manager-agents of a signed release, or put its manifest.json and " +
	"manifest.json.minisig beside the agents."

// Read reads the release of a directory. Keys are those that this server was built with; there
// says whether a program that the manifest names is in the directory.
func Read(dir string, keys []string, there func(release.Program) bool) Release {
	r := Release{Dir: dir}
	r.read(keys, there)
	return r
}

func (r *Release) read(keys []string, there func(release.Program) bool) {
	var err error
	if r.Bytes, err = small(r.Dir, release.ManifestFile, release.MaxManifest); err == nil {
		r.Signature, err = small(r.Dir, release.SignatureFile, release.MaxSignature)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && r.Bytes == nil:
		r.Say, r.Remedy = "The agents in "+r.Dir+" come without a manifest, so hosts cannot be updated to them from here.", releaseRemedy
		return
	case errors.Is(err, fs.ErrNotExist):
		r.Say, r.Remedy = "The manifest in "+r.Dir+" has no signature, so every host refuses it.", releaseRemedy
		return
	case err != nil:
		r.Say, r.Remedy = "The manifest in "+r.Dir+" cannot be read: "+err.Error()+".", "Let this server's user read it: chmod a+r "+r.Dir+"/*"
		return
	}
	r.SignedBy, _ = release.SignedBy(r.Signature) // what is none is told by Verify
	if r.Manifest, err = release.Parse(r.Bytes); err != nil {
		r.Say, r.Remedy = "The manifest in "+r.Dir+" is not one that this version understands: "+err.Error()+".", releaseRemedy
		return
	}
	for _, p := range r.Programs {
		if !there(p) {
			r.Lacks = append(r.Lacks, p)
		}
	}
	switch _, err = release.Verify(keys, r.Bytes, r.Signature); {
	case err != nil && !errors.Is(err, release.ErrNoKey): // without a key, the agents decide
		r.Say = "The manifest in " + r.Dir + " is not signed by the key that this server was built with: " + err.Error() + "."
		r.Remedy = "Find out where it comes from before you do anything else. If the key was changed on purpose, install a server " +
			"that was built with the new one."
	case len(r.Lacks) == len(r.Programs):
		r.Say = "None of the programs that the manifest in " + r.Dir + " names is there."
		r.Remedy = "Put the programs of the same release there."
	}
	r.Believed = err == nil
}

// small reads a file of a directory that has at most so many bytes.
func small(dir, name string, most int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if n, err := io.Copy(&b, io.LimitReader(f, most+1)); err != nil || n > most {
		return nil, errors.Join(err, errors.New("it is too large"))
	}
	return b.Bytes(), nil
}

// Named are the programs that the manifest of a directory names, whoever signed it.
func Named(dir string) map[string]bool {
	b, err := small(dir, release.ManifestFile, release.MaxManifest)
	if err != nil {
		return nil
	}
	m, err := release.Parse(b)
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, p := range m.Programs {
		names[p.Name] = true
	}
	return names
}
