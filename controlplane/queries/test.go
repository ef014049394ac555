package queries

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/tidy"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Test has a host look where a repository is to be: an address as the host would get it, with
// its credential; the password may be "". Nothing is saved, and nothing of it is kept but who
// asked for which address. What the host refuses or could not find out is a finding of the
// state other; a *Refused is that it could not be asked.
func (a *Asker) Test(ctx context.Context, who jobs.Actor, host topics.HostID, r topics.Repository) (f topics.Finding, err error) {
	if err := who.Lacks(rights.Repositories); err != nil {
		return f, err
	}
	h, err := a.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) || err == nil && h.RemovedAt > 0 {
		return f, jobs.ErrNoHost
	} else if err != nil {
		return f, err
	}
	address, err := location.Parse(r.URL.Reveal())
	if err != nil {
		return f, &InputError{Field: "url", Say: err.Error()}
	}
	if err := a.ready(h); err != nil {
		if _, offline := NotLooked(err); offline {
			err = errors.Join(err, a.Store.Audit(context.WithoutCancel(ctx), who.Name, "query.test", string(host), "of "+address.Public()+
				", not connected"))
		}
		return f, err
	}
	if !h.Able(topics.TestsPlaces) {
		return f, &Refused{Cause: CauseOldAgent, Title: "The host's agent is too old for this",
			Say: "The agent of " + h.Name + " is of version " + h.AgentVersion + " and cannot look for a repository before it is saved.",
			Do:  "Update the agent there, or choose another host. What is saved works all the same: the first backup shows it."}
	}
	k := key{kind: topics.TestQuery, by: host, snapshot: topics.NewID(time.Now()), path: address.Public()} // nobody else asks the same
	of, err := a.ask(ctx, who, h, k, topics.Query{Kind: topics.TestQuery, Repository: &r}, a.Limits.Test)
	var refused *Refused
	switch {
	case err == nil && of.finding != nil:
		return readable(*of.finding), nil
	case err == nil:
		return topics.Finding{State: topics.FindingOther, Cause: topics.CauseUnknown, Message: "The host's answer cannot be read."}, nil
	case !errors.As(err, &refused):
		return f, err
	}
	switch refused.Cause {
	case CauseOffline, topics.CauseTwins, topics.CauseTooMany:
		return f, err
	case topics.CauseSlow:
		return topics.Finding{State: topics.FindingOther, Cause: topics.CauseUnreachable, Message: fmt.Sprintf("The host %s has found no answer "+
			"within %v.", h.Name, a.Limits.Test)}, nil
	}
	return topics.Finding{State: topics.FindingOther, Cause: refused.Cause, Message: refused.Say}, nil
}

// NotLooked is what a test has found where the host is not connected, which is why it could not
// be asked: nothing was reached. ok is false for any other error.
func NotLooked(err error) (f topics.Finding, ok bool) {
	var refused *Refused
	if !errors.As(err, &refused) || refused.Cause != CauseOffline {
		return f, false
	}
	return topics.Finding{State: topics.FindingOther, Cause: topics.CauseUnreachable,
		Message: strings.TrimSpace("Nothing was looked at, the host is offline. " + refused.Say + " " + refused.Do)}, true
}

// readable is a finding without what a host may not say.
func readable(f topics.Finding) topics.Finding {
	f.Message = tidy.Clean(f.Message, tidy.MostSaid)
	if f.Cause != topics.CauseNone && !slices.Contains(topics.Causes, f.Cause) {
		f.Cause = topics.CauseUnknown
	}
	for i := range f.HostKeys {
		f.HostKeys[i].Known = tidy.Clean(f.HostKeys[i].Known, tidy.MostSaid)
	}
	if f.Certificate != nil {
		c := *f.Certificate
		c.Subject, c.Issuer, c.Why = tidy.Clean(c.Subject, tidy.MostName), tidy.Clean(c.Issuer, tidy.MostName), tidy.Clean(c.Why, tidy.MostSaid)
		if block, rest := pem.Decode([]byte(c.PEM)); block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || len(rest) > 0 {
			c.PEM, c.PEMSHA256 = "", ""
		} else {
			c.PEM = string(pem.EncodeToMemory(block))
		}
		f.Certificate = &c
	}
	return f
}
