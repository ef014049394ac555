// Package asked is how programs and people at a command line write down who is told of
// what: rules, thresholds and pauses as JSON, in which hosts and channels stand by name or
// by ID. What it cannot find stays as it is: the service that saves it says so.
package asked

import (
	"context"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Names finds IDs by names.
type Names struct {
	hosts, repositories, channels index
}

// An index has the IDs of things by their names.
type index struct{ ids, names map[string]string }

func (i *index) add(id, name string) {
	if i.ids == nil {
		i.ids, i.names = map[string]string{}, map[string]string{}
	}
	i.ids[id], i.names[name] = name, id
}

// id is a thing's by its ID or, if there is none, by its name; the text itself if there is
// neither.
func (i index) id(text string) string {
	if _, ok := i.ids[text]; ok {
		return text
	}
	if id, ok := i.names[text]; ok {
		return id
	}
	return text
}

// NamesOf reads the names that there are.
func NamesOf(ctx context.Context, s *store.Store) (Names, error) {
	var n Names
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return n, err
	}
	for _, h := range hosts {
		n.hosts.add(string(h.ID), h.Name)
	}
	repositories, err := s.Repositories(ctx)
	if err != nil {
		return n, err
	}
	for _, r := range repositories {
		n.repositories.add(string(r.ID), r.Name)
	}
	channels, err := s.Channels().List(ctx)
	if err != nil {
		return n, err
	}
	for _, c := range channels {
		n.channels.add(c.ID, c.Name)
	}
	return n, nil
}

// Host is a host's ID.
func (n Names) Host(text string) topics.HostID { return topics.HostID(n.hosts.id(text)) }

// Repository is a repository's ID.
func (n Names) Repository(text string) topics.RepositoryID {
	return topics.RepositoryID(n.repositories.id(text))
}

// Channel is a channel's ID.
func (n Names) Channel(text string) string { return n.channels.id(text) }

// HostName is the name of a host by its ID, the ID itself if there is none.
func (n Names) HostName(id string) string { return named(n.hosts, id) }

// ChannelName is the name of a channel by its ID, the ID itself if there is none.
func (n Names) ChannelName(id string) string { return named(n.channels, id) }

func named(i index, id string) string {
	if name, ok := i.ids[id]; ok {
		return name
	}
	return id
}

func each(list []string, of func(string) string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = of(text)
	}
	return out
}
