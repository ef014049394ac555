package views_test

import (
	"context"
	"time"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/views"
)

func repository() views.Repository {
	hosts := []views.Runner{{ID: "nas-0001", Name: "nas"}, {
		ID:      "attic-01",
		Name:    "attic (not connected)",
		Policy:  "backup",
		Forbids: map[string]bool{"check": true, "prune": true},
	}}
	var points []views.Point
	for d := range 90 {
		points = append(points, views.Point{At: now.AddDate(0, 0, d-89), Value: uint64(170+d/3-3*(d/30)) << 30})
	}
	return views.Repository{
		ID:             "vault-01",
		Name:           "vault-a/db-prod",
		Location:       "rest:https://vault-a.example:8000/db-prod",
		Health:         views.RepositoryStatus("locked"),
		AppendOnly:     true,
		Users:          []views.Link{{Text: "db-prod-01", URL: "/hosts/db-prod-01"}, {Text: "db-prod-02", URL: "/hosts/db-prod-02"}},
		HasMaintenance: true,
		Findings: []views.Finding{{
			Status: views.RepositoryStatus("foreign"),
			Reason: "2 snapshots in it were not made by a job of ours.",
			Effect: "They are never removed by themselves.",
			Remedy: "Say that you know them.",
			Acts: []views.Act{{
				Text:  "They are known",
				URL:   "/repositories/vault-01/foreign/acknowledge",
				Right: "repositories",
			}},
		}, {
			Status: views.RepositoryStatus("locked"),
			Reason: "A lock lies in it that a process on db-prod-02 left behind.",
			Effect: "Jobs that the lock keeps out fail until it is gone.",
			Remedy: "If nobody holds it any more, remove it.",
			Since:  past(28 * time.Hour),
			Links:  []views.Link{{Text: "See the locks", URL: "#repository-locks"}},
			Acts: []views.Act{{
				Text:   "Remove stale locks",
				URL:    "/repositories/vault-01/run",
				Right:  "unlock",
				Fields: []views.Option{{Value: "kind", Text: "unlock"}},
			}},
		}},
		Notes: []views.Note{{Tone: "info", Title: "It has no keeper", Text: "Nobody forgets, prunes or checks by itself."}},
		Figures: []views.Figure{{
			Name:   "Stored",
			Value:  "206",
			Unit:   "GiB",
			Detail: "+3.1 GiB in 30 days",
		}, {Name: "Restorable", Value: "3.84", Unit: "TiB", Detail: "in 214 snapshots"},
			{
				Name:   "Saved by dedup",
				Value:  "18.6",
				Unit:   "×",
				Detail: "of it 2.1 × by compression",
			}, {Name: "Last check", Value: "3 d ago", Detail: "no errors"}, {Name: "Last prune", Value: "never", Detail: "nothing was freed yet"}},
		Chart:     views.NewChart(context.Background(), points, views.Event{At: now.AddDate(0, 0, -30), Word: "prune"}),
		LocksAt:   past(time.Minute),
		KeysAt:    past(time.Hour),
		ListedAt:  past(time.Hour),
		CanUnlock: true,
		Locks: []views.LockRow{{
			ID:      "c0ffee",
			Kind:    "Exclusive",
			Owner:   "db-prod-02, process 4,121, root",
			At:      past(28 * time.Hour),
			Tone:    "fail",
			Verdict: "db-prod-02 says that this process is gone.",
			Job:     views.Link{Text: "Job 0b9e", URL: "/jobs/0b9e"},
		},
			{
				ID:      "c0ffef",
				Kind:    "Shared",
				Owner:   "laptop, process 7",
				At:      past(time.Minute),
				Tone:    "warn",
				Verdict: "No host of ours is known by this name.",
			}},
		Keys: []views.KeyRow{{
			ID:      "5ee1",
			ShortID: "5ee1",
			Owner:   "root@evil",
			Created: "first seen 2 h ago",
		}, {ID: "41aa", ShortID: "41aa93c7", Owner: "root@db-prod-01", Current: true, Trusted: true, Created: "made 12 Sep 10:00"}},
		Snapshots: []views.RepositorySnapshot{{
			ID:         "7be20c19",
			ShortID:    "7be20c19",
			At:         past(48 * time.Minute),
			From:       "db-prod-01",
			Group:      "postgres",
			Paths:      []string{"/var/lib/postgresql"},
			Size:       "18.4 GiB",
			Added:      "402 MiB",
			Kept:       []string{"within 30d", "the newest of its source group"},
			Job:        "/jobs/0b9e",
			Operations: "/hosts/db-prod-01/operations?snapshot=vault-01%2F7be20c19",
			Forget:     "/repositories/vault-01?forget=7be20c19#operations",
		}, {
			ID:      "91c6e0ab",
			ShortID: "91c6e0ab",
			At:      past(33 * 24 * time.Hour),
			From:    "db-prod-01",
			Group:   "postgres",
			Tags:    []string{"before-upgrade"},
			Size:    "17.7 GiB",
			Added:   "392 MiB",
			Goes:    true,
			Job:     "/jobs/0b9f",
		}, {ID: "f09b2d71", ShortID: "f09b2d71", At: past(time.Hour), From: "laptop", Foreign: true}},
		SnapshotsTotal: 214,
		SnapshotsFound: 214,
		ForeignTotal:   2,
		SnapshotHosts:  []views.Option{{Value: "db-prod-01", Text: "db-prod-01"}, {Value: views.NotOurs, Text: "Not ours"}},
		Calendar: views.NewCalendar(context.Background(), map[string]int{
			"2026-11-18": 9,
			"2026-11-17": 3,
			"2026-10-01": 1,
		}, map[string]int{"2026-11-17": 1, "2026-11-19": 2}, now),
		Older:  "/repositories/vault-01?after=f09b2d71",
		Newest: "/repositories/vault-01",
		Jobs: []views.JobRow{{
			ID:     "0b9e",
			Kind:   "prune",
			Group:  "nas",
			Status: views.JobStatus("succeeded"),
			At:     past(time.Hour),
			Took:   "4 min",
			By:     "anna",
		}},
		Details: []views.Fact{{Name: "Keeper", Value: "nas"}},
		Answer: views.Answer{
			Tone:  "ok",
			Icon:  "circle-check",
			Title: "It opens",
			Text:  "nas opened it 3 min ago.",
			Link:  views.Link{Text: "Open the job", URL: "/jobs/0b9e"},
		},
		Hosts:   hosts,
		Keepers: hosts[:1],
		Keeper:  views.Link{Text: "nas", URL: "/hosts/nas-0001"},
	}
}

func bareRepository() views.Repository {
	return views.Repository{
		ID:       "vault-01",
		Name:     "vault",
		Location: "/srv/vault",
		Health:   views.RepositoryStatus("never-looked-at"),
		Beyond:   true,
		Places: []views.PlaceRow{{
			Host:    views.Link{Text: "db-prod-01", URL: "/hosts/db-prod-01"},
			HostID:  "db-prod-01",
			Address: "/srv/vault",
			Ready:   past(48 * time.Hour),
			Made:    views.Link{Text: "Job 0b9e", URL: "/jobs/0b9e"},
		}, {
			Host:    views.Link{Text: "laptop", URL: "/hosts/laptop-01"},
			HostID:  "laptop-01",
			Address: "/srv/{host}/vault",
			Wants:   "The name \"laptop\" stands for another host there already.",
			Named:   true,
			Name:    "laptop",
			Beyond:  true,
		}},
		Making: []views.MakingRow{{
			Status:  views.JobStatus("dispatched").As("Asked"),
			Host:    views.Link{Text: "laptop", URL: "/hosts/laptop-01"},
			HostID:  "laptop-01",
			Text:    "It was asked to make the repository and has not answered.",
			Since:   past(3 * time.Minute),
			Job:     views.Link{Text: "Open the job", URL: "/jobs/0b9e"},
			Release: true,
		}, {
			Status:   views.JobStatus("failed"),
			Host:     views.Link{Text: "nas", URL: "/hosts/nas-0001"},
			HostID:   "nas-0001",
			Text:     "It could not make the repository: the disk that the repository is to lie on is not mounted.",
			Evidence: "/srv/vault is an empty directory that /etc/fstab lists as a mount point",
			Since:    past(time.Hour),
			Tries:    "3 tries so far",
			Next:     past(-4 * time.Minute),
			Job:      views.Link{Text: "Open the job", URL: "/jobs/0b9f"},
			Anyway:   true,
		}},
		Answer:   views.Answer{Tone: "idle", Icon: "circle-dashed", Title: "Not opened yet", Text: "Have a host try."},
		Calendar: views.NewCalendar(context.Background(), nil, nil, now),
		Keepers: []views.Runner{{
			ID:      "nas-0001",
			Name:    "nas",
			Policy:  "backup",
			Forbids: map[string]bool{"forget": true, "prune": true, "check": true, "unlock": true},
		}},
	}
}

func resultJob() views.Job {
	j := job("succeeded")
	j.Kind, j.Group, j.RepositoryURL = "snapshots", "", "/repositories/vault-01"
	j.Asked = []views.Fact{{Name: "Pattern", Value: "*.odt", Mono: true}}
	j.Results = []views.ResultTable{{
		Title:  "Snapshots",
		Count:  "1,204",
		Head:   []string{"Snapshot", "Taken"},
		Rows:   [][]string{{"7be20c19", "20 Nov 2026 13:44"}},
		Mono:   1,
		Note:   "The first 1 of 1,204.",
		AllURL: "/api/jobs/0b9e/report",
	},
		{Title: "Damaged packs", Count: "0", Note: "None."}}
	return j
}

func repositorySamples(at func(string, views.Shell) views.Shell) []sample {
	list := func(rows ...views.RepositoryRow) templ.Component {
		return views.RepositoriesPage(at("repositories", shell("Repositories", views.RepositoriesStream("", 1))),
			views.RepositoryList{Rows: rows, Paging: views.RepositoryPaging(len(rows), 1, "")})
	}
	link := views.Link{Text: "Repositories", URL: "/repositories"}
	page := func(r views.Repository) templ.Component {
		return views.RepositoryPage(at("repositories", shell(r.Name, views.RepositoryStream(r.ID, views.RepositoryFilter{}), link)), r)
	}
	form := func(f views.RepositoryForm) templ.Component {
		return views.RepositoryFormPage(at("repositories", shell("Add a repository", "", link)), f)
	}
	backends := []views.Backend{
		{Key: "rest", Name: "REST server", Note: "rest-server.", Certificates: true,
			Place: []views.BackendField{{Name: "rest.address", Label: "Server", Example: "https://nas:8000"},
				{Name: "rest.path", Label: "Path", Optional: true, Hint: "Below it."}},
			Access: []views.BackendField{{Name: "RESTIC_REST_USERNAME", Label: "User"},
				{Name: "RESTIC_REST_PASSWORD", Label: "Password", Secret: true}}},
		{Key: "s3", Name: "S3 and compatible", Certificates: true,
			Place: []views.BackendField{{Name: "s3.endpoint", Label: "Endpoint"}, {Name: "s3.bucket", Label: "Bucket"}},
			Access: []views.BackendField{{Name: "AWS_ACCESS_KEY_ID", Label: "Access key ID"},
				{Name: "AWS_SESSION_TOKEN", Label: "Session token", Secret: true, Rare: true, Hint: "Seldom."}}},
		{Key: "local", Name: "Local disk", Place: []views.BackendField{{Name: "local.path", Label: "Folder"}}},
		{Key: "other", Name: "Other", Certificates: true, Place: []views.BackendField{{Name: "url", Label: "URL"}}},
	}
	row := views.RepositoryRow{
		ID:         "vault-01",
		Name:       "vault-a/db-prod",
		Location:   "rest:https://vault-a.example:8000/db-prod",
		Health:     views.RepositoryStatus("locked"),
		Stored:     "206 GiB",
		MeasuredAt: past(time.Hour),
		Chart:      repository().Chart,
		Ratio:      "18.6",
		Snapshots:  "214",
		ListedAt:   past(time.Hour),
		CheckedAt:  past(72 * time.Hour),
		Hosts:      "2",
	}
	damaged, bare := row, views.RepositoryRow{
		ID:        "vault-03",
		Name:      "new",
		Location:  "/srv/new",
		Health:    views.RepositoryStatus("never-looked-at"),
		Snapshots: "0",
		Hosts:     "0",
	}
	damaged.ID, damaged.Health, damaged.CheckErrors = "vault-02", views.RepositoryStatus("damaged"), "2 errors"
	evil := repository()
	evil.Name, evil.Location = hostile, hostile
	evil.Locks[0].Owner, evil.Keys[0].Owner, evil.Keys[0].ID = hostile, hostile, hostile
	evil.Snapshots[1].From, evil.Snapshots[1].Paths, evil.Snapshots[1].ID = hostile, []string{hostile}, hostile
	evil.Answer.Text, evil.Hosts[0].Name, evil.Notes[0].Text = hostile, hostile, hostile
	evilJob := resultJob()
	evilJob.Results[0].Rows = [][]string{{hostile, hostile}}
	return []sample{
		{"repositories", list(row, damaged, bare)}, {"repositories_empty", list()},
		{"repository", page(repository())}, {"repository_bare", page(bareRepository())}, {"repository_hostile", page(evil)},
		{"repository_form", form(views.RepositoryForm{Backend: "rest", Backends: backends})},
		{"repository_form_other", form(views.RepositoryForm{Backend: "other", Backends: backends, ID: "vault-01", URL: "swift:c:/x",
			Place: map[string]string{"url": "swift:c:/x"}, Lines: map[string]string{"everyday": "OS_USERNAME=anna\nOS_PASSWORD=\n"}})},
		{"repository_form_with_errors", form(views.RepositoryForm{
			ID:             "vault-01",
			Name:           "vault",
			Backend:        "s3",
			Backends:       backends,
			Place:          map[string]string{"s3.endpoint": "minio:9000", "s3.bucket": "a/b"},
			TestHost:       "nas-0001",
			HasMaintenance: true,
			AppendOnly:     true,
			Hosts:          repository().Hosts,
			Keeper:         "nas-0001",
			Everyday:       map[string]string{"AWS_ACCESS_KEY_ID": "AK"},
			Keep:           map[string]string{"keep_within": "a while"},
			Problem:        "It was not saved.",
			Errors: map[string]string{
				"name":        "Taken.",
				"url":         "No.",
				"s3.bucket":   "This is the name alone.",
				"password":    "No.",
				"everyday":    "No.",
				"maintenance": "No.",
				"keeper":      "No.",
				"retention":   "No.",
			},
		})},
		{"host_operations", views.HostOperationsPage(shell("Operations", "", views.Link{Text: "Fleet", URL: "/"}), views.HostOperations{
			HostID:       "attic",
			Host:         "attic",
			Policy:       "backup",
			Repositories: []views.Option{{Value: "vault-01", Text: "vault"}},
			Snapshots:    []views.Option{{Value: "vault-01/7be20c19", Text: "13:44 · letters"}},
		})},
		{"job_result", views.JobPage(at("jobs", shell("Snapshots on attic", "")), resultJob())},
		{"job_result_hostile", views.JobPage(at("jobs", shell("Snapshots on attic", "")), evilJob)},
	}
}
