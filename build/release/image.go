package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// In the image there is the program, who it runs as, whom it trusts when it reaches others,
// and the agents that it hands out, in a layer that all processors share. Zones are in the
// program.
const (
	program   = "usr/bin/restic-manager"
	authority = "etc/ssl/certs/ca-certificates.crt"
	user      = 65532 // as images without root usually have it
	data      = "var/lib/restic-manager"
	handed    = "usr/share/restic-manager/agents"
)

// The words of OCI's image specification.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// layout is an image while it is put together: what is in its blobs, by their names.
type layout struct {
	at    time.Time
	blobs map[string][]byte
}

func (l *layout) add(mediaType string, b []byte) descriptor {
	sum := sha256.Sum256(b)
	digest := hex.EncodeToString(sum[:])
	l.blobs["blobs/sha256/"+digest] = b
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: int64(len(b))}
}

func (l *layout) addJSON(mediaType string, v any) (descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return l.add(mediaType, b), nil
}

// image makes an archive that holds the image for several kinds of processors.
func image(out, version, agents string, programs []string) error {
	at, err := moment()
	if err != nil {
		return err
	}
	certificates, err := os.ReadFile("/" + authority)
	if err != nil {
		return fmt.Errorf("the certificates that the image will trust: %w; on Debian they are in the package ca-certificates", err)
	}
	l := layout{at: at, blobs: map[string][]byte{}}
	shared, err := l.handed(agents)
	if err != nil {
		return err
	}
	var manifests []descriptor
	for _, one := range programs {
		processor, path, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q is no ARCH=PROGRAM", one)
		}
		binary, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m, err := l.manifest(version, processor, binary, certificates, shared)
		if err != nil {
			return err
		}
		manifests = append(manifests, m)
	}
	type index struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}
	all, err := l.addJSON(typeIndex, index{SchemaVersion: 2, MediaType: typeIndex, Manifests: manifests})
	if err != nil {
		return err
	}
	all.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": version,
		"io.containerd.image.name":          "localhost/restic-manager:" + version,
	}
	top := index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{all}}
	if l.blobs["index.json"], err = json.Marshal(top); err != nil {
		return err
	}
	l.blobs["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	t := tar.NewWriter(f)
	for _, name := range slices.Sorted(maps.Keys(l.blobs)) {
		err = errors.Join(err, l.put(t, name, 0o644, 0, l.blobs[name]))
	}
	return errors.Join(err, t.Close(), f.Close())
}

// A layer is a part of the file system.
type layer struct {
	descriptor
	diff string // the digest of what is packed in it
}

// layer adds one of what fill puts into an archive.
func (l *layout) layer(fill func(*tar.Writer) error) (layer, error) {
	var files, packed bytes.Buffer
	t := tar.NewWriter(&files)
	if err := errors.Join(fill(t), t.Close()); err != nil {
		return layer{}, err
	}
	sum := sha256.Sum256(files.Bytes())
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return layer{}, err
	}
	if _, err := z.Write(files.Bytes()); err != nil {
		return layer{}, err
	}
	if err := z.Close(); err != nil {
		return layer{}, err
	}
	return layer{descriptor: l.add(typeLayer, packed.Bytes()), diff: "sha256:" + hex.EncodeToString(sum[:])}, nil
}

// handed is the layer with the agents of a directory.
func (l *layout) handed(dir string) (layer, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return layer{}, err
	}
	return l.layer(func(t *tar.Writer) error {
		err := l.put(t, handed+"/", 0o755, 0, nil)
		for _, e := range entries {
			b, rerr := os.ReadFile(filepath.Join(dir, e.Name()))
			err = errors.Join(err, rerr, l.put(t, handed+"/"+e.Name(), 0o644, 0, b))
		}
		return err
	})
}

// manifest is that of the image for one kind of processor.
func (l *layout) manifest(version, processor string, binary, certificates []byte, agents layer) (descriptor, error) {
	id := fmt.Sprint(user)
	own, err := l.layer(func(t *tar.Writer) error {
		return errors.Join(
			l.put(t, "etc/group", 0o644, 0, []byte("root:x:0:\nrestic-manager:x:"+id+":\n")),
			l.put(t, "etc/passwd", 0o644, 0, []byte("root:x:0:0::/:/nologin\nrestic-manager:x:"+id+":"+id+"::/"+data+":/nologin\n")),
			l.put(t, authority, 0o644, 0, certificates),
			l.put(t, "tmp/", 0o777|os.ModeSticky, 0, nil),
			l.put(t, program, 0o755, 0, binary),
			l.put(t, data+"/", 0o700, user, nil),
		)
	})
	if err != nil {
		return descriptor{}, err
	}
	labels := map[string]string{
		"org.opencontainers.image.title":   "restic-manager",
		"org.opencontainers.image.version": version,
	}
	made := map[string]any{"created": l.at.Format(time.RFC3339), "created_by": "make packages"}
	config, err := l.addJSON(typeConfig, map[string]any{
		"created":      l.at.Format(time.RFC3339),
		"architecture": processor,
		"os":           "linux",
		"config": map[string]any{
			"User":       id + ":" + id,
			"Entrypoint": []string{"/" + program},
			"Cmd":        []string{"serve"},
			// In a container this machine's own address is nobody else's; what is published is
			// the engine's business.
			"Env": []string{
				"RESTIC_MANAGER_DATA=/" + data + "/data",
				"RESTIC_MANAGER_HTTP=0.0.0.0:8080",
				"RESTIC_MANAGER_AGENTS=0.0.0.0:8883",
			},
			"ExposedPorts": map[string]any{"8080/tcp": struct{}{}, "8883/tcp": struct{}{}},
			"Volumes":      map[string]any{"/" + data: struct{}{}},
			"WorkingDir":   "/" + data,
			"StopSignal":   "SIGTERM",
			"Labels":       labels,
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{agents.diff, own.diff}},
		"history": []any{made, made},
	})
	if err != nil {
		return descriptor{}, err
	}
	m, err := l.addJSON(typeManifest, map[string]any{
		"schemaVersion": 2,
		"mediaType":     typeManifest,
		"config":        config,
		"layers":        []descriptor{agents.descriptor, own.descriptor},
		"annotations":   labels,
	})
	m.Platform = &platform{Architecture: processor, OS: "linux"}
	return m, err
}

// put puts a file into an archive, or a directory if its name ends so.
func (l *layout) put(t *tar.Writer, name string, mode os.FileMode, owner int, b []byte) error {
	header := tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Mode:     int64(mode.Perm()),
		Uid:      owner,
		Gid:      owner,
		Size:     int64(len(b)),
		ModTime:  l.at,
		Format:   tar.FormatPAX,
	}
	if strings.HasSuffix(name, "/") {
		header.Typeflag = tar.TypeDir
	}
	if mode&os.ModeSticky != 0 {
		header.Mode |= 0o1000
	}
	if err := t.WriteHeader(&header); err != nil {
		return err
	}
	_, err := io.Copy(t, bytes.NewReader(b))
	return err
}
