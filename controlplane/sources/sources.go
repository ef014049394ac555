// Package sources says what hosts back up: it adds and changes their source groups.
//
// Pages and API both do it here, so the rules are the same for both. A change is
// one transaction with its audit entry in it, a repository that is made on the way
// included; Changed is called once after it.
package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/patterns"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Why something was not done. Bad fields of an input are [field.Errors]; a new
// repository whose name is taken is [repositories.ErrNameTaken].
var (
	ErrNoHost    = errors.New("there is no such host")
	ErrNotFound  = errors.New("there is no such source group")
	ErrNameTaken = errors.New("the host has a source group of this name already")
)

// Limits of a source group. A command carries all of it, and has to fit one
// message of 64 KiB.
const (
	MaxPaths = 1000     // and as many patterns
	maxBytes = 32 << 10 // of paths and patterns together, as JSON
)

// A Service does what is asked for.
type Service struct {
	Store   *store.Store
	Changed func(...topics.HostID) // told of the host after each change; it must not block; nil tells nobody
}

// Input is a source group as somebody wants it. What is nil stays as it is.
type Input struct {
	Name          *string             // a new name, of a group that is there
	Repository    *string             // ID or name
	New           *repositories.Input // a repository that is to be added, instead of Repository
	Paths         *[]string           // in full
	Excludes      *[]string           // patterns, as restic's --exclude takes them
	OneFileSystem *bool
	LiveFiles     *bool
	ShadowOnly    *bool // on Windows: nothing is saved without a shadow copy
	AllowEmpty    *bool // a backup of no files is a good one
	Hooks         *topics.Hooks
	Limits        *topics.Limits
	Tuning        *topics.Tuning // how restic makes the backups, whole
}

// Find returns a host's source group by its name, or ErrNotFound.
func (s *Service) Find(ctx context.Context, host topics.HostID, name string) (store.SourceGroup, error) {
	g, err := s.Store.SourceGroupNamed(ctx, host, name)
	if errors.Is(err, store.ErrNotFound) {
		return g, ErrNotFound
	}
	return g, err
}

// Add adds a source group. A name that is taken is ErrNameTaken.
func (s *Service) Add(ctx context.Context, by string, host topics.HostID, name string, in Input) (store.SourceGroup, error) {
	return s.put(ctx, by, host, name, in, func(known bool) error {
		if known {
			return ErrNameTaken
		}
		return nil
	})
}

// Change changes a source group. One that is not there is ErrNotFound.
func (s *Service) Change(ctx context.Context, by string, host topics.HostID, name string, in Input) (store.SourceGroup, error) {
	return s.put(ctx, by, host, name, in, func(known bool) error {
		if !known {
			return ErrNotFound
		}
		return nil
	})
}

// Exclude adds paths to what a source group leaves out, each as a pattern that fits it
// alone.
func (s *Service) Exclude(ctx context.Context, by string, host topics.HostID, name string, paths []string) (store.SourceGroup, error) {
	g, err := s.Find(ctx, host, name)
	if err != nil {
		return g, err
	}
	excludes := slices.Clone([]string(g.Excludes))
	for _, path := range paths {
		if pattern := patterns.Literal(path, !strings.HasPrefix(path, "/")); !slices.Contains(excludes, pattern) {
			excludes = append(excludes, pattern)
		}
	}
	return s.Change(ctx, by, host, name, Input{Excludes: &excludes})
}

// Put changes the source group of this name, or adds it.
func (s *Service) Put(ctx context.Context, by string, host topics.HostID, name string, in Input) (store.SourceGroup, error) {
	return s.put(ctx, by, host, name, in, func(bool) error { return nil })
}

func (s *Service) put(ctx context.Context, by string, host topics.HostID, name string, in Input,
	may func(known bool) error) (store.SourceGroup, error) {
	h, err := s.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) {
		return store.SourceGroup{}, ErrNoHost
	} else if err != nil {
		return store.SourceGroup{}, err
	}
	wrong := field.Errors{}
	name = field.Clean(name)
	wrong.Say("name", field.Name("name", name))
	add, repository, err := in.repository(ctx, s.Store, wrong)
	if err != nil {
		return store.SourceGroup{}, err
	}
	if unfit, err := s.unfit(ctx, host, repository, add); err != nil {
		return store.SourceGroup{}, err
	} else if unfit != "" {
		wrong.Say("repository", unfit)
	}
	now := time.UnixMilli(s.Store.Now())
	g, err := s.Store.EditSourceGroup(ctx, by, host, name, add, func(g *store.SourceGroup, known bool) error {
		if err := may(known); err != nil {
			return err
		}
		if !known {
			*g = store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(now)), CreatedAt: now.UnixMilli()}
		}
		if in.Name != nil && known {
			g.Name = field.Clean(*in.Name)
			wrong.Say("name", field.Name("name", g.Name))
		}
		if repository != "" {
			g.Repository = repository
		}
		in.spelt(h.OS).apply(g, wrong)
		in.misfits(h.OS, wrong)
		if g.Repository == "" && add == nil {
			wrong.Say("repository", "Choose a repository, or make a new one.")
		}
		return wrong.Err()
	})
	switch {
	case errors.Is(err, store.ErrGroupTaken):
		return g, fmt.Errorf("%w: %w", ErrNameTaken, err)
	case errors.Is(err, store.ErrRepositoryTaken):
		return g, fmt.Errorf("%w: %w", repositories.ErrNameTaken, err)
	case errors.Is(err, store.ErrNotFound): // it was removed at this moment
		return g, field.Errors{"repository": noRepository(repository)}
	case err != nil:
		return g, err
	}
	if s.Changed != nil {
		s.Changed(host)
	}
	return g, nil
}

// repository is where the group is to back up into: a new one, or one that is
// there, "" to leave it as it is.
func (in Input) repository(ctx context.Context, s *store.Store, wrong field.Errors) (
	add *store.NewRepository, id topics.RepositoryID, err error) {
	if in.New != nil {
		add, err = repositories.New(ctx, s, *in.New)
		var bad field.Errors
		if errors.As(err, &bad) {
			for name, text := range bad {
				wrong.Say("repository."+name, text)
			}
			err = nil
		}
		return add, "", err
	}
	if in.Repository == nil {
		return nil, "", nil
	}
	r, err := s.FindRepository(ctx, *in.Repository)
	if errors.Is(err, store.ErrNotFound) {
		wrong.Say("repository", noRepository(topics.RepositoryID(*in.Repository)))
		return nil, "", nil
	}
	return nil, r.ID, err
}

// unfit says why {host} in the address of the repository that a host is to back up into
// cannot stand for it, "" if it can or there is none.
func (s *Service) unfit(ctx context.Context, host topics.HostID, id topics.RepositoryID, add *store.NewRepository) (string, error) {
	if id != "" {
		return repositories.PlaceFits(ctx, s.Store, id, host)
	}
	if add == nil || !location.PerHost(add.Location) {
		return "", nil
	}
	h, err := s.Store.Host(ctx, host)
	if err != nil || location.CheckName(h.Name) == "" {
		return "", err
	}
	return fmt.Sprintf("The host's name, %.100q, cannot stand for {host} in an address. Add the repository by itself first, and choose "+
		"a name for the host on its page, under Places.", h.Name), nil
}

func noRepository(which topics.RepositoryID) string {
	if which == "" {
		return "Choose a repository, or make a new one."
	}
	return fmt.Sprintf("There is no repository with the ID or name %.100q. Add it first.", which)
}

// apply changes a source group as the input says, and notes what is wrong.
func (in Input) apply(g *store.SourceGroup, wrong field.Errors) {
	if in.Paths != nil {
		g.Paths = *in.Paths
	}
	if in.Excludes != nil {
		g.Excludes = *in.Excludes
	}
	wrong.Say("paths", checkPaths(g.Paths))
	if in.Excludes != nil { // what was saved before there was this rule stays until somebody changes it
		wrong.Say("excludes", Broken(*g))
	}
	wrong.Say("excludes", checkExcludes(g.Paths, g.Excludes))
	if in.OneFileSystem != nil {
		g.OneFileSystem = *in.OneFileSystem
	}
	if in.LiveFiles != nil {
		g.LiveFiles.V = in.LiveFiles
	}
	if in.ShadowOnly != nil {
		g.ShadowOnly = *in.ShadowOnly
	}
	if g.ShadowOnly && g.LiveFiles.V != nil && *g.LiveFiles.V {
		wrong.Say("shadow_copy_only", "Either the files themselves are read, or nothing is saved without a shadow copy. Choose one.")
	}
	if in.AllowEmpty != nil {
		g.AllowEmpty = *in.AllowEmpty
	}
	if in.Hooks != nil {
		g.Hooks.V = in.Hooks
		wrong.Say("hooks", sentence(in.Hooks.Check()))
	}
	if in.Limits != nil {
		g.Limits.V = in.Limits
		wrong.Say("limits", sentence(in.Limits.Check()))
	}
	if in.Tuning != nil {
		if g.Tuning.V = in.Tuning; in.Tuning.IsZero() {
			g.Tuning.V = nil
		}
		wrong.Say("tuning", sentence(in.Tuning.Check()))
	}
}

// sentence is an error as a sentence for people, without the name of the field it
// begins with; "" for none.
func sentence(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if _, after, ok := strings.Cut(text, ": "); ok {
		text = after
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func checkPaths(paths []string) string {
	if len(paths) == 0 {
		return "Name at least one path to back up."
	}
	if len(paths) > MaxPaths {
		return fmt.Sprintf("A source group has at most %d paths; these are %d. Name folders instead of files, or make a second group.",
			MaxPaths, len(paths))
	}
	for _, p := range paths {
		switch {
		case broken(p):
			return fmt.Sprintf("%.100q holds a line break, a NUL character or broken UTF-8. One path stands on one line.", p)
		case strings.HasPrefix(p, "%"):
			return fmt.Sprintf("%.100q begins with a variable, and the agent replaces none: as a service it is another user than you. "+
				"Write out where it leads.", p)
		case !location.Absolute(p):
			return fmt.Sprintf(`%.100q is not a full path. Begin with / or, on Windows, with a drive such as C:\.`, p)
		}
	}
	return ""
}

func checkExcludes(paths, excludes []string) string {
	if len(excludes) > MaxPaths {
		return fmt.Sprintf("A source group has at most %d patterns; these are %d.", MaxPaths, len(excludes))
	}
	b, err := json.Marshal([][]string{append([]string{}, paths...), append([]string{}, excludes...)}) // none is [], not null
	if err != nil || len(b) > maxBytes {
		return fmt.Sprintf("Paths and patterns have %d bytes together, and at most %d fit into a command. "+
			"Name folders instead of files, or make a second group.", len(b), maxBytes)
	}
	return ""
}

// Broken names the first of a source group's patterns that restic would refuse or
// misread, with its line, and says what is wrong with it; "" if there is none.
func Broken(g store.SourceGroup) string {
	for i, p := range g.Excludes {
		if said := patterns.Check(p, windows(g)); said != "" {
			return fmt.Sprintf("Line %d, the pattern \"%s\": %s", i+1, words.Visible(words.Cut(p, 100)), said)
		}
	}
	return ""
}

// windows reports whether a source group's paths are of Windows.
func windows(g store.SourceGroup) bool {
	return len(g.Paths) > 0 && !strings.HasPrefix(g.Paths[0], "/")
}

// broken reports whether a path cannot stand on a line of its own.
func broken(p string) bool { return strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p) }

// spelt is the input with paths and patterns as the host's own system spells them: both
// C:\\Data and /C/Data are understood.
func (in Input) spelt(os string) Input {
	one := func(text string) string {
		bare, takesIn := strings.CutPrefix(text, "!")
		if takesIn {
			return "!" + location.Native(os, bare)
		}
		return location.Native(os, text)
	}
	for _, list := range []**[]string{&in.Paths, &in.Excludes} {
		if *list == nil || os != "windows" {
			continue
		}
		all := []string{}
		for _, text := range **list {
			all = append(all, one(text))
		}
		*list = &all
	}
	return in
}

// misfits notes what no host of this system can do. What was saved before there was this
// rule stays until somebody changes it.
func (in Input) misfits(os string, wrong field.Errors) {
	if in.Paths != nil {
		wrong.Say("paths", foreign(os, *in.spelt(os).Paths))
	}
	if in.OneFileSystem != nil && *in.OneFileSystem && os == "windows" {
		wrong.Say("one_file_system", "On Windows restic cannot stay on one file system. Leave out by a pattern what is mounted in a folder.")
	}
	if in.ShadowOnly != nil && *in.ShadowOnly && os != "windows" && os != "" {
		wrong.Say("shadow_copy_only", "Only Windows makes shadow copies, and this host does not run that.")
	}
}

// foreign says which of a group's paths are of another system than its host's, "" if none
// is. Of a host that has not said what it is, all may be.
func foreign(os string, paths []string) string {
	for _, p := range paths {
		switch unix := strings.HasPrefix(p, "/"); {
		case os == "windows" && unix && !strings.HasPrefix(p, "//"):
			return fmt.Sprintf(`%.100q is no path of Windows, which this host runs. Begin with a drive or a share, `+
				`such as C:\Users or \\server\share.`, p)
		case os != "windows" && os != "" && !unix:
			return fmt.Sprintf("%.100q is a path of Windows, and this host does not run that. Begin with /, such as /srv.", p)
		}
	}
	return ""
}

// Usual are the patterns that a new source group begins with on a system: what nobody
// restores, or what the system keeps to itself.
func Usual(os string) []string {
	if os != "windows" {
		return nil
	}
	return []string{"pagefile.sys", "hiberfil.sys", "swapfile.sys", "$RECYCLE.BIN", "System Volume Information"}
}
