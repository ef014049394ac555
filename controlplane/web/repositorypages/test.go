package repositorypages

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/trial"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// firstToLook is a host that can be asked now, "" if none can.
func (s *Pages) firstToLook(m *fleet.Moment) string {
	for _, h := range s.Choice(m, func(*fleet.Entry) int { return 0 }) {
		if s.Presence.Reachable(topics.HostID(h.ID)) {
			return h.ID
		}
	}
	return ""
}

// MadeURL shows the address that the fields of a form make, as a part of its page.
func (s *Pages) MadeURL(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	_, at, _ := addressOf(r.PostForm)
	s.Render(w, r, http.StatusOK, views.MadeURL(location.Shown(at), ""))
	return nil
}

// TryRepository tries what a form says, without saving it: as a part of the page it is on, or
// as a page of its own.
func (s *Pages) TryRepository(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	found, err := s.tried(r)
	if err != nil {
		return err
	}
	if base.IsHTMX(r) {
		for i := range found {
			// The button is one of the form's, which a page of its own has not.
			found[i].TakeIn = i == 0 && found[i].Holds && r.PostForm.Get("id") == ""
			if found[i].PEM != "" { // the page has the field that it goes into
				found[i].Into = views.PasteID(found[i].Key, location.CACert)
			}
		}
		s.Render(w, r, http.StatusOK, views.Trial(found))
		return nil
	}
	sh := s.Shell(r, "Test of a repository", "repositories", layout.ToRepositories, views.Link{Text: "Test"})
	s.Render(w, r, http.StatusOK, views.TestPage(sh, found))
	return nil
}

// tried is what was found with the everyday credential, and after it with the credential of
// maintenance, if the form has one.
func (s *Pages) tried(r *http.Request) ([]views.TestResult, error) {
	ctx, p, was := r.Context(), r.PostForm, views.RepositoryForm{}
	if id := topics.RepositoryID(p.Get("id")); id != "" {
		row, err := s.Repository(ctx, id)
		if err != nil {
			return nil, err
		}
		if was, err = s.repositoryForm(ctx, row); err != nil {
			return nil, err
		}
	}
	in, unmade := repositoryInputOf(p, was, store.Keep{})
	if len(unmade) > 0 {
		return []views.TestResult{cannot(unmade)}, nil
	}
	first, err := s.triedEveryday(ctx, p.Get("test_host"), topics.RepositoryID(was.ID), in)
	if err != nil {
		return nil, err
	}
	first.Key = everyday
	if first.Holds && was.ID != "" {
		foreign, err := s.Store.SnapshotTalliesOf(ctx, []topics.RepositoryID{topics.RepositoryID(was.ID)})
		if err != nil {
			return nil, err
		}
		if n := foreign[topics.RepositoryID(was.ID)].Foreign; n > 0 {
			first.Import = views.Link{Text: "Take in " + words.Count(uint64(n), "snapshot that no job here made", "snapshots that no job here made"),
				URL: views.RepositoryImportURL(was.ID)}
		} else {
			first.Holds = false
		}
	}
	if p.Get("test_host") == "" || first.Untried {
		return []views.TestResult{first}, nil
	}
	second, there, err := s.triedMaintenance(ctx, topics.RepositoryID(was.ID), in)
	if err != nil || !there {
		return []views.TestResult{first}, err
	}
	first.Title = "With the everyday credential"
	second.Key, second.Title = forKeeper, "With the maintenance credential"
	return []views.TestResult{first, second}, nil
}

// triedMaintenance has the keeper look with the credential of maintenance, which no other host
// gets. there is false if the form has none.
func (s *Pages) triedMaintenance(ctx context.Context, id topics.RepositoryID, in repositories.Input) (found views.TestResult, there bool,
	err error) {
	to, keeper, there, err := s.Repositories.MaintenanceTrial(ctx, id, in)
	var wrong field.Errors
	switch {
	case errors.As(err, &wrong):
		return cannot(wrong), true, nil
	case err != nil || !there:
		return found, false, err
	case keeper == "":
		return views.TestResult{Untried: true, Note: views.Note{Tone: "warn", Title: "Not tried: the repository has no keeper.",
			Text: "The keeper alone gets this credential. Choose one, and test again."}}, true, nil
	}
	host, err := s.Store.Host(ctx, keeper)
	if err != nil {
		return found, false, err
	}
	f, said, err := s.ask(ctx, host, to)
	if err != nil {
		return found, false, err
	} else if said != nil {
		return *said, true, nil
	}
	found = s.resultOf(ctx, f, host, to, false)
	for i, row := range found.Rows { // it is there to delete
		if row.Name == deleting && f.MayDelete != nil && *f.MayDelete {
			found.Rows[i].Tone, found.Rows[i].Icon = "ok", "circle-check"
			found.Rows[i].Text = "the credential may delete, as the keeper has to"
		} else if row.Name == deleting && f.MayDelete != nil {
			found.Rows[i].Tone, found.Rows[i].Icon, found.Rows[i].Text = "fail", "octagon-x", "the credential may not delete: nothing will be "+
				"pruned with it"
		}
	}
	return found, true, nil
}

// ask has a host look. said is why it did not, nil if it did.
func (s *Pages) ask(ctx context.Context, host store.Host, to topics.Repository) (f topics.Finding, said *views.TestResult, err error) {
	f, err = s.Queries.Test(ctx, session.Of(ctx).Actor(), host.ID, to)
	if err == nil {
		return f, nil, nil
	}
	if ctx.Err() != nil {
		return f, nil, err
	}
	why := problem.Of(err)
	if why.Kind == problem.Internal {
		return f, nil, err
	}
	note := views.Note{Tone: "warn", Title: why.Title, Text: strings.TrimSpace(why.Say + " " + why.Do), Command: why.Command}
	return f, &views.TestResult{Untried: true, Note: note}, nil
}

// triedEveryday has a host look with the everyday credential; without one, this server knocks.
func (s *Pages) triedEveryday(ctx context.Context, by string, id topics.RepositoryID, in repositories.Input) (views.TestResult, error) {
	var wrong field.Errors
	if by == "" { // there is no host yet
		a, err := s.Repositories.Access(ctx, id, in)
		if errors.As(err, &wrong) {
			return cannot(wrong), nil
		} else if err != nil {
			return views.TestResult{}, err
		}
		said := trial.Of(ctx, a.URL, a.Env, nil)
		return views.TestResult{Note: views.Note{Tone: string(said.Tone), Title: said.Say, Text: said.Do}}, nil
	}
	host, err := s.Store.FindHost(ctx, by)
	if errors.Is(err, store.ErrNotFound) {
		return cannot(field.Errors{"url": "There is no host of this name. Choose one of the list."}), nil
	} else if err != nil {
		return views.TestResult{}, err
	}
	to, err := s.Repositories.Trial(ctx, id, in, host.ID)
	if errors.As(err, &wrong) {
		return cannot(wrong), nil
	} else if err != nil {
		return views.TestResult{}, err
	}
	f, said, err := s.ask(ctx, host, to)
	if err != nil {
		return views.TestResult{}, err
	} else if said != nil {
		return *said, nil
	}
	return s.resultOf(ctx, f, host, to, in.AppendOnly != nil && *in.AppendOnly), nil
}

// cannot says why nothing was tried, by what is wrong with the fields.
func cannot(wrong field.Errors) views.TestResult {
	title := cmp.Or(wrong["url"], wrong[everyday], wrong["password"], wrong[forKeeper], wrong["options"])
	for _, d := range backends() {
		for _, x := range d.Place {
			if say := wrong[x.Name]; say != "" && x.Name != "url" {
				title = cmp.Or(title, x.Label+": "+say)
			}
		}
	}
	return views.TestResult{Untried: true, Note: views.Note{Tone: "fail", Title: "Not tried: something is missing or wrong in the form.",
		Text: cmp.Or(title, "Look at address and login.")}}
}

// deleting names the row that says whether the credential may.
const deleting = "Deleting"

// resultOf words what a host found. appendOnly is that the form says that the credential
// cannot delete.
func (s *Pages) resultOf(ctx context.Context, f topics.Finding, host store.Host, to topics.Repository, appendOnly bool) views.TestResult {
	out := views.TestResult{Note: verdictOf(f, host.Name)}
	out.Holds = f.State == topics.FindingOurs && (f.Snapshots == nil || *f.Snapshots > 0)
	if a, err := location.Parse(to.URL.Reveal()); err == nil {
		out.URL = a.Public()
	}
	if f.Cause == topics.CausePolicy || f.Cause == topics.CauseNoRestic || f.Cause == topics.CauseUsage && !f.Reached {
		return out // nothing was looked for
	}
	keys := views.Link{Text: "SSH keys of " + host.Name, URL: views.SSHURL(string(host.ID))}
	row := func(tone, icon, name, text string) {
		out.Rows = append(out.Rows, views.TestRow{Tone: tone, Icon: icon, Name: name, Text: text})
	}
	if location.Scheme(to.URL.Reveal()) != location.Local {
		if f.Reached {
			row("ok", "circle-check", "Storage", "answers "+host.Name)
		} else {
			row("fail", "octagon-x", "Storage", "does not answer "+host.Name)
		}
	}
	if c := f.Certificate; c != nil {
		until := words.Day(ctx, time.UnixMilli(c.NotAfter))
		if c.Trusted {
			row("ok", "circle-check", "Certificate", "of "+c.Subject+", issued by "+c.Issuer+", until "+until)
		} else {
			row("fail", "octagon-x", "Certificate", "of "+c.Subject+", issued by "+c.Issuer+", until "+until+", is not trusted on "+host.Name+": "+
				c.Why)
			out.PEM, out.SHA = c.PEM, c.PEMSHA256
		}
	}
	switch {
	case f.Entered && location.Scheme(to.URL.Reveal()) != location.Local:
		row("ok", "circle-check", "Credential", "is let in")
	case f.Cause == topics.CauseKeyRefused:
		row("fail", "octagon-x", "Credential", "none of the host's SSH keys is let in")
		out.SSH = keys
	case f.Cause == topics.CauseCredentials:
		row("fail", "octagon-x", "Credential", "is refused")
	}
	for _, k := range f.HostKeys {
		text := "of " + k.Name + " is not known to " + host.Name + ": " + k.Type + " " + k.Fingerprint
		if f.Cause == topics.CauseHostKeyOther {
			text += ", and another one is, in " + cmp.Or(k.Known, "a file of the host")
		}
		row("fail", "octagon-x", "Server's key", text)
		out.SSH = keys
	}
	if text := found[f.State]; text != "" {
		if n := f.Snapshots; n != nil {
			text += ", with " + words.Count(uint64(max(*n, 0)), "snapshot", "snapshots")
		}
		row("ok", "circle-check", "Place", text)
	}
	switch {
	case f.MayDelete == nil && f.State != topics.FindingOther:
		row("idle", "circle-help", deleting, "whether the credential may delete cannot be told here without deleting")
	case f.MayDelete == nil:
	case *f.MayDelete && appendOnly:
		row("warn", "triangle-alert", deleting, "the credential may delete, though the form says that it cannot")
	case *f.MayDelete:
		row("warn", "triangle-alert", deleting, "the credential may delete: whoever takes over the host can remove its backups")
	default:
		row("ok", "circle-check", deleting, "the credential may not delete")
	}
	return out
}

var found = map[topics.FindingState]string{
	topics.FindingOurs:    "holds a repository that this password opens",
	topics.FindingEmpty:   "is there and empty",
	topics.FindingMissing: "has no repository yet",
}

// verdictOf is the answer in a sentence, and what to do.
func verdictOf(f topics.Finding, host string) views.Note {
	n := views.Note{Title: f.Message}
	switch f.State {
	case topics.FindingOurs:
		n.Tone = "ok"
		switch {
		case f.Snapshots == nil:
			n.Text = "Saved with this password, it is used as it is. Nothing in it is changed by saving. If it holds snapshots, take them in then."
		case *f.Snapshots == 0:
			n.Text = "It holds no snapshot. Saved with this password, it is used as it is."
		default:
			n.Text = "This repository holds snapshots already: register it and import them. Saved with this password, it is used as it is, and " +
				"its page has Take them in…; nothing in it is changed by saving."
		}
		return n
	case topics.FindingEmpty, topics.FindingMissing:
		n.Tone, n.Text = "ok", "The first backup makes the repository there, with the password of this form."
		return n
	}
	n.Tone = "fail"
	switch f.Cause {
	case topics.CausePolicy:
		n.Title, n.Text = "The policy of "+host+" does not allow it", f.Message
		if before, command, ok := strings.Cut(f.Message, "run on the host: "); ok {
			n.Text, n.Command = strings.TrimSpace(before)+" run on the host:", strings.TrimSuffix(command, ".")
		}
	case topics.CausePassword:
		n.Text = "It is a repository of restic's. Type the password that it was made with, or choose another place: two repositories " +
			"cannot be in one."
	case topics.CauseNoRepository:
		n.Text = "A repository is best in a folder of its own. Add one to the path, which is made with it."
	case topics.CauseDamaged:
		n.Text = "A repository was there and has lost its config, or its making was cut short. Bring it back, or choose another place."
	case topics.CauseCertificate:
		if f.Certificate == nil || f.Certificate.PEM == "" {
			n.Text = jobs.ExplainLook(f.Cause, f.Message)
			break
		}
		n.Text = "If it is the server's own, have it trusted for this repository: it is below. If it is not, somebody stands between. Of " +
			"an authority of yours, its certificate goes into the form instead."
	case topics.CauseNotMounted:
		n.Text = "Mount the disk on " + host + ", and test again."
	default:
		n.Text = jobs.ExplainLook(f.Cause, f.Message)
	}
	return n
}
