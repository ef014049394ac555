package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A component is one of CycloneDX 1.5.
type component struct {
	Type       string      `json:"type"`
	Ref        string      `json:"bom-ref"`
	Name       string      `json:"name"`
	Version    string      `json:"version"`
	PURL       string      `json:"purl,omitempty"`
	Properties []property  `json:"properties,omitempty"`
	Components []component `json:"components,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// listed writes which modules are in programs, as the programs themselves say. A module
// is listed once, with the programs that hold it.
func listed(out string, programs []string) error {
	at, err := moment()
	if err != nil {
		return err
	}
	found := map[string]*component{}
	add := func(c component, program string) {
		if found[c.Ref] == nil {
			found[c.Ref] = &c
		}
		found[c.Ref].Properties = append(found[c.Ref].Properties, property{Name: "restic-manager:in", Value: program})
	}
	version := ""
	for _, path := range programs {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name := filepath.Base(path)
		version = versionIn(info)
		add(component{
			Type:    "library",
			Ref:     "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"),
			Name:    "std",
			Version: strings.TrimPrefix(info.GoVersion, "go"),
			PURL:    "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"),
		}, name)
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			ref := "pkg:golang/" + m.Path + "@" + m.Version
			add(component{
				Type:       "library",
				Ref:        ref,
				Name:       m.Path,
				Version:    m.Version,
				PURL:       ref,
				Properties: []property{{Name: "restic-manager:go-sum", Value: m.Sum}},
			}, name)
		}
	}
	var all []component
	for _, c := range found {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b component) int { return strings.Compare(a.Ref, b.Ref) })
	bom := struct {
		Format   string `json:"bomFormat"`
		Spec     string `json:"specVersion"`
		Version  int    `json:"version"`
		Metadata struct {
			At        string    `json:"timestamp"`
			Component component `json:"component"`
		} `json:"metadata"`
		Components []component `json:"components"`
	}{Format: "CycloneDX", Spec: "1.5", Version: 1, Components: all}
	bom.Metadata.At = at.Format(time.RFC3339)
	bom.Metadata.Component = component{Type: "application", Ref: "restic-manager", Name: "restic-manager", Version: version}
	b, err := json.MarshalIndent(bom, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
}

// versionIn is what a program was told that it is.
func versionIn(info *debug.BuildInfo) string {
	for _, s := range info.Settings {
		if s.Key != "-ldflags" {
			continue
		}
		for word := range strings.FieldsSeq(s.Value) {
			if _, v, ok := strings.Cut(word, ".Version="); ok {
				return v
			}
		}
	}
	return "dev"
}
