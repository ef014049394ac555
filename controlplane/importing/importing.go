// Package importing takes in what a repository held before it was registered, or what
// another program puts there: it proposes which host and source group snapshots are of,
// and once a person has confirmed, they count as those of our own jobs do.
//
// Nothing is taken in by itself, also no later snapshots of those that were confirmed
// before: whoever can write to a repository can add any, with every host name, and what
// counts decides what is forgotten.
package importing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Proposal is what is proposed for the snapshots of one kin.
type Proposal struct {
	imports.Kin
	Fit
	// Newer are those of them that are newer than the first backup that a job of ours made of
	// the proposed group, or older than a listing that had them not: a program that goes on
	// beside us made them, or somebody planted them. They are taken in only if a person says so.
	Newer   int
	Seen    string // the digest that says, with what is confirmed, what was shown
	Earlier int64  // when some of this kin were last taken in and it was not undone; 0 is never
}

// Given is how many are taken in as it is proposed.
func (p Proposal) Given() int { return len(p.List) - p.Newer }

// A Known is what a repository holds that is nobody's, and what was taken in.
type Known struct {
	Repository store.Repository
	Proposals  []Proposal
	Groups     []Group // that may be chosen: of hosts that back up into it, or that fit
	Imports    []imports.Import
	Rows       []imports.Row
	Hosts      map[topics.HostID]string // the names of hosts, and of groups
	Names      map[topics.SourceGroupID]string
	From       map[topics.RepositoryID]string // the names of repositories that some were copied from

	rows   map[string]int // where in Proposals, by key
	at     int64
	firsts map[topics.SourceGroupID]int64
}

// Service takes snapshots in. Its zero value with a Store does all it can do.
type Service struct {
	Store *store.Store
	// Changed is told after each change, with the hosts that it is about. It must not block;
	// nil tells nobody.
	Changed func(...topics.HostID)
}

// Look proposes which source groups the snapshots of a repository are of.
func (s *Service) Look(ctx context.Context, id topics.RepositoryID) (k Known, err error) {
	if k.Repository, err = repositories.Find(ctx, s.Store, id); err != nil {
		return k, err
	}
	k.at = s.Store.Now()
	kins, err := s.Store.Kins(ctx, id)
	if err != nil {
		return k, err
	}
	if k.From, err = s.from(ctx, kins); err != nil {
		return k, err
	}
	if k.firsts, err = s.Store.FirstBackups(ctx, id); err != nil {
		return k, err
	}
	if k.Imports, k.Rows, err = s.Store.Imports(ctx, id); err != nil {
		return k, err
	}
	rows, err := s.Store.Hosts(ctx)
	if err != nil {
		return k, err
	}
	k.Hosts, k.Names = map[topics.HostID]string{}, map[topics.SourceGroupID]string{}
	hosts := make([]Host, len(rows))
	for i, h := range rows {
		hosts[i] = Host{ID: h.ID, Name: h.Name, Hostname: h.Hostname}
		k.Hosts[h.ID] = h.Name
	}
	groups, err := s.groups(ctx, id, kins, hosts)
	if err != nil {
		return k, err
	}
	for _, g := range groups {
		k.Names[g.ID] = g.Name
	}
	k.Groups = groups
	earlier := k.earlier()
	for i, f := range Fits(kins, hosts, groups) {
		p := Proposal{Kin: kins[i], Fit: f, Earlier: earlier[kins[i].Key], Seen: imports.Digest(k.at, kins[i].Part())}
		if f.Group != "" {
			if p.Newer = p.Later(k.firsts[f.Group]); p.Newer > 0 && p.Newer == len(p.List) {
				p.Group, p.Newer, p.Why, p.Doubt = "", 0, late(p.Kin), ""
			}
		}
		if k.say(&p); p.Group == "" {
			p.Doubt = ""
		}
		k.Proposals = append(k.Proposals, p)
	}
	slices.SortFunc(k.Proposals, inOrder)
	k.rows = make(map[string]int, len(k.Proposals))
	for i, p := range k.Proposals {
		k.rows[p.Key] = i
	}
	return k, nil
}

// Proposal is the one of a key; there is false if there is none.
func (k Known) Proposal(key string) (p Proposal, there bool) {
	i, there := k.rows[key]
	if !there {
		return Proposal{Kin: imports.Kin{Key: key}}, false
	}
	return k.Proposals[i], true
}

// Group is the one of an ID that can be chosen; there is false if there is none.
func (k Known) Group(id topics.SourceGroupID) (g Group, there bool) {
	i := slices.IndexFunc(k.Groups, func(g Group) bool { return g.ID == id })
	if i < 0 {
		return Group{}, false
	}
	return k.Groups[i], true
}

// late says why all of a kin are taken in only if a person says so.
func late(k imports.Kin) string {
	switch n := k.Backdated(); {
	case n == len(k.List):
		return "All came after a listing of the repository that had them not, and say that they are older: they were copied, or somebody " +
			"planted them."
	case n > 0:
		return "All are newer than the first backup of ours, or came later than they say: another program goes on beside us, or somebody " +
			"planted them."
	}
	return "All are newer than the first backup of ours: another program goes on beside us, or somebody planted them."
}

// say adds to why something is proposed what else is to be known of it.
func (k Known) say(p *Proposal) {
	n := func(n int) string { return words.Count(uint64(n), "is a copy", "are copies") }
	var from []string
	for _, r := range p.From {
		from = append(from, k.From[r])
	}
	switch copies := p.Copies(); {
	case len(p.List) == 0 && p.Counted > 0:
		p.Group, p.Why = "", fmt.Sprintf("They are copies of snapshots in %s that count there: the next listing of this repository counts "+
			"one of each here, too.", few(from))
	case len(p.List) == 0:
		p.Group, p.Why = "", "They say that they were made in the future: set the clock of whoever makes them."
	case copies > 0:
		p.Why += fmt.Sprintf(" %s of snapshots in %s: taken in there, they count here as copies.", n(copies), few(from))
	}
	if len(p.List) > 0 && p.Counted > 0 {
		p.Why += fmt.Sprintf(" %s besides of what counts in %s, which the next listing counts here, too.", n(p.Counted), few(from))
	}
	if back := p.Backdated(); back > 0 && p.Group != "" {
		p.Why += " " + words.Count(uint64(back), "came", "came") + " after a listing that had them not, although they say that they are older."
	}
}

// from are the names of the repositories that snapshots were copied from.
func (s *Service) from(ctx context.Context, kins []imports.Kin) (map[topics.RepositoryID]string, error) {
	names := map[topics.RepositoryID]string{}
	for _, k := range kins {
		for _, id := range k.From {
			if names[id] != "" {
				continue
			}
			r, err := s.Store.Repository(ctx, id)
			if err != nil {
				return nil, err
			}
			names[id] = r.Name
		}
	}
	return names, nil
}

// groups are those that snapshots may be given to: of hosts that back up into the repository,
// and of those that have made some by their name.
func (s *Service) groups(ctx context.Context, id topics.RepositoryID, kins []imports.Kin, hosts []Host) ([]Group, error) {
	of, err := s.Store.HostsInto(ctx, id)
	if err != nil {
		return nil, err
	}
	known := namesOf(hosts)
	for _, k := range kins {
		for _, h := range known.named(k).list {
			if !slices.Contains(of, h.ID) {
				of = append(of, h.ID)
			}
		}
	}
	groups := []Group{}
	for _, host := range of {
		list, err := s.Store.SourceGroups(ctx, host)
		if err != nil {
			return nil, err
		}
		for _, g := range list {
			groups = append(groups, Group{ID: g.ID, Host: host, Name: g.Name, Paths: g.Paths, Here: g.Repository == id})
		}
	}
	return groups, nil
}

// earlier is when kins were last taken in, by their keys.
func (k Known) earlier() map[string]int64 {
	made, at := map[string]int64{}, map[string]int64{}
	for _, i := range k.Imports {
		if i.UndoneAt == 0 {
			made[i.ID] = i.At
		}
	}
	for _, r := range k.Rows {
		at[r.Kin] = max(at[r.Kin], made[r.Import])
	}
	return at
}

// Proposed are the choices that confirm everything as it is proposed.
func (k Known) Proposed() (list []imports.Choice) {
	for _, p := range k.Proposals {
		if p.Group != "" {
			list = append(list, imports.Choice{Kin: p.Key, Group: p.Group, Shown: new(p.Given()), Seen: p.Seen})
		}
	}
	return list
}

// Doubts are what is to be known of choices before they are confirmed.
func (k Known) Doubts(choices []imports.Choice) (said []string) {
	for _, c := range choices {
		p, _ := k.Proposal(c.Kin)
		if g, there := k.Group(c.Group); there && g.Host == p.Host && p.Doubt != "" && !slices.Contains(said, p.Doubt) {
			said = append(said, p.Doubt)
		}
	}
	return said
}

// Given is how many snapshots a choice takes in.
func (k Known) Given(c imports.Choice) int {
	p, _ := k.Proposal(c.Kin)
	return len(c.Given(p.Kin, k.firsts[c.Group]))
}

// Newer is how many of a kin are newer than the first backup of ours of a group.
func (k Known) Newer(kin string, group topics.SourceGroupID) int {
	p, _ := k.Proposal(kin)
	return p.Later(k.firsts[group])
}

// Digest stands for choices and for the snapshots that each is about, as they are shown now.
func (k Known) Digest(choices []imports.Choice) string {
	return imports.Digest(k.at, k.parts(choices)...)
}

// Same returns an error, see Why, unless a digest is of the same choices and snapshots.
func (k Known) Same(choices []imports.Choice, digest string) error {
	return imports.Compare(digest, k.parts(choices)...)
}

func (k Known) parts(choices []imports.Choice) []imports.Part {
	parts := make([]imports.Part, len(choices))
	for i, c := range choices {
		p, _ := k.Proposal(c.Kin)
		parts[i] = imports.Part{Said: fmt.Sprintf("%s %s %t", c.Kin, c.Group, c.Newer), List: p.List}
	}
	return parts
}

// changed returns an error if other snapshots were shown to whoever made choices.
func (k Known) changed(choices []imports.Choice) error {
	var all imports.ChangedError
	for _, c := range choices {
		var e *imports.ChangedError
		p, _ := k.Proposal(c.Kin)
		if errors.As(c.Compare(p.Kin), &e) {
			all.More, all.Fewer = all.More+e.More, all.Fewer+e.Fewer
		}
	}
	if all.More+all.Fewer > 0 {
		return &all
	}
	return nil
}

// check says what is wrong with choices.
func (k Known) check(choices []imports.Choice) error {
	bad, seen := field.Errors{}, map[string]bool{}
	if len(choices) == 0 {
		bad.Say("confirm", "Choose a source group for at least one row; the others stay as they are.")
	}
	for _, c := range choices {
		p, there := k.Proposal(c.Kin)
		switch {
		case !there:
			bad.Say("confirm", fmt.Sprintf("There are no snapshots %.40q that nobody has taken in; look again.", c.Kin))
			continue
		case seen[c.Kin]:
			bad.Say("confirm", fmt.Sprintf("The snapshots %s are given to one source group alone.", c.Kin))
		}
		seen[c.Kin] = true
		g, there := k.Group(c.Group)
		switch {
		case !there:
			bad.Say("confirm", fmt.Sprintf("There is no source group %.40q that these can be of: it is one of a host that backs up into this "+
				"repository, or that has the name which the snapshots have.", string(c.Group)))
		case p.Place != "" && p.Place != g.Host:
			bad.Say("confirm", fmt.Sprintf("The snapshots %s are at the place of another host, which alone can restore them.", c.Kin))
		case len(c.Given(p.Kin, k.firsts[c.Group])) == 0:
			bad.Say("confirm", fmt.Sprintf("All of the snapshots %s are newer than the first backup of ours of this source group, or came later "+
				"than they say; say that those are taken in, too.", c.Kin))
		}
	}
	return bad.Err()
}

// A Consequence is what taking snapshots in does to what the repository's rules keep.
type Consequence struct {
	Taken  int // how many are taken in
	Stay   int // how many of these the rules keep
	Go     int // how many the next forget removes
	Ours   int // how many more it removes that jobs of ours made
	Held   int // how many it would remove once a person has looked at the plan
	Rules  bool
	Keeper bool   // somebody carries the rules out
	Mirror string // the name of a mirror that has rules of its own, where their copies count too; "" is none
	Plan   store.Plan
}

// Weigh says what the rules of a repository do once choices are confirmed. Nothing is changed.
func (s *Service) Weigh(ctx context.Context, k Known, choices []imports.Choice, now time.Time) (c Consequence, err error) {
	if err := k.changed(choices); err != nil {
		return c, err
	}
	if err := k.check(choices); err != nil {
		return c, err
	}
	before, err := retention.Look(ctx, s.Store, k.Repository.ID, nil, now)
	if err != nil {
		return c, err
	}
	gone := map[string]bool{}
	for _, list := range [][]retention.Verdict{before.Remove, before.Verdicts.Held} {
		for _, v := range list {
			gone[v.ID] = true
		}
	}
	given := map[string]store.Planned{}
	for _, choice := range choices {
		row, _ := k.Proposal(choice.Kin)
		g, _ := k.Group(choice.Group)
		for _, f := range choice.Given(row.Kin, k.firsts[choice.Group]) {
			m := imports.MadeOf("import", g.Host, g.ID, f, now.UnixMilli())
			p := store.Planned{GroupThere: true, Group: g.Name}
			p.Host, p.Job, p.SourceGroup, p.Imported = m.Host, m.Job, m.SourceGroup, m.Imported
			p.QueuedAt, p.BegunAt, p.EndedAt, p.State = m.QueuedAt, m.BegunAt, m.EndedAt, m.State
			given[f.ID] = p
		}
	}
	after, err := retention.LookIf(ctx, s.Store, k.Repository.ID, nil, now, func(p *store.Planned) {
		if m, taken := given[p.ID]; taken {
			p.GroupThere, p.Group = m.GroupThere, m.Group
			p.Host, p.Job, p.SourceGroup, p.Imported = m.Host, m.Job, m.SourceGroup, m.Imported
			p.QueuedAt, p.BegunAt, p.EndedAt, p.State = m.QueuedAt, m.BegunAt, m.EndedAt, m.State
		}
	})
	if err != nil {
		return c, err
	}
	c.Taken, c.Plan, c.Rules, c.Keeper = len(given), after.Plan, after.Keep != (store.Keep{}), k.Repository.Keeper != ""
	for _, v := range after.Remove {
		if _, taken := given[v.ID]; taken {
			c.Go++
		} else if !gone[v.ID] {
			c.Ours++
		}
	}
	for _, v := range after.Verdicts.Held {
		if _, taken := given[v.ID]; taken {
			c.Held++
		}
	}
	c.Stay = c.Taken - c.Go - c.Held
	c.Mirror, err = s.mirror(ctx, k.Repository.ID)
	return c, err
}

// mirror is the name of a repository's mirror, "" if it has none or one without rules.
func (s *Service) mirror(ctx context.Context, id topics.RepositoryID) (string, error) {
	m, err := s.Store.Mirror(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	t, err := s.Store.Repository(ctx, m.Target)
	if err != nil || retention.KeepOf(t) == (store.Keep{}) {
		return "", err
	}
	return t.Name, nil
}

// Confirm takes snapshots in, as a person decided.
func (s *Service) Confirm(ctx context.Context, by string, id topics.RepositoryID, choices []imports.Choice) (string, []imports.Row, error) {
	k, err := s.Look(ctx, id)
	if err != nil {
		return "", nil, err
	}
	if err := k.changed(choices); err != nil {
		return "", nil, err
	}
	if err := k.check(choices); err != nil {
		return "", nil, err
	}
	if _, err := s.Store.FinishImports(ctx, id); err != nil { // of somebody who was interrupted
		return "", nil, err
	}
	name := topics.NewID(time.UnixMilli(s.Store.Now()))
	rows, err := s.Store.Import(ctx, by, name, id, choices)
	if err != nil {
		return "", nil, err
	}
	var hosts []topics.HostID
	for _, r := range rows {
		if !slices.Contains(hosts, r.Host) {
			hosts = append(hosts, r.Host)
		}
	}
	s.changed(hosts...)
	return name, rows, nil
}

// Undo gives what an import took in back to nobody.
func (s *Service) Undo(ctx context.Context, by string, id topics.RepositoryID, name string) error {
	if _, err := repositories.Find(ctx, s.Store, id); err != nil {
		return err
	}
	if _, err := s.Store.FinishImports(ctx, id); err != nil {
		return err
	}
	hosts, err := s.Store.UndoImport(ctx, by, id, name)
	if err != nil {
		return err
	}
	s.changed(hosts...)
	return nil
}

func (s *Service) changed(hosts ...topics.HostID) {
	if s.Changed != nil {
		s.Changed(hosts...)
	}
}

// Why returns the sentence and the cure of an error of this package's, "" if it is none.
func Why(err error) (title, say, do string) {
	var changed *imports.ChangedError
	switch {
	case errors.As(err, &changed):
		return "There are other snapshots by now", fmt.Sprintf("It changed since you looked: %d more, %d fewer. Nothing was taken in.",
			changed.More, changed.Fewer), "Look again, and confirm what is there then."
	case errors.Is(err, imports.ErrChanged):
		return "There are other snapshots by now", "Since the list was shown, some came, went or were taken in. Nothing was changed.",
			"Look at the list again, and confirm what is there."
	case errors.Is(err, imports.ErrNone):
		return "There is no such import", "None of this ID was made for this repository.", "Look at the list of imports."
	case errors.Is(err, imports.ErrUndone):
		return "This import was undone already", "Its snapshots are nobody's. Nothing was changed.", "Take them in anew if they shall count."
	case errors.Is(err, imports.ErrGoing):
		return "A job is about to remove or replace some of these snapshots", "It names them, so to undo the import would not keep them. " +
			"Nothing was changed.", "Cancel that job, or wait for its end."
	case errors.Is(err, imports.ErrBusy):
		return "Snapshots of this repository are being taken in or given back", "That takes some seconds, and goes on by itself. " +
			"Nothing was changed.", "Look again then."
	case errors.Is(err, imports.ErrNoGroup):
		return "There is no such source group", "It was removed meanwhile. Nothing was changed.", "Choose another one."
	}
	return "", "", ""
}

// Words say what follows, a sentence each.
func (c Consequence) Words() (said []string) {
	n := func(n int) string { return words.Count(uint64(n), "snapshot", "snapshots") }
	switch {
	case !c.Rules:
		said = append(said, "The repository has no rules, so nothing of this is ever forgotten.")
	case c.Go+c.Held+c.Ours == 0:
		said = append(said, "The repository's rules keep all of them; as they grow older, the rules go on for them.")
	case c.Held > 0:
		said = append(said, "The repository's rules would remove "+n(c.Go+c.Held)+" of these. That is held for review: nothing is removed of "+
			"their source groups before an administrator approves.")
	default:
		said = append(said, "The next forget removes "+n(c.Go)+" of these by the repository's rules, and keeps "+strconv.Itoa(c.Stay)+
			". To keep more, change the rules first.")
	}
	if c.Ours > 0 {
		said = append(said, "It also removes "+n(c.Ours)+" more that jobs here made, as one of these stands for their time.")
	}
	if c.Rules && !c.Keeper {
		said = append(said, "The repository has no keeper, so nobody forgets anything until it has one.")
	}
	if c.Mirror != "" {
		said = append(said, "Their copies in the mirror "+c.Mirror+" count there, too, and its own rules go on for all of the source group "+
			"there: look at its plan before its next forget.")
	}
	return append(said, "A forget of another program goes on by its own rules: what it removes from now on is shown as lost. Stop it first.")
}
