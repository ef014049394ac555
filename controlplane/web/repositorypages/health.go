package repositorypages

import (
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

// status is the worst of what is said of a repository; "Unknown" if nothing is.
func status(said []health.Verdict) views.Status {
	if len(said) == 0 {
		return views.RepositoryStatus("")
	}
	return views.RepositoryStatus(string(said[0].Word))
}

// findings are what is wrong with a repository, each with what can be done about it
// from its page.
func (s *Pages) findings(r store.Repository, said []health.Verdict) (list []views.Finding) {
	for _, v := range said {
		if v.Word == health.Healthy {
			continue
		}
		advice := v.Advice()
		f := views.Finding{
			Status: views.RepositoryStatus(string(v.Word)),
			Reason: v.Reason,
			Effect: advice.Effect,
			Remedy: advice.Remedy,
			Since:  s.When(v.Since),
		}
		f.Links, f.Acts = cures(r, v)
		if v.Job != "" {
			f.Links = append(f.Links, views.Link{Text: "Open the job", URL: views.JobURL(string(v.Job))})
		}
		list = append(list, f)
	}
	return list
}

// cures are the links and buttons of a finding.
func cures(r store.Repository, v health.Verdict) (links []views.Link, acts []views.Act) {
	repository := views.RepositoryURL(string(r.ID))
	link := func(text, to string) { links = append(links, views.Link{Text: text, URL: to}) }
	act := func(text, to, right string, fields ...views.Option) {
		acts = append(acts, views.Act{Text: text, URL: repository + to, Right: right, Fields: fields})
	}
	run := func(text, right string, fields ...views.Option) {
		act(text, "/run", right, append([]views.Option{{Value: "kind", Text: right}}, fields...)...)
	}
	again := func() { run("Look again", "snapshots", views.Option{Value: "stay", Text: "1"}) }
	switch v.Cause {
	case "repository-damaged":
		run("Check all data", "check", views.Option{Value: "read_data", Text: "1"})
		link("Repair it step by step", repository+"/repair")
	case "repository-unreadable":
		link("Change the password", repository+"/edit")
		again()
	case "secrets-unread", "maintenance-unread":
		link("Enter it again", repository+"/edit")
	case "repository-missing":
		link("Change its address", repository+"/edit")
		again()
	case "repository-credentials":
		link("Change the credentials", repository+"/edit")
		again()
	case "repository-unreachable", "repository-certificate", "repository-host-key", "repository-permission":
		again()
	case "foreign-keys":
		link("See the keys", "#repository-keys")
	case "foreign-snapshots":
		link("See them", views.RepositoryListURL(string(r.ID), views.RepositoryFilter{Host: views.NotOurs})+"#snapshots")
		act("They are known", "/foreign/acknowledge", "repositories")
	case "snapshots-missing":
		link("See which", "#repository-missing")
	case "repository-locked":
		link("See the locks", "#repository-locks")
		run("Remove stale locks", "unlock")
	case "repository-full":
		if r.Keeper == "" {
			link("Choose a keeper", repository+"/edit")
			break
		}
		act("Prune", "/maintenance", "prune", views.Option{Value: "kind", Text: "prune"})
	case "check-overdue":
		if r.Keeper == "" {
			link("Choose a keeper", repository+"/edit")
			run("Check now", "check")
			break
		}
		act("Check now", "/maintenance", "check", views.Option{Value: "kind", Text: "check"})
	case "look-overdue", "never-looked-at":
		act("Refresh", "/refresh", "snapshots")
	}
	return links, acts
}
