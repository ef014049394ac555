package jobs

import (
	"context"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Query sends a host a query, or the end of one, in its session of this moment. It is sent
// once and stored nowhere. false is that the host is not connected.
func (e *Engine) Query(host topics.HostID, id topics.QueryID, q topics.Query) bool {
	if !e.Presence.Reachable(host) {
		return false
	}
	return e.send(host, topics.Topic{Kind: topics.KindQuery, Host: host, Query: id}, func(s topics.Stamp) any {
		q.Stamp = s
		return q
	})
}

// Opening returns what a host needs to read a repository at the place of a host, "" for its
// own: the everyday credential. It returns a *GivingError if the host does not have the
// repository there, and the errors of a job that would look for files there.
func (e *Engine) Opening(ctx context.Context, host topics.HostID, repository topics.RepositoryID, place topics.HostID) (topics.Repository,
	error) {
	if err := e.Has(ctx, host, topics.FindJob, repository, place); err != nil {
		return topics.Repository{}, err
	}
	at := place
	if at == "" {
		at = host
	}
	if err := e.there(ctx, repository, at, true); err != nil {
		return topics.Repository{}, err
	}
	h, err := e.Store.Host(ctx, host)
	if err != nil {
		return topics.Repository{}, err
	}
	if err := e.Opens(ctx, h, topics.FindJob, repository, at); err != nil {
		return topics.Repository{}, err
	}
	r, a, err := e.at(ctx, repository, at)
	return access(r, a, host, topics.FindJob), err
}

// answer passes on a part of an answer. It is of no job and goes into no database.
func (e *Engine) answer(ch *line, a arrival) error {
	part, err := unseal[topics.Answer](ch, a)
	if err != nil {
		return err
	}
	if !e.Presence.Heard(a.topic.Host, part.Stamp) {
		return e.stale(a.topic.Host, part.Stamp)
	}
	for i := range part.Entries {
		part.Entries[i].ModTime = words.Time(part.Entries[i].ModTime)
	}
	for i := range part.Versions {
		part.Versions[i].Time, part.Versions[i].ModTime = words.Time(part.Versions[i].Time), words.Time(part.Versions[i].ModTime)
	}
	if e.Answered == nil || !e.Answered(a.topic.Host, a.topic.Query, part) {
		return errForeign
	}
	return nil
}
