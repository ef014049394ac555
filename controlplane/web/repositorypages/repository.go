package repositorypages

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rekey"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func (s *Pages) RepositoryPage(w http.ResponseWriter, r *http.Request) error {
	f := Filter(r.URL.Query())
	v, err := s.repositoryView(r.Context(), base.RepositoryID(r), f)
	if err != nil {
		return err
	}
	v.Forget = r.URL.Query().Get("forget")
	sh := s.Shell(r, v.Name, "repositories", layout.ToRepositories, views.Link{Text: v.Name})
	sh.Stream = views.RepositoryStream(v.ID, f)
	s.Render(w, r, http.StatusOK, views.RepositoryPage(sh, v))
	return nil
}

func (s *Pages) RepositoryStream(id topics.RepositoryID, f views.RepositoryFilter) layout.Draw {
	waiting, next := false, time.Time{}
	return func(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
		began := time.Now()
		if waiting = waiting || p.Full || len(rang) > 0; !waiting || began.Before(next) {
			p.Again = waiting
			return nil
		}
		v, err := s.repositoryView(ctx, id, f)
		if err != nil {
			return err
		}
		// A large repository takes a while to look through, and is looked through the less often.
		waiting, next = false, began.Add(10*time.Since(began))
		p.Morph("repository-header", views.RepositoryHeader(v))
		p.Morph("repository-making", views.RepositoryMaking(v))
		p.Morph("repository-notes", views.RepositoryNotes(v))
		p.Morph("alerts-of", views.AlertsOf(v.Alerts))
		p.Morph("repository-figures", views.RepositoryFigures(v))
		p.Morph("repository-missing", views.RepositoryMissing(v))
		p.Morph("repository-chart", views.RepositoryChart(v))
		p.Morph("repository-jobs", views.RepositoryJobs(v))
		p.Morph("repository-access", views.RepositoryAccess(v))
		p.Morph("repository-locks", views.RepositoryLocks(v))
		p.Morph("repository-keys", views.RepositoryKeys(v))
		p.Morph("repository-held", views.RepositoryHeld(v))
		p.Morph("repository-retention", views.RepositoryRetention(v))
		p.Morph("repository-flagged", views.RepositoryFlagged(v))
		p.Morph("repository-maintenance", views.RepositoryMaintenance(v))
		p.Morph("repository-mirror", views.RepositoryMirror(v))
		p.Morph("repository-details", views.RepositoryDetails(v))
		p.Morph("snapshot-count", views.SnapshotCount(v))
		p.Morph("snapshot-calendar", views.SnapshotCalendar(v.Calendar))
		p.Morph("snapshot-list", views.SnapshotList(v))
		return nil
	}
}

// repositoryView is everything a repository's page shows.
func (s *Pages) repositoryView(ctx context.Context, id topics.RepositoryID, f views.RepositoryFilter) (views.Repository, error) {
	var v views.Repository
	r, err := s.Repository(ctx, id)
	if err != nil {
		return v, err
	}
	k, err := s.Known(ctx, id)
	if err != nil {
		return v, err
	}
	verdicts, err := s.Health(ctx, id)
	if err != nil {
		return v, err
	}
	said := verdicts[id]
	if len(said) == 0 {
		return v, repositories.ErrNotFound // it was removed just now
	}
	access, err := s.Store.RepositoryAccess(ctx, id)
	if err != nil && !errors.As(err, new(*store.UnreadableError)) { // its health says that
		return v, err
	}
	m, err := s.Moment(ctx)
	if err != nil {
		return v, err
	}
	groups, err := s.Store.SourceGroupsAround(ctx, id)
	if err != nil {
		return v, err
	}
	tally := k.Tallies[id]
	v = views.Repository{
		ID:             string(id),
		Name:           r.Name,
		Location:       r.Location,
		Health:         views.RepositoryStatus(string(said[0].Word)),
		Findings:       s.findings(r, said),
		AppendOnly:     r.AppendOnly,
		HasMaintenance: access.Maintenance != nil,
		Filter:         f,
		SnapshotsTotal: tally.Count,
		ForeignTotal:   tally.Foreign,
		ListedAt:       s.When(r.ListedAt),
		LocksAt:        s.When(r.LocksAt),
		KeysAt:         s.When(r.KeysAt),
	}
	if v.Alerts, err = s.AlertsOfRepository(ctx, id, m); err != nil {
		return v, err
	}
	names, users := map[topics.HostID]string{}, map[topics.HostID]bool{}
	groupNames := map[topics.SourceGroupID]string{}
	for _, h := range m.ByName() {
		names[h.ID] = h.Name
	}
	for _, g := range groups {
		groupNames[g.ID] = g.Name
		if g.Repository == id && !users[g.Host] {
			users[g.Host] = true
			v.Users = append(v.Users, views.Link{Text: names[g.Host], URL: views.HostURL(string(g.Host))})
		}
	}
	if r.Keeper != "" {
		v.Keeper = views.Link{Text: names[r.Keeper], URL: views.HostURL(string(r.Keeper))}
	}
	may := session.Of(ctx).May(rights.Give)
	v.Hosts = s.Choice(m, func(h *fleet.Entry) int {
		switch {
		case h.ID == r.Keeper:
			return 0
		case users[h.ID]:
			return 1
		case !may:
			return -1
		}
		return 2
	})
	if v.Keepers = v.Hosts; r.Keeper != "" {
		v.Keepers = v.Hosts[:1]
	}
	v.Mount = mounting(r, access)
	if err := s.repositoryFound(ctx, &v, r, names); err != nil {
		return v, err
	}
	if v.Retention, err = s.RetentionView(ctx, id, nil); err != nil {
		return v, err
	}
	if err := s.snapshotsFound(ctx, &v, id, names, groupNames); err != nil {
		return v, err
	}
	days, err := s.Store.Days(ctx, id, s.Now().AddDate(-1, 0, 0).UnixMilli())
	if err != nil {
		return v, err
	}
	if v.Chart, err = s.SizeChart(ctx, id, days, f.Period); err != nil {
		return v, err
	}
	v.Figures = s.repositoryFigures(ctx, r, tally, days, said[0].Word == health.Damaged)
	recent, err := s.Store.JobsOn(ctx, id, 12)
	if err != nil {
		return v, err
	}
	for _, j := range recent[:min(len(recent), shownJobs)] {
		row := s.JobRow(j, groupNames)
		row.Group = strings.TrimSpace(names[j.Host] + " " + row.Group)
		v.Jobs = append(v.Jobs, row)
	}
	open := 0
	for _, j := range m.Open() {
		if j.Repository == id {
			open++
		}
	}
	if v.JobsTotal, err = s.JobsInAll(ctx, store.JobSearch{Repository: id}, open); err != nil {
		return v, err
	}
	v.Answer = s.answer(r, recent, names)
	v.Details = append(s.maintenanceFacts(r, v, access),
		views.Fact{Name: "If it is damaged", Value: "Repair it step by step", URL: views.RepairURL(v.ID)})
	if v.Maintenance, err = s.maintenanceView(ctx, id); err != nil {
		return v, err
	}
	if v.Mirror, err = s.mirrorView(ctx, r); err != nil {
		return v, err
	}
	v.Notes = s.repositoryNotes(r)
	if err := s.places(ctx, &v, r); err != nil {
		return v, err
	}
	if v.Making, err = s.making(ctx, id); err != nil {
		return v, err
	}
	v.Missing, err = s.missing(ctx, id, names)
	return v, err
}

// repositoryFound fills in locks and keys.
func (s *Pages) repositoryFound(ctx context.Context, v *views.Repository, r store.Repository, names map[topics.HostID]string) error {
	holders, err := jobs.Holders(ctx, s.Store, r.ID)
	if err != nil {
		return err
	}
	v.CanUnlock, v.AllDead = len(holders) > 0, len(holders) > 0
	for _, h := range holders {
		v.AllDead = v.AllDead && h.Verdict == jobs.Dead
		row := views.LockRow{ID: h.ID, Kind: "Shared", Owner: h.Hostname + ", process " + strconv.FormatInt(h.PID, 10), At: s.When(h.Time)}
		if h.Exclusive {
			row.Kind = "Exclusive"
		}
		if h.Username != "" {
			row.Owner += ", " + h.Username
		}
		row.Tone, row.Verdict = verdict(h, names[h.LookedBy])
		if h.OfJob != "" {
			row.Job = views.Link{Text: "Job " + jobs.ShortID(ctx, s.Store, h.OfJob), URL: views.JobURL(string(h.OfJob))}
		}
		v.Locks = append(v.Locks, row)
	}
	if v.Keys, err = s.keyRows(ctx, r.ID); err != nil {
		return err
	}
	st, err := s.Rekey.Last(ctx, r.ID)
	if errors.Is(err, rekey.ErrNone) || err == nil && st.Ended() {
		return nil
	}
	v.Rekeying = "The password is being changed."
	if err == nil && st.Back {
		v.Rekeying = "A change of the password is being called off."
	}
	if len(st.Waits) > 0 {
		v.Rekeying += " " + st.Waits[0]
	}
	return err
}

// verdict words who holds a lock.
func verdict(h jobs.Holder, looker string) (tone, text string) {
	switch h.Verdict {
	case jobs.Alive:
		return "run", "Its job is under way; it goes by itself."
	case jobs.Dead:
		return "fail", h.Owner.Name + " says that this process is gone. It is a leftover, and is removed before the next job that needs it."
	case jobs.Unsure:
		if h.Alive.Valid && !h.Alive.Bool {
			return "warn", looker + " sees no such process, and no job of ours is known to have made it. " +
				"It counts as left over when it was not renewed for 35 minutes."
		}
		return "warn", "Whether its process is alive, only " + h.Owner.Name + " itself can say. Refresh from there."
	}
	return "warn", "No host of ours is known by this name, so nobody can say whether its process is alive."
}

// repositoryFigures are a repository's numbers; damaged is whether damage was found in it
// that no check has cleared.
func (s *Pages) repositoryFigures(ctx context.Context, r store.Repository, t store.SnapshotTally, days []store.Day,
	damaged bool) []views.Figure {
	stored := views.Figure{Name: "Stored", Value: "not measured", Detail: "Refresh measures it"}
	restorable := views.Figure{
		Name:   "Restorable",
		Value:  "not known",
		Detail: "in " + words.Count(uint64(t.Count), "snapshot", "snapshots"),
	}
	saved := views.Figure{Name: "Saved by dedup", Value: "not known"}
	if r.MeasuredAt > 0 {
		stored.Value, stored.Unit = layout.Apart(words.Bytes(uint64(r.StoredBytes)))
		stored.Detail = "measured " + words.Ago(base.At(r.MeasuredAt), s.Now())
		if grown := growth(days, s.Now()); grown != "" {
			stored.Detail = grown + ", " + stored.Detail
		}
		restorable.Value, restorable.Unit = layout.Apart(words.Bytes(uint64(r.RestoreBytes)))
		if ratio := views.Times(r.Ratio()); r.Ratio() > 0 && r.Ratio() < 1 {
			saved.Value = "nothing" // it is about as large as a single copy, or tiny
		} else if ratio != "" {
			saved.Value, saved.Unit = ratio, "×"
		}
		saved.Detail = "this restic does not tell compression apart"
		if c := views.Times(r.Compression()); c != "" {
			saved.Detail = "of it " + c + " × by compression"
		}
	}
	check := views.Figure{Name: "Last check", Value: "never", Detail: "nobody has checked it yet"}
	if r.CheckedAt > 0 {
		check.Value, check.Detail = words.Ago(base.At(r.CheckedAt), s.Now()), "no errors"
		switch {
		case r.CheckErrors > 0:
			check.Detail = checkErrors(r)
		case damaged:
			check.Detail = "it did not look where the damage is"
		}
	}
	prune := views.Figure{Name: "Last prune", Value: "never", Detail: "nothing was freed yet"}
	if r.PrunedAt > 0 {
		prune.Value, prune.Detail = words.Ago(base.At(r.PrunedAt), s.Now()), words.Clock(ctx, base.At(r.PrunedAt), s.Now())
	}
	return []views.Figure{stored, restorable, saved, check, prune}
}

// growth is how much a repository grew in the last 30 days, as far as it was
// measured.
func growth(days []store.Day, now time.Time) string {
	i := slices.IndexFunc(days, func(d store.Day) bool { return !base.DayOf(d).Before(now.AddDate(0, 0, -31)) })
	if i < 0 || i == len(days)-1 {
		return ""
	}
	span := words.Count(uint64(days[len(days)-1].Day-days[i].Day), "day", "days")
	if by := days[len(days)-1].StoredBytes - days[i].StoredBytes; by >= 0 {
		return "+" + words.Bytes(uint64(by)) + " in " + span
	} else {
		return "−" + words.Bytes(uint64(-by)) + " in " + span
	}
}

// answer words the last try to open a repository.
func (s *Pages) answer(r store.Repository, recent []store.Job, names map[topics.HostID]string) views.Answer {
	for _, j := range recent {
		link := views.Link{Text: "Open the job", URL: views.JobURL(string(j.ID))}
		ago := words.Ago(base.At(j.FinishedAt), s.Now())
		switch {
		case !j.State.Ended() && (j.Kind == topics.SnapshotsJob || j.Kind == topics.InitJob):
			return views.Answer{
				Tone:  "run",
				Icon:  "hourglass",
				Title: names[j.Host] + " is asked",
				Text:  "Its answer appears here.",
				Link:  link,
			}
		case j.State == topics.Succeeded || j.State == topics.Warnings:
			text := names[j.Host] + " opened it " + ago + "."
			if j.Kind == topics.InitJob {
				text = names[j.Host] + " set it up " + ago + "."
			}
			return views.Answer{Tone: "ok", Icon: "circle-check", Title: "It opens", Text: text, Link: link}
		case j.State == topics.Failed && r.ReadyAt > 0 && j.Cause == topics.CauseNoRepository && strings.HasSuffix(j.Message, topics.NeverThere):
			return views.Answer{
				Tone:  "idle",
				Icon:  "circle-dashed",
				Title: "Not on " + names[j.Host] + " yet",
				Text: names[j.Host] + " found none in its own place " + ago + ". That says nothing of other hosts' places; " +
					"its first backup makes one there.",
				Link: link,
			}
		case j.State == topics.Failed && r.ReadyAt == 0 && j.Cause == topics.CauseNoRepository:
			return views.Answer{
				Tone:  "idle",
				Icon:  "circle-dashed",
				Title: "There is none yet",
				Text:  names[j.Host] + " found no repository there " + ago + ". Set it up, or let the first backup do so.",
				Link:  link,
			}
		case j.State == topics.Failed && opens(j.Cause):
			return views.Answer{
				Tone:  "fail",
				Icon:  "octagon-x",
				Title: jobs.ExplainJob(j).Cause,
				Text:  names[j.Host] + " tried " + ago + ": " + j.Message,
				Link:  link,
			}
		}
	}
	if r.ReadyAt > 0 {
		return views.Answer{
			Tone:  "ok",
			Icon:  "circle-check",
			Title: "It opens",
			Text:  "A job found it " + words.Ago(base.At(r.ReadyAt), s.Now()) + ".",
		}
	}
	return views.Answer{
		Tone:  "idle",
		Icon:  "circle-dashed",
		Title: "Not opened yet",
		Text:  "Have a host try: it opens, there is none yet, or something is wrong with the address or a password.",
	}
}

// opens reports whether a cause says something of whether a repository opens.
func opens(c topics.Cause) bool {
	switch c {
	case topics.CausePassword,
		topics.CauseNoRepository,
		topics.CauseUnreachable,
		topics.CauseStalled,
		topics.CauseCertificate,
		topics.CauseHostKey,
		topics.CauseHostKeyOther,
		topics.CauseKeyRefused,
		topics.CauseCredentials,
		topics.CausePermission,
		topics.CauseNoRestic,
		topics.CauseHostDisk,
		topics.CauseKilled,
		topics.CauseDamaged,
		topics.CauseUsage,
		topics.CausePolicy,
		topics.CauseRefused,
		topics.CauseUnknown,
		topics.CauseNone:
		return true
	}
	return false
}

func (s *Pages) maintenanceFacts(r store.Repository, v views.Repository, a store.RepositoryAccess) []views.Fact {
	last := func(ms int64) string { return words.Ago(base.At(ms), s.Now()) }
	keeper, rights := v.Keeper.Text, "the everyday credential"
	if keeper == "" {
		keeper = "none chosen"
	}
	if a.Maintenance != nil {
		rights = "a credential of its own"
	}
	facts := []views.Fact{{Name: "Keeper", Value: keeper}, {Name: "Deletes with", Value: rights}, {Name: "Forgot", Value: last(r.ForgotAt)},
		{Name: "Pruned", Value: last(r.PrunedAt)}, {Name: "Checked", Value: last(r.CheckedAt)}, {Name: "Keeps", Value: keeps(r.Keep.V)}}
	return append(facts, views.Fact{Name: "ID", Value: string(r.ID), Mono: true})
}

// keeps words the rules of retention.
func keeps(k *store.Keep) string {
	if k == nil {
		return "every snapshot"
	}
	var said []string
	for _, rule := range []struct{ word, value string }{{"all for ", k.Within}, {"hourly for ", k.WithinHourly}, {"daily for ", k.WithinDaily},
		{"weekly for ", k.WithinWeekly}, {"monthly for ", k.WithinMonthly}, {"yearly for ", k.WithinYearly}} {
		if rule.value != "" {
			said = append(said, rule.word+rule.value)
		}
	}
	for _, rule := range []struct {
		word string
		n    int
	}{{"last", k.Last}, {"hourly", k.Hourly}, {"daily", k.Daily}, {"weekly", k.Weekly}, {"monthly", k.Monthly}, {"yearly", k.Yearly}} {
		if rule.n > 0 {
			said = append(said, words.Number(uint64(rule.n))+" "+rule.word)
		}
	}
	return strings.Join(said, ", ")
}

// repositoryNotes are what is to know about a repository besides what is wrong.
func (s *Pages) repositoryNotes(r store.Repository) (notes []views.Note) {
	if r.Keeper == "" {
		notes = append(
			notes,
			views.Note{
				Tone:  "info",
				Title: "It has no keeper",
				Text: "Nobody forgets, prunes or checks by itself. Choose a host you trust; " +
					"until then, a host that prunes needs a credential that can delete, and the delete rights live on that machine.",
			},
		)
	}
	return notes
}

// RefreshPage asks a host for everything the page shows, and shows it as it comes.
func (s *Pages) RefreshPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Repositories.Refresh(r.Context(), session.Of(r.Context()).Actor(), base.RepositoryID(r), ""); err != nil {
		return err
	}
	return s.Stay(w, r, views.RepositoryURL(base.Param(r, "id")))
}

func (s *Pages) HostOperations(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	h, err := s.Host(ctx, base.HostID(r))
	if err != nil {
		return err
	}
	groups, err := s.Store.SourceGroups(ctx, h.ID)
	if err != nil {
		return err
	}
	snapshots, err := s.Store.Snapshots(ctx, h.ID, 200)
	if err != nil {
		return err
	}
	names, groupNames := map[topics.RepositoryID]string{}, map[topics.SourceGroupID]string{}
	var own, held []topics.RepositoryID
	for _, g := range groups {
		groupNames[g.ID] = g.Name
		own = append(own, g.Repository)
	}
	for _, n := range snapshots {
		if !slices.Contains(held, n.Repository) {
			held = append(held, n.Repository)
		}
	}
	for _, list := range [][]topics.RepositoryID{own, held} {
		rows, err := s.Store.RepositoriesAmong(ctx, list)
		if err != nil {
			return err
		}
		for _, row := range rows {
			names[row.ID] = row.Name
		}
	}
	rows, err := s.RepositoryChoice(ctx, own)
	if err != nil {
		return err
	}
	give := session.Of(ctx).May(rights.Give)
	if !give { // it is offered what the host has
		rows = slices.DeleteFunc(rows, func(r store.Repository) bool { return !slices.Contains(own, r.ID) && r.Keeper != h.ID })
	}
	o := views.HostOperations{HostID: string(h.ID), Host: h.Name, Policy: h.Policy, Forbids: map[string]string{}}
	for _, k := range topics.Kinds {
		if o.Forbids[string(k)] = s.Lacks(ctx, rights.Right(k)); o.Forbids[string(k)] == "" {
			o.Forbids[string(k)] = s.WhyNot(h, k)
		}
	}
	o.Target = restores.FreshTarget(h, "snapshot", "time", "…")
	if p := h.Permits.V; p != nil {
		if o.Quarantine = p.Quarantine; !p.Anywhere {
			o.RestoreRoots, o.NoOverwrite = p.RestoreRoots, !p.Overwrite
		}
	}
	o.Repositories, o.Many = layout.RepositoryOptions(rows, func(r store.Repository) string { return r.Name })
	for _, n := range snapshots {
		if names[n.Repository] == "" || !give && !slices.ContainsFunc(rows, func(r store.Repository) bool { return r.ID == n.Repository }) {
			continue
		}
		o.Snapshots = append(o.Snapshots, s.snapshotOption(ctx, n, names, groupNames))
	}
	total := 0
	if o.SnapshotsIn, total, err = s.SnapshotsIn(ctx, h.ID, slices.Concat(own, held)); err != nil {
		return err
	}
	o.Older = max(0, total-len(o.Snapshots))
	if want := r.URL.Query().Get("snapshot"); want != "" {
		if err := s.choose(ctx, &o, h.ID, want, names, groupNames); err != nil {
			return err
		}
	}
	sh := s.Shell(
		r,
		"Operations",
		"fleet",
		layout.ToFleet,
		views.Link{Text: h.Name, URL: views.HostURL(string(h.ID))},
		views.Link{Text: "Operations"},
	)
	s.Render(w, r, http.StatusOK, views.HostOperationsPage(sh, o))
	return nil
}

func (s *Pages) TrustKeyPage(w http.ResponseWriter, r *http.Request) error {
	if err := s.Repositories.TrustKey(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), base.Param(r, "key")); err != nil {
		return err
	}
	layout.Redirect(w, r, views.RepositoryURL(base.Param(r, "id")))
	return nil
}

// ReleaseMakingPage takes the making of a repository from a host that does not answer.
func (s *Pages) ReleaseMakingPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Jobs.Release(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r)); err != nil {
		return err
	}
	layout.Redirect(w, r, views.RepositoryURL(base.Param(r, "id")))
	return nil
}

// AcknowledgeForeignPage says that all foreign snapshots are known.
func (s *Pages) AcknowledgeForeignPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Repositories.AcknowledgeForeign(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r)); err != nil {
		return err
	}
	layout.Redirect(w, r, views.RepositoryURL(base.Param(r, "id")))
	return nil
}
