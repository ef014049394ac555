package repositories

import (
	"context"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
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
}

// Pinned lists the hosts that use a repository and pin another address, by name.
func (s *Service) Pinned(ctx context.Context, id topics.RepositoryID) ([]Pinned, error) {
	r, err := Find(ctx, s.Store, id)
	if err != nil {
		return nil, err
	}
	a, err := s.Store.RepositoryAccess(ctx, id)
	if err != nil {
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
		if p == nil || p.Anywhere || len(p.Repositories) == 0 || !slices.Contains(users, h.ID) {
			continue
		}
		url, env := a.URL, a.Env
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
		if !pins(p.Repositories, url, env) {
			continue
		}
		address, err := location.Parse(url.Reveal())
		if err != nil {
			continue
		}
		list = append(list, Pinned{Host: h.ID, Name: h.Name, Hostname: h.Hostname, Pins: p.Repositories, Address: address.Public(),
			Command: allow(address.Public(), h.OS)})
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

// pins reports whether a policy that lets data go to these addresses keeps it from one.
// A path of another system than this one's is compared as it is written.
func pins(allowed []string, url topics.Secret, env map[string]topics.Secret) bool {
	pin, err := location.Pin(url, env)
	if err != nil {
		address, bad := location.Parse(url.Reveal())
		if bad != nil {
			return false
		}
		pin = strings.TrimRight(address.Path(), `\/`)
	}
	return !slices.ContainsFunc(allowed, func(a string) bool {
		return location.Covers(a, pin) || err != nil && strings.TrimRight(a, `\/`) == pin
	})
}

// allow is the command that lets a host's data go to an address.
func allow(address, os string) string {
	if os == "windows" {
		return `restic-manager-agent policy allow-repository "` + address + `"`
	}
	return "restic-manager-agent policy allow-repository " + quotedForShell(address) + " --state /var/lib/restic-manager-agent"
}

// ForAll is one command that runs those of all hosts, from a machine that may log in to
// them as root by ssh; of Windows there is none. It is "" for fewer than two hosts.
func ForAll(list []Pinned) string {
	byCommand, order := map[string][]string{}, []string{}
	n := 0
	for _, p := range list {
		if strings.HasSuffix(p.Command, `"`) { // of Windows
			continue
		}
		name := p.Hostname
		if name == "" {
			name = p.Name
		}
		if byCommand[p.Command] == nil {
			order = append(order, p.Command)
		}
		byCommand[p.Command] = append(byCommand[p.Command], quotedForShell(name))
		n++
	}
	if n < 2 {
		return ""
	}
	var lines []string
	for _, command := range order {
		lines = append(lines, "for host in "+strings.Join(byCommand[command], " ")+"; do ssh root@\"$host\" "+quotedForShell(command)+"; done")
	}
	return strings.Join(lines, "; ")
}

// quotedForShell quotes a word for a shell, if it has to be.
func quotedForShell(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@%+=", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
