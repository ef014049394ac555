package controlplane

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/words"
)

// credentials are the API tokens and MQTT consumers that people should know of, as they
// were looked at last.
type credentials struct {
	now func() time.Time

	mu      sync.Mutex
	notices []notices.Notice
}

// Notices is a source of notices.
func (c *credentials) Notices(context.Context) []notices.Notice {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.notices)
}

// look reads them again.
func (c *credentials) look(ctx context.Context, s *store.Store) error {
	tokens, err := s.APITokens(ctx)
	if err != nil {
		return err
	}
	consumers, err := s.MQTTUsers(ctx)
	if err != nil {
		return err
	}
	users, err := s.Users(ctx)
	if err != nil {
		return err
	}
	found := about(tokens, consumers, users, c.now())
	c.mu.Lock()
	c.notices = found
	c.mu.Unlock()
	return nil
}

// about says which tokens end soon or ended in the last week, and which credentials act
// for somebody who may not sign in.
func about(tokens []store.APIToken, consumers []store.MQTTUser, users []store.User, now time.Time) (list []notices.Notice) {
	in := map[string]bool{}
	for _, u := range users {
		in[u.Name] = u.DisabledAt == 0
	}
	orphan := func(maker, by string) bool {
		return maker == "" && by != "" && by != "cli" && !strings.Contains(by, ":") && !in[by]
	}
	var soon, over []string
	var left access.Credentials
	for _, t := range tokens {
		ends := time.UnixMilli(t.ExpiresAt)
		said := t.Name + " (" + words.ISO(ends) + ")"
		switch {
		case !people.EndsSoon(t, now):
		case ends.After(now):
			soon = append(soon, said)
		case now.Sub(ends) < 7*24*time.Hour:
			over = append(over, said)
		}
		if orphan(t.Maker, t.CreatedBy) {
			left.Tokens = append(left.Tokens, t)
		}
	}
	for _, u := range consumers {
		if orphan(u.Maker, u.CreatedBy) {
			left.Consumers = append(left.Consumers, u)
		}
	}
	remedy := "Make a new one, give it to the program, and revoke the old one."
	link := notices.Link{Text: "API tokens", URL: "/users#tk"}
	if len(soon) > 0 {
		list = append(list, notices.Notice{ID: "token-ends", Severity: notices.Warning, Remedy: remedy, Link: link,
			Say: "API tokens expire soon, and programs that use them are refused then: " + strings.Join(soon, ", ") + "."})
	}
	if len(over) > 0 {
		list = append(list, notices.Notice{ID: "token-ended", Severity: notices.Warning, Remedy: remedy, Link: link,
			Say: "API tokens have expired, and programs that use them are refused: " + strings.Join(over, ", ") + "."})
	}
	if which := people.Programs(left); which != "" {
		list = append(list, notices.Notice{ID: "credential-of-nobody", Severity: notices.Warning, Link: link,
			Say:    "Whoever made these may not sign in any more, and go on with their own roles, as before this version: " + which + ".",
			Remedy: "Revoke them; make new ones for programs that are still needed. Consumers are on the page MQTT."})
	}
	return list
}
