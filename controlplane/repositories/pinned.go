package repositories

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Pinned is a host whose own policy lets its data go to other addresses only than the
// repository has, as the host said last. Its jobs fail until its administrator allows it.
type Pinned struct {
	Host     topics.HostID
	Name     string
	Hostname string
	Pins     []string // where its data may go
	Address  string   // where it is to go now, without a secret
	Command  string   // what its administrator runs on it
	windows  bool
}

// Pinned lists the hosts that use a repository and pin another address, by name.
func (s *Service) Pinned(ctx context.Context, id topics.RepositoryID) ([]Pinned, error) {
	r, err := Find(ctx, s.Store, id)
	if err != nil {
		return nil, err
	}
	a, err := s.Store.RepositoryAccess(ctx, id)
	if bad := (*store.UnreadableError)(nil); errors.As(err, &bad) && bad.Everyday() {
		return []Pinned{}, nil // nothing is sent anywhere until it is entered again
	} else if err != nil && bad == nil {
		return nil, err
	}
	users := Users(ctx, s.Store, id)
	hosts, err := s.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	list := []Pinned{}
	for _, h := range hosts {
		p := h.Permits.V
		if p == nil || p.Anywhere || len(p.Repositories) == 0 && !p.BackupPins || !slices.Contains(users, h.ID) {
			continue
		}
		url, env, files := a.URL, a.Env, a.Files
		if m := a.Maintenance; h.ID == r.Keeper && m != nil && m.URL != "" {
			url = m.URL
		}
		if location.PerHost(r.Location) && h.ID != r.Keeper { // the keeper goes to the places of all
			name, err := s.nameFor(ctx, id, h)
			if err != nil {
				return nil, err
			}
			url = location.Expand(url, name)
		}
		if !pins(h, url, env, files) {
			continue
		}
		address, err := location.Parse(url.Reveal())
		if err != nil {
			continue
		}
		list = append(list, Pinned{Host: h.ID, Name: h.Name, Hostname: h.Hostname, Pins: p.Repositories, Address: address.Public(),
			Command: permits.Command(h, "allow-repository", location.Described(url, env, files)), windows: h.OS == "windows"})
	}
	slices.SortFunc(list, func(a, b Pinned) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (s *Service) nameFor(ctx context.Context, id topics.RepositoryID, h store.Host) (string, error) {
	rows, err := s.Store.Places(ctx, id)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(rows, func(p places.Place) bool { return p.Host == h.ID && p.Name != "" }); i >= 0 {
		return rows[i].Name, nil
	}
	return h.Name, nil
}

// pins reports whether a host's policy, as it said last, keeps its data from an address. A
// path of another system than this one's is compared as it is written.
func pins(h store.Host, url topics.Secret, env, files map[string]topics.Secret) bool {
	p := h.Permits.V
	address, bad := location.Parse(url.Reveal())
	if bad != nil {
		return false
	}
	if len(p.Repositories) == 0 { // the first backup decides, but for a path
		return address.Scheme() == location.Local && !p.Takes(address.Path())
	}
	if _, err := location.Pin(url, env); err == nil {
		pin, _, _ := location.Match(p.Repositories, p.As, url, env)
		return pin == "" || h.Able(topics.PastesFiles) && len(location.Strange(p.As[pin], location.Trust(files))) > 0
	}
	path := strings.TrimRight(address.Path(), `\/`)
	return !slices.ContainsFunc(p.Repositories, func(a string) bool { return location.Covers(a, path) || strings.TrimRight(a, `\/`) == path })
}

// ForAll is one command that runs those of all hosts, from a machine that may log in to
// them as root by ssh; of Windows there is none. It is "" for fewer than two hosts.
func ForAll(list []Pinned) string {
	byCommand, order := map[string][]string{}, []string{}
	n := 0
	for _, p := range list {
		if p.windows {
			continue
		}
		name := p.Hostname
		if name == "" {
			name = p.Name
		}
		if byCommand[p.Command] == nil {
			order = append(order, p.Command)
		}
		byCommand[p.Command] = append(byCommand[p.Command], words.Quoted(name))
		n++
	}
	if n < 2 {
		return ""
	}
	var lines []string
	for _, command := range order {
		lines = append(lines, "for host in "+strings.Join(byCommand[command], " ")+"; do ssh root@\"$host\" "+words.Quoted(command)+"; done")
	}
	return strings.Join(lines, "; ")
}
