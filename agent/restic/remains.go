package restic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// Below an address at which there is no repository, an init that was cut short leaves a
// key. restic before 0.17 looks for a config file alone and makes a second key beside
// it, and then may take the wrong one: with the same password both open. Newer ones
// refuse. So a key that is left is removed first, where we can look and delete ourselves.

// A storage is where we can look ourselves, without restic.
type storage interface {
	// files lists what is in a folder of the repository, without its subfolders if it is
	// keys, and when it was written, zero where that is not known.
	files(ctx context.Context, folder string) (map[string]time.Time, error)
	// strange names a file beside the keys that restic has not written, "" if there is
	// none: somebody else's, which is not ours to remove.
	strange(ctx context.Context) (string, error)
	// remove removes a key.
	remove(ctx context.Context, key string) error
}

// storage returns nil where only restic can look.
func (r Repository) storage() storage {
	a, err := location.ParseHere(r.URL.Reveal())
	if err != nil {
		return nil
	}
	switch a.Scheme() {
	case location.Local:
		return folder(a.Path())
	case "rest":
		base, err := url.Parse(strings.TrimSuffix(a.Rest(), "/") + "/")
		client := r.client()
		if err != nil || client == nil || base.Scheme != "http" && base.Scheme != "https" {
			return nil
		}
		if user := r.Env["RESTIC_REST_USERNAME"].Reveal(); base.User == nil && user != "" {
			base.User = url.UserPassword(user, r.Env["RESTIC_REST_PASSWORD"].Reveal())
		}
		return server{base, client}
	}
	return nil
}

// A folder is a path of this host.
type folder string

func (f folder) files(_ context.Context, name string) (map[string]time.Time, error) {
	found := map[string]time.Time{}
	err := filepath.WalkDir(filepath.Join(string(f), name), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || d.IsDir():
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if found[d.Name()] = info.ModTime(); name != keysFolder {
			return fs.SkipAll // one will do
		}
		return nil
	})
	return found, err
}

func (f folder) strange(context.Context) (string, error) {
	dir := filepath.Join(string(f), keysFolder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Type().IsRegular() && partOfKey.MatchString(e.Name()):
		case !e.Type().IsRegular() || !wholeKey.MatchString(e.Name()) || !isKey(path):
			return path, nil
		}
	}
	return "", err
}

// wholeKey and partOfKey are the names of a key, and of one while restic writes it, which
// it takes for none.
var (
	wholeKey  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	partOfKey = regexp.MustCompile(`^[0-9a-f]{64}-tmp-[0-9]+$`)
)

// isKey reports whether a file may be a key of restic's.
func isKey(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return err == nil && holds(filepath.Base(path), b)
}

// holds reports whether this is the content of a key: its name says so, or there is none,
// as after a power failure.
func holds(key string, content []byte) bool {
	sum := sha256.Sum256(content)
	return len(content) == 0 || hex.EncodeToString(sum[:]) == key
}

func (f folder) remove(_ context.Context, key string) error {
	return os.Remove(filepath.Join(string(f), keysFolder, key))
}

const keysFolder = "keys"

// A server speaks the protocol of restic's REST server.
type server struct {
	base   *url.URL // ends with a slash
	client *http.Client
}

func (s server) ask(ctx context.Context, method, path string) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.base.JoinPath(path).String(), nil)
	if err != nil {
		return nil, 0, errors.New("the repository's address is no URL")
	}
	req.Header.Set("Accept", "application/vnd.x.restic.rest.v2")
	answer, err := s.client.Do(req)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // without the URL
		}
		return nil, 0, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return b, answer.StatusCode, err
}

var errUnseen = errors.New("the server does not list what it holds")

func (s server) files(ctx context.Context, name string) (map[string]time.Time, error) {
	b, code, err := s.ask(ctx, http.MethodGet, name+"/")
	switch {
	case err != nil:
		return nil, err
	case code == http.StatusNotFound:
		return nil, nil
	case code != http.StatusOK:
		return nil, errUnseen
	}
	var list []struct {
		Name string `json:"name"`
	}
	var names []string // as the first version of the protocol lists them
	if json.Unmarshal(b, &list) != nil && json.Unmarshal(b, &names) != nil {
		return nil, errUnseen
	}
	for _, l := range list {
		names = append(names, l.Name)
	}
	found := map[string]time.Time{}
	for _, n := range names {
		if wholeKey.MatchString(n) {
			found[n] = time.Time{}
		}
	}
	return found, nil
}

func (s server) strange(ctx context.Context) (string, error) {
	keys, err := s.files(ctx, keysFolder)
	for key := range keys {
		if err == nil {
			var b []byte
			var code int
			b, code, err = s.ask(ctx, http.MethodGet, keysFolder+"/"+key)
			if err == nil && code == http.StatusOK && !holds(key, b) {
				return keysFolder + "/" + key, nil
			}
		}
	}
	return "", err
}

func (s server) remove(ctx context.Context, key string) error {
	_, code, err := s.ask(ctx, http.MethodDelete, keysFolder+"/"+key)
	if err == nil && code/100 != 2 {
		err = fmt.Errorf("the server answers with %d", code)
	}
	return err
}

// remains makes sure that a place where there is no repository may become one. Keys
// that are left of an init are removed once nobody has gone on with it for
// Timing.Settled; where there is data, a config file was lost, and nothing is made. It
// ends Succeeded if there is nothing in the way, or nothing can be known; there is true
// if meanwhile somebody else has made the repository, or may have.
func (b Binary) remains(ctx context.Context, place Place, repository Repository, sink Sink) (e Ending, there bool) {
	nothing := Ending{State: topics.Succeeded}
	s := repository.storage()
	if s == nil {
		return nothing, false
	}
	for _, name := range []string{"snapshots", "index", "data"} {
		found, err := s.files(ctx, name)
		for file := range found {
			return failed(topics.CauseDamaged, fmt.Errorf("there is data of a repository but no config file, for one %s/%s: a new repository "+
				"would bury it. Bring the config file back, or make the repository elsewhere", name, file)), false
		}
		if errors.Is(err, errUnseen) {
			return nothing, false
		}
		if err != nil {
			return failed(unseen(s, err), fmt.Errorf("look for what is there already: %w", err)), false
		}
	}
	keys, err := s.files(ctx, keysFolder)
	if errors.Is(err, errUnseen) {
		return nothing, false
	}
	if err != nil {
		return failed(unseen(s, err), fmt.Errorf("look for keys that are there already: %w", err)), false
	}
	if len(keys) == 0 {
		return nothing, false
	}
	if file, err := s.strange(ctx); err != nil || file != "" {
		if err != nil {
			return failed(unseen(s, err), fmt.Errorf("read the keys that are there already: %w", err)), false
		}
		return failed(topics.CauseUsage, fmt.Errorf("%s is no key of a repository, and there is no config file: somebody keeps other files "+
			"there. Make the repository in a directory of its own", file)), false
	}
	limit := b.Timing.orDefault().Settled
	wait := time.Duration(0)
	for _, written := range keys {
		left := limit
		if !written.IsZero() {
			left = min(limit-time.Since(written), limit)
		}
		wait = max(wait, left)
	}
	if wait > 0 {
		sink.Line(topics.Warn, fmt.Sprintf("there is a key, but no config file: an init was cut short, or somebody else is making the "+
			"repository; looking again in %v", wait.Round(time.Second)))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: "cancelled before restic was started"}, false
		}
		if e := b.Exists(ctx, place, repository, sink); e.Cause != topics.CauseNoRepository {
			return e, true
		}
	}
	again, err := s.files(ctx, keysFolder)
	if err == nil && !slices.Equal(sortedKeys(keys), sortedKeys(again)) {
		return failed(topics.CauseUnmade, errors.New("keys come and go there while there is no config file: somebody else is making the "+
			"repository")), false
	}
	for _, key := range sortedKeys(again) {
		if err == nil && wholeKey.MatchString(key) {
			sink.Line(topics.Warn, "removing a key that an init left which was cut short: "+key)
			err = s.remove(ctx, key)
		}
	}
	if err != nil {
		return failed(topics.CauseDamaged, fmt.Errorf("an init that was cut short has left a key, and no config file or data: with it, a new "+
			"repository might not open. It cannot be removed from here (%w). Remove the folder keys where the repository lies", err)), false
	}
	return nothing, false
}

// unseen is the cause if we cannot look.
func unseen(s storage, err error) topics.Cause {
	if _, local := s.(folder); local {
		return causeOf(err)
	}
	return topics.CauseUnreachable
}

func sortedKeys(of map[string]time.Time) (names []string) {
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// opens looks whether a repository that restic has just made opens, where it may be that
// nobody could look for keys before: restic before 0.17 does not mind one that is left.
func (b Binary) opens(ctx context.Context, place Place, repository Repository, sink Sink) Ending {
	e := b.Exists(ctx, place, repository, sink)
	if e.State == topics.Failed && (e.Cause == topics.CauseDamaged || e.Cause == topics.CausePassword || e.Cause == topics.CauseUnknown) {
		e = failed(topics.CauseDamaged, errors.New("the repository was made, but it does not open: an init that was cut short before seems to "+
			"have left a key there. It holds no data yet. Remove all of it at the storage, then it is made anew ("+e.Message+")"))
		sink.Line(topics.Error, e.Message)
	}
	return e
}

// refused puts into words that restic 0.17 or newer found the remains of a repository.
func refused(e Ending) Ending {
	for _, what := range []string{"keys", "snapshots"} {
		if e.State == topics.Failed && strings.Contains(e.Message, "repository already contains "+what) {
			return failed(topics.CauseDamaged, errors.New("there are "+what+" of a repository, but no config file. If an init was cut short "+
				"there, and there is no data, remove the folder "+what+" at the storage; else bring the config file back ("+e.Message+")"))
		}
	}
	return e
}
