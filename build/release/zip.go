package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// zipped makes a zip file of files with names.
func zipped(out string, files []string) (err error) {
	at, err := moment()
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := zip.NewWriter(f)
	for _, one := range files {
		name, path, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q is no NAME=FILE", one)
		}
		header := zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at}
		header.SetMode(0o644)
		if strings.HasSuffix(name, ".exe") {
			header.SetMode(0o755)
		}
		w, err := z.CreateHeader(&header)
		if err != nil {
			return err
		}
		from, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, from)
		if err = errors.Join(err, from.Close()); err != nil {
			return err
		}
	}
	return z.Close()
}
