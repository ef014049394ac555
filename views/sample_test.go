package views_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// A sample is one page with something to show.
type sample struct {
	name string
	page templ.Component
}

var now = time.Date(2026, 11, 20, 14, 32, 7, 0, time.UTC)

func past(d time.Duration) views.When { return views.NewWhen(now.Add(-d), now) }

// hostile is what an unfriendly host would be called: markup, terminal colours,
// text that runs backwards, and far too much of it.
var hostile = `<script>alert(1)</script>"'&` + "\x1b[31mred\x1b[0m\x07" + "\u202etxt.exe\u202c\u2066x\u2069" +
	"\u200b\u2060\ufeff\u3164\u115f" + "\x00\r\n" +
	strings.Repeat("long", 60) + "\xff"

func shell(title, stream string, crumbs ...views.Link) views.Shell {
	return views.Shell{Title: title, Current: "fleet", Crumbs: append(crumbs, views.Link{Text: title}), Stream: stream, Now: now,
		User: "admin", May: everyRight, Version: "v0.1.0", BrokerUp: true, Hosts: 6, Connected: 4}
}

// banners are what a server says of itself on every page.
func banners() []views.Banner {
	return []views.Banner{
		{ID: "low-space", Tone: "fail", Say: "The disk of the control plane is full.", Remedy: "Free space below /var/lib/restic-manager.",
			Link: views.Link{Text: "Settings", URL: "/settings"}},
		{ID: "key-inside", Tone: "warn", Say: "The key lies in the data directory.", Remedy: "Move it: restic-manager key move."},
		{ID: "tip", Tone: "info", Say: "A newer version is here."},
	}
}

func days(pattern string) views.Strip {
	return views.DrawStrip(pattern+strings.Repeat(pattern[len(pattern)-1:], views.StripDays-len(pattern)), now)
}

func fleet() views.Fleet {
	tally := views.Tally{"protected": 2, "running": 1, "warning": 1, "failed": 1, "no-backup-yet": 1}
	nas := views.RunningJob{
		ID:      "0b9e",
		Host:    "nas-media",
		Kind:    "backup",
		Percent: 44,
		Amount:  words.BytesOf(2023101511680, 4617948836659),
		Left:    "3 h 41 min left",
	}
	row := func(name, key, osName, conn string, last time.Duration, took, pattern, size string) views.HostRow {
		r := views.HostRow{
			ID:         name,
			Name:       name,
			Status:     views.HostStatus(key),
			Connection: views.HostConnection(conn, past(43*time.Hour)),
			OS:         osName,
			LastTook:   took,
			Strip:      days(pattern),
			Restorable: size,
			HasGroups:  true,
		}
		if name == "db-prod-02" {
			r.Tags = []string{"database", "nightly", "rack/7", "site=berlin"}
		}
		if last > 0 {
			r.LastBackup = past(last)
		}
		return r
	}
	rows := []views.HostRow{
		row("db-prod-02", "failed", "Debian 13", "online", 31*time.Hour, "4 min 2 s", "sssssssssssswssssssssssssssff", "206 GiB"),
		row("mail-01", "warning", "Debian 13", "online", 2*time.Hour, "6 min 48 s", "sssssssssssssssssssssssswssww", "148 GiB"),
		row("nas-media", "running", "Debian 12", "online", 27*time.Hour, "52 min", "ssssssssssssssssssssfssssssssr", "4.20 TiB"),
		row("k3s-node-3", "no-backup-yet", "Ubuntu 26.04", "online", 0, "", "n", ""),
		row("web-01", "protected", "Debian 13", "online", 12*time.Hour, "1 min 17 s", "nnnssssssssssssssssssssssssss", "39.1 GiB"),
		row("win-cad-02", "protected", "Windows 11 Pro", "offline", 28*time.Hour, "18 min", "nnsssssnnsssssnnssssfnnssssss", "418 GiB"),
	}
	rows[2].Job, rows[2].Status = &nas, rows[2].Status.As("Backing up")
	rows[3].HasGroups = false
	rows[4].Proof = views.Proof{Word: "proven", At: past(72 * time.Hour), Job: "d1"}
	rows[3].Proof = views.Proof{Word: "not-proven", Old: true, At: past(40 * 24 * time.Hour)}
	rows[5].Proof = views.Proof{Word: "failed", Job: "d2", Why: "2 of 20 did not come back as saved"}
	return views.Fleet{
		Verdict: views.NewVerdict(tally, nil, past(31*time.Hour)),
		Figures: views.Figures{
			Protected:       4,
			Of:              6,
			Segments:        views.Segments(tally),
			SegmentsLabel:   views.SegmentsLabel(tally),
			Runs:            13,
			Succeeded:       9,
			Warnings:        2,
			Failed:          1,
			Cancelled:       1,
			Added:           "18.4 GiB",
			Oldest:          past(31 * time.Hour),
			OldestHost:      views.Link{Text: "db-prod-02", URL: views.HostURL("db-prod-02")},
			Restorable:      "4.98 TiB",
			RestorableHosts: 5,
		},
		Troubled: 19,
		Attention: []views.Attention{
			{
				Key:    "locked",
				Status: views.HostStatus("failed"),
				Title:  "The last backup failed: the repository is locked.",
				Text:   "The last good backup was 1 d 7 h ago.",
				Since:  past(31 * time.Hour),
				Hosts:  []views.AttentionHost{{ID: "db-prod-02", Name: "db-prod-02"}},
				Total:  1,
				Link:   views.Link{Text: "View log", URL: views.JobURL("77c2")},
			},
			{
				Key:    "unreadable",
				Status: views.HostStatus("warning"),
				Title:  "Some items could not be read",
				Hosts: []views.AttentionHost{
					{ID: "mail-01", Name: "mail-01", Reason: "The newest snapshot is incomplete.", Since: past(time.Hour)},
					{ID: "mail-02", Name: "mail-02", Reason: "The newest snapshot is incomplete.", Since: past(time.Hour),
						Revoked: true},
					{ID: "mail-03", Name: "mail-03", Reason: "It waits for approval.", Since: past(time.Hour), Revoked: true, Waits: true},
				},
				Total: 18,
				URL:   views.FleetURL(views.FleetFilter{Status: views.NeedAttention, Cause: "unreadable"}, 1),
				Link:  views.Link{Text: "Show all 18", URL: views.FleetURL(views.FleetFilter{Status: views.NeedAttention, Cause: "unreadable"}, 1)},
			},
		},
		Work: views.Work{Runs: 3, Running: []views.RunningJob{nas, {
			ID:      "1c2e",
			Host:    "win-sql-01",
			Kind:    "backup",
			Percent: 12,
			Amount:  "Nothing heard of restic for 12 min",
			Stalled: true,
		}, {ID: "1c2d", Host: "web-02", Kind: "backup", Percent: -1, Amount: "Scanning, 120,000 files"}},
			Waits: 7,
			Waiting: []views.RunningJob{{ID: "1c2f", Host: "web-03", Kind: "backup", Group: "letters", Percent: -1, Amount: "Queued", Waits: true},
				{ID: "1c3a", Host: "web-03", Kind: "init", Percent: -1, Amount: "Queued", Waits: true}}},
		Hosts: views.Hosts{Total: 6, Tabs: views.Tabs(tally, views.FleetFilter{}, "", 6), Rows: rows,
			Paging: views.NewPaging(6, 1, views.FleetFilter{})},
	}
}

func removedRows(name string) []views.RemovedRow {
	return []views.RemovedRow{
		{Kind: "Host", Name: name, URL: "/hosts/a1/restore", At: past(time.Hour), Until: past(-29 * 24 * time.Hour), By: name},
		{Kind: "Repository", Name: "vault", URL: "/repositories/b2/restore", At: past(25 * time.Hour), Until: past(-28 * 24 * time.Hour),
			By: "admin", Problem: "There is another one of this name by now.", As: "vault"},
	}
}

func host() views.Host {
	jobs := []views.JobRow{
		{
			ID:     "77c2",
			Kind:   "backup",
			Group:  "postgres",
			Status: views.JobStatus("failed"),
			At:     past(18 * time.Minute),
			Took:   "1 min",
			Added:  "0 B",
			By:     "admin",
		},
		{
			ID:     "77c1",
			Kind:   "backup",
			Group:  "system",
			Status: views.JobStatus("succeeded"),
			At:     past(12 * time.Hour),
			Took:   "38 s",
			Added:  "12.1 MiB",
			By:     "api: nightly",
		},
		{
			ID:     "77c0",
			Kind:   "backup",
			Group:  "postgres",
			Status: views.JobStatus("warnings"),
			At:     past(18 * 24 * time.Hour),
			Took:   "4 min 40 s",
			Added:  "511 MiB",
			By:     "admin",
		},
		{
			ID:     "77bf",
			Kind:   "backup",
			Group:  "postgres",
			Status: views.JobStatus("cancelled"),
			At:     past(19 * 24 * time.Hour),
			Took:   "20 s",
			By:     "admin",
		},
	}
	return views.Host{
		ID:         "db-prod-02",
		Name:       "db-prod-02",
		Status:     views.HostStatus("failed"),
		Reason:     "Group postgres: The last backup failed: the repository is locked by another process.",
		Since:      past(12 * time.Hour),
		Connection: views.HostConnection("online", past(16*24*time.Hour)),
		OS:         "Debian 13, amd64",
		Tags:       []string{"database", "site=berlin"},
		LastBackup: past(31 * time.Hour),
		LastTook:   "4 min 2 s",
		Problem: &views.Note{
			Tone:  "fail",
			Title: "The last backup failed: the repository is locked",
			Text:  "A check that no longer runs has held an exclusive lock since Thu 10:12.",
			Link:  views.Link{Text: "View log", URL: views.JobURL("77c2")},
		},
		Drill: views.HostDrill{
			Proof: views.Proof{Word: "failed", At: past(72 * time.Hour), Job: "d2", Why: "2 of 20 did not come back as saved"},
			Groups: []views.DrillGroup{
				{Name: "postgres", Tried: true, Why: "2 of 20 did not come back as saved", At: past(time.Hour), Job: "d2",
					ProvenAt: past(72 * time.Hour)},
				{Name: "system", Tried: true, Proven: true, At: past(time.Hour), Job: "d2", ProvenAt: past(time.Hour)},
				{Name: "configuration"},
			},
			Form: views.DrillForm{Enabled: true, Cron: "0 3 * * 0", Zone: "UTC", Files: "20", MiB: "100", ID: "own",
				Action: views.DrillURL("db-prod-02"), Label: "Try restores of this host"},
			Own: true, Counts: "This host’s own plan counts, whatever its tags and the fleet have.", Next: past(-24 * time.Hour),
		},
		Groups: []views.Group{
			{
				Name:       "postgres",
				Repository: "vault-a",
				Paths:      []string{"/var/lib/postgresql/dump", "/etc/postgresql"},
				Status:     views.HostStatus("failed"),
				Reason:     "The last backup failed: the repository is locked by another process.",
				Since:      past(12 * time.Hour),
				LastGood:   past(31 * time.Hour),
				Restorable: "12.4 GiB",
				Snapshots:  "31 snapshots",
				LastRun:    &jobs[0],
			},
			{
				Name:       "system",
				Repository: "vault-a",
				Paths:      []string{"/etc", "/root", "/home", "/usr/local"},
				Excludes:   []string{"*.tmp", "/home/*/.cache"},
				Status:     views.HostStatus("protected"),
				Reason:     "The newest good backup is as new as was promised.",
				Since:      past(12 * time.Hour),
				LastGood:   past(12 * time.Hour),
				Restorable: "193 GiB",
				Snapshots:  "1 snapshot",
				LastRun:    &jobs[1],
			},
		},
		Jobs: jobs,
		Snapshots: []views.Snapshot{
			{
				ID:    "e41b7c02",
				At:    past(12 * time.Hour),
				Group: "system",
				Paths: []string{"/etc", "/root", "/home", "/usr/local"},
				Files: "184,220",
				Size:  "39.1 GiB",
			},
			{
				ID:    "a90e1f33",
				At:    past(31 * time.Hour),
				Group: "postgres",
				Paths: []string{"/var/lib/postgresql/dump", "/etc/postgresql"},
				Files: "214",
				Size:  "167 GiB",
			},
		},
		Strip:      days("ssssssssssswssssssssssssssssff"),
		Restorable: "206 GiB",
		Agent: []views.Fact{
			{Name: "Agent", Value: "0.1.0"},
			{Name: "restic", Value: "0.19.1"},
			{Name: "Connected", Value: "16 d, since 4 Nov"},
			{Name: "System", Value: "Debian 13, amd64"},
		},
	}
}

func sessions() []views.Session {
	return []views.Session{{
		ID:      "s1",
		User:    "admin",
		Browser: "Firefox on Linux",
		Remote:  "10.20.1.4",
		Began:   past(2 * time.Hour),
		Seen:    past(0),
		This:    true,
	},
		{ID: "s2", User: hostile, Browser: hostile, Remote: hostile, Began: past(26 * time.Hour), Seen: past(3 * time.Hour)}}
}

func lines() []views.LogLine {
	var out []views.LogLine
	for i, l := range []struct{ level, text string }{
		{"info", `job 0b9e accepted by agent nas-media, source group "media"`},
		{"info", "restic 0.19.0 backup --json --tag group:media --exclude-file /etc/restic-manager/media.exclude /srv/media"},
		{"info", "repository 9c1f02ae opened (version 2, compression level auto)"},
		{"file", "new       /srv/media/photos/2026/11/DSC08812.ARW, 42.6 MiB"},
		{"warn", "/srv/media/incoming/.part-7f21: file changed while it was read, saved as seen"},
		{"error", "unable to create lock in backend: repository is already locked exclusively by PID 4121 on db-prod-02 by root (UID 0, GID 0)"},
	} {
		out = append(out, views.NewLogLine(uint64(212+i), now.Add(time.Duration(i)*time.Second), l.level, l.text))
	}
	return append(out, views.NewLogGap(218, 240, "more than 20,000 lines"), views.NewLogLine(241, now, "info", "44 % done"))
}

func job(state string) views.Job {
	j := views.Job{
		ID:         "0b9e-41d7",
		ShortID:    "0b9e",
		Kind:       "backup",
		HostID:     "nas-media",
		Host:       "nas-media",
		Group:      "media",
		Repository: "vault-b",
		Status:     views.JobStatus(state),
		AtWord:     "Asked for",
		At:         past(3 * time.Hour),
		By:         "admin",
	}
	switch state {
	case "queued":
		j.Waiting = &views.Waiting{Title: "Queued until nas-media connects",
			Text: "The agent is offline since Thu 18:42. The backup starts as soon as it is back, at the latest Sat 14:30."}
		j.CanCancel, j.CancelEffect = true, "It has not begun; nothing is lost."
	case "dispatched":
		j.Waiting = &views.Waiting{Title: "Waiting for the agent to answer", Text: "The command is on its way to nas-media."}
		j.CanCancel, j.CancelEffect = true, "It has not begun; nothing is lost."
	case "scanning", "running":
		j.Status = views.JobStatus("running")
		j.AtWord, j.Took = "Started", "2 h 51 min so far"
		j.CanCancel, j.CancelEffect = true, "restic stops within a few seconds and no snapshot is made. What was already uploaded stays "+
			"in the repository and speeds up the next run."
		j.Progress = &views.Progress{
			Percent: 43.8,
			Amount:  "1.84 of 4.20 TiB read",
			Files:   "212,908 of 486,113 files",
			Left:    "3 h 41 min left",
			Ends:    views.NewWhen(now.Add(221*time.Minute), now),
		}
		if state == "scanning" {
			j.Progress = &views.Progress{Percent: -1, Headline: "Scanning, 120,000 files", Amount: "31 GiB found so far"}
		}
		j.Files = []string{"/srv/media/video/raw/take-016.mxf", "/srv/media/photos/2026/11/DSC08931.ARW"}
		j.Facts = []views.Fact{{Name: "New data", Value: "38.1 GiB"}, {Name: "Unreadable items", Value: "0"}}
		j.Steps = []views.Step{views.DoneStep("Asked for", "by admin", past(3*time.Hour)),
			views.DoneStep("Accepted by the agent", "", past(3*time.Hour)), views.OpenStep("Snapshot", "")}
		j.Log = views.Log{Lines: lines(), Earlier: 211, EarlierURL: "/jobs/0b9e-41d7?from=1", Info: 9, Warnings: 1, Errors: 1}
		return j
	default:
		j.Ended, j.CanRunAgain, j.AtWord, j.Took = true, true, "Started", "took 1 min 17 s"
		j.Steps = []views.Step{views.DoneStep("Asked for", "by admin", past(3*time.Hour)),
			views.BadStep("Lock", "Gave up after 20 s", past(2*time.Hour))}
		j.Log = views.Log{Lines: lines(), Info: 4, Warnings: 1, Errors: 1, Note: "Older logs are kept for 30 days."}
		j.Ending = &views.Ending{
			Status: j.Status,
			Title:  "The repository is locked by a job that no longer runs",
			Effect: "Nothing was written and earlier snapshots are intact.",
			Remedies: []views.Remedy{
				{Title: "Remove the stale lock", Text: "Safe here: its owner is gone and no other job uses this repository.", RunAgain: true},
				{Title: "Or wait", Text: "restic takes a lock for stale after 30 minutes.",
					Link: views.Link{Text: "Open the host", URL: "/hosts/nas-media"}},
			},
			Evidence:  "repository is already locked exclusively by PID 4121 on db-prod-02 by root",
			ExitCode:  "11, failed to lock",
			FirstLine: 217,
		}
	}
	if state == "succeeded" || state == "warnings" {
		j.Figures = []views.Figure{{
			Name:   "Processed",
			Value:  "39.1",
			Unit:   "GiB",
			Detail: "184,220 files",
		}, {Name: "New data", Value: "88.4", Unit: "MiB", Detail: "31.0 MiB after compression"},
			{
				Name:   "Files",
				Value:  "212",
				Unit:   "new",
				Detail: "96 changed, 183,912 same",
			}, {Name: "Duration", Value: "1 min 17 s"}, {Name: "Snapshot", Value: "e41b7c02", Mono: true}}
	}
	if state == "succeeded" {
		j.Ending = nil
	}
	return j
}

// jobsPage is the fleet's jobs, one in each situation.
func jobsPage() views.Jobs {
	f := views.JobsFilter{}
	row := func(id, host, group, state, result string) views.JobLine {
		r := views.JobLine{
			ID:      id,
			Kind:    "backup",
			Group:   group,
			HostID:  host,
			Host:    host,
			Status:  views.JobStatus(state),
			Percent: -1,
			Result:  result,
			By:      "Schedule",
		}
		switch state {
		case "queued":
			r.Queued, r.CanCancel = "host offline", true
		case "running", "dispatched", "stalled":
			r.At, r.Took, r.CanCancel = past(171*time.Minute), "2 h 51 min", true
		default:
			r.At, r.Took = past(31*time.Minute), "38 s"
		}
		return r
	}
	rows := []views.JobLine{
		row("0b9e-0001", "nas-media", "media", "running", "1.84 of 4.20 TiB, 3 h 41 min left"),
		row("0b9e-0002", "web-02", "system", "running", "Scanning, 120,000 files"),
		row("0b9e-0003", "win-sql-01", "dumps", "stalled", "Nothing heard of restic for 12 min"),
		row("0b9e-0004", "web-01", "system", "dispatched", "Waiting for the agent to answer"),
		row("0b9e-0005", "win-cad-02", "profile", "queued", "Starts when the agent connects"),
		row("0b9e-0006", "nas-media", "photos", "queued", "Starts when the host is done in this repository with the"),
		row("0b9e-0007", "db-prod-02", "postgres", "failed", "The repository is locked by another job, exit code 11"),
		row("0b9e-0008", "mail-01", "mail", "warnings", "Snapshot saved, 14 items skipped"),
		row("0b9e-0009", "edge-berlin-01", "all", "succeeded", "9.20 MiB stored, of 12.4 GiB"),
		row("0b9e-0010", "attic", "letters", "cancelled", "Cancelled by admin"),
		row("0b9e-0011", "attic", "letters", "interrupted", "The agent stopped while the job ran"),
		row("0b9e-0012", "attic", "letters", "abandoned", "The job was not started in time"),
	}
	rows[0].Percent = 44
	rows[5].Queued, rows[5].ResultLink = "host is busy there", views.Link{Text: "backup of nas-media", URL: views.JobURL("0b9e-0001")}
	rows[6].By = "Retry 1"
	return views.Jobs{Filter: f, Kinds: []string{"backup"}, Rows: rows, Total: 52, Older: views.JobsURL(f, "2-1-0b9e-0012"),
		Tabs: views.JobTabs(map[string]int{"running": 3, "queued": 3, "failed": 5, "warnings": 6, "succeeded": 34, "cancelled": 1}, f)}
}

func controlPlane(name string) views.ControlPlane {
	return views.ControlPlane{Last: past(2 * time.Hour), Next: past(-22 * time.Hour), Size: "12 MiB", Failed: name, Late: true,
		Directory: "/var/lib/restic-manager/copies", Kept: "14 copies are kept", RestoredAt: past(time.Hour), CopyOf: past(26 * time.Hour),
		Asked: []views.Asked{{Kind: "user", ID: name, Name: name, Sign: "Last signed in 2026-11-20 09:00 UTC. " + name},
			{Kind: "host", ID: "attic-0001", Name: "attic", Sign: "Never heard of before the copy was made."}},
		Behind: []string{"attic", name}, Older: "Enrol each again.", Unknown: []string{"0mk3a7q2h0st"},
		Gaps: []views.HostGap{{Host: views.Link{Text: name, URL: views.HostURL("h1")}, From: past(26 * time.Hour), To: past(3 * time.Hour)}}}
}

func settings() []views.SettingGroup {
	return []views.SettingGroup{
		{ID: "addresses", Name: "Addresses", List: []views.Setting{{
			Name:  "Web pages and API",
			Text:  "Where this page comes from.",
			Value: "127.0.0.1:8080",
			Flag:  "--http",
		}}},
		{ID: "about", Name: "About", List: []views.Setting{{Name: "restic-manager", Text: "The version that runs.", Value: "v0.1.0"}}},
	}
}

func addHost(state string) views.AddHost {
	a := views.AddHost{Token: &views.Token{
		Secret: "RM-7K4Q-2XWD-M9TB",
		Server: "backup.example.net:8883",
		State:  "/var/lib/restic-manager-agent",
		Valid:  "Valid for 15 min, for one host",
		Enrol:  "restic-manager-agent enroll --server backup.example.net:8883 --token RM-7K4Q-2XWD-M9TB --policy backup",
		Start:  []string{"restic-manager-agent run --state /var/lib/restic-manager-agent"},
	}}
	a.Status = views.Enrol{State: state, Title: "Waiting for the agent…",
		Text: "This page changes by itself as soon as the host reports in. You can leave it open."}
	switch state {
	case "connected":
		a.Status = views.Enrol{
			State:      state,
			Title:      "k3s-node-3 is connected",
			Text:       "Ubuntu 26.04, amd64. Agent 0.1.0, restic 0.19.1. Took 41 s.",
			HostID:     "k3s-node-3",
			Host:       "k3s-node-3",
			NeedsGroup: true,
			Steps: []views.Step{views.DoneStep("Token accepted", "", past(time.Minute)),
				views.DoneStep("Facts received", "", past(time.Minute)), views.OpenStep("First backup", "Choose what to back up")},
		}
	case "expired":
		a.Status = views.Enrol{
			State: state,
			Title: "The token has expired",
			Text:  "Nobody used it. Create a new one and run the first command again.",
			Name:  "attic",
		}
	}
	return a
}

func groupForm() views.GroupForm {
	return views.GroupForm{
		HostID:       "attic",
		Host:         "attic",
		Fits:         []views.Option{{Value: "server", Text: "Linux server"}, {Value: "pc", Text: "Windows PC"}},
		Fit:          "pc",
		Repositories: []views.Option{{Value: "r1", Text: "vault-a"}, {Value: "r2", Text: "vault-b"}},
		Windows:      true,
		Hooks:        []views.HookChoice{{Name: "dump-db", Before: true}, {Name: "old", After: true, Gone: true}},
		Upload:       "2048",
		From:         "08:00",
		To:           "18:00",
	}
}

// samples are every page in its states: as it usually is, empty, and with the
// worst that could be put into it.
func samples() []sample {
	fleetLink := views.Link{Text: "Fleet", URL: "/"}
	hostLink := views.Link{Text: "nas-media", URL: "/hosts/nas-media"}
	at := func(entry string, s views.Shell) views.Shell {
		s.Current, s.Running = entry, 3
		return s
	}
	add := func(s views.Shell) views.Shell { return at("add", s) }
	out := []sample{
		{"fleet", views.FleetPage(shell("Fleet", views.FleetStream()), fleet())},
		{"fleet_empty", views.FleetPage(shell("Fleet", views.FleetStream()),
			views.Fleet{Verdict: views.NewVerdict(views.Tally{}, nil, views.When{})})},
		{"fleet_no_match", views.FleetPage(shell("Fleet", views.FleetStream()), func() views.Fleet {
			f := fleet()
			f.Attention, f.Work, f.Hosts.Rows, f.Hosts.Filter = nil, views.Work{}, nil, views.FleetFilter{Status: "failed", Query: "db-prd"}
			f.Hosts.Tabs = views.Tabs(views.Tally{"protected": 6}, views.FleetFilter{Status: "failed", Query: "db-prd"}, "", 0)
			f.Verdict = views.NewVerdict(views.Tally{"protected": 6}, &views.Silence{Hosts: 3, Of: 6, At: past(time.Hour)}, past(12*time.Hour))
			f.Figures = views.Figures{Of: 6}
			return f
		}())},
		{"fleet_hostile", views.FleetPage(shell(hostile, views.FleetStream()), func() views.Fleet {
			f := fleet()
			for i := range f.Hosts.Rows {
				r := &f.Hosts.Rows[i]
				r.ID, r.Name, r.OS, r.Tags = fmt.Sprint(hostile, i), hostile, hostile, []string{hostile}
			}
			f.Attention[0].Hosts[0].Name, f.Attention[0].Hosts[0].ID, f.Attention[0].Title, f.Attention[0].Text = hostile, hostile, hostile, hostile
			f.Attention[1].Hosts[0].Name, f.Attention[1].Hosts[0].Reason, f.Attention[1].Title = hostile, hostile, hostile
			f.Attention[0].Link.URL = "javascript:alert(1)"
			f.Work.Running[0].Host, f.Work.Running[0].ID = hostile, hostile
			f.Figures.OldestHost.Text = hostile
			f.Hosts.Filter.Query = hostile
			f.Hosts.Paging = views.NewPaging(1000, 3, views.FleetFilter{Status: "failed", Query: hostile})
			return f
		}())},
		{"host", views.HostPage(shell("db-prod-02", views.HostStream("db-prod-02"), fleetLink), host())},
		{"host_running", views.HostPage(shell("db-prod-02", views.HostStream("db-prod-02"), fleetLink), func() views.Host {
			h := host()
			h.Running, h.Problem, h.Status = fleet().Work.Running, nil, views.HostStatus("running")
			h.Groups[0].Busy = true
			return h
		}())},
		{"host_empty", views.HostPage(shell("attic", views.HostStream("attic"), fleetLink), views.Host{
			ID:         "attic",
			Name:       "attic",
			Status:     views.HostStatus("no-backup-yet"),
			Connection: views.HostConnection("offline", past(time.Hour)),
			Strip:      days("n"),
			Agent:      []views.Fact{{Name: "Agent", Value: "0.1.0"}},
		})},
		{"host_hostile", views.HostPage(shell(hostile, views.HostStream(hostile), fleetLink), func() views.Host {
			h := host()
			h.ID, h.Name, h.OS, h.Problem.Title, h.Problem.Text = hostile, hostile, hostile, hostile, hostile
			h.Groups[0].Name, h.Groups[0].Repository, h.Groups[0].Paths, h.Groups[0].Excludes = hostile, hostile, []string{hostile,
				hostile}, []string{hostile}
			h.Jobs[0].Group, h.Jobs[0].By, h.Jobs[0].ID = hostile, hostile, hostile
			h.Snapshots[0].ID, h.Snapshots[0].Paths = hostile, []string{hostile}
			h.Agent[0].Value = hostile
			h.Removed, h.Retired = removedRows(hostile), past(time.Hour)
			return h
		}())},
		{"host_remove", views.RemovalPage(shell("Remove attic", "", fleetLink, hostLink), views.Removal{Kind: "host", Name: "attic",
			URL: "/hosts/attic/remove", Back: "/hosts/attic", Snapshots: true,
			Facts: []views.Fact{{Name: "Source groups", Value: "letters, photos"}, {Name: "Certificate", Value: "refused from now on"}}})},
		{"replacement_before", views.ReplacementPage(shell("Replace attic", "", fleetLink, hostLink), replacement("before"))},
		{"replacement_token", views.ReplacementPage(shell("Replace attic", "", fleetLink, hostLink), replacement("token"))},
		{"replacement_waits", views.ReplacementPage(shell("Replace attic", "", fleetLink, hostLink), replacement("waits"))},
		{"replacement_decided", views.ReplacementPage(shell("Replace attic", "", fleetLink, hostLink), replacement("decided"))},
		{"host_away", views.HostPage(shell("attic", "", fleetLink), func() views.Host {
			h := host()
			h.Away = &views.Away{HostID: "attic", Since: past(50 * time.Hour), SavedAt: past(60 * time.Hour)}
			return h
		}())},
		{"host_remove_keeper", views.RemovalPage(shell("Remove nas", "", fleetLink), views.Removal{Kind: "host", Name: "nas",
			URL: "/hosts/nas/remove", Back: "/hosts/nas", Refused: "nas is the keeper of vault."})},
		{"repository_remove", views.RemovalPage(shell("Remove "+hostile, ""), views.Removal{Kind: "repository", Name: hostile,
			URL: "/repositories/1/remove", Back: "/repositories/1", WithGroups: true, Typed: true, Problem: hostile,
			Facts: []views.Fact{{Name: "Source groups", Value: hostile}}})},
		{"removed", views.RemovedPage(shell("Removed", "", fleetLink), removedRows(hostile))},
		{"removed_none", views.RemovedPage(shell("Removed", "", fleetLink), nil)},
		{"job_hostile", views.JobPage(shell(hostile, views.JobStream(hostile, 3), fleetLink), func() views.Job {
			j := job("failed")
			j.ID, j.ShortID, j.HostID, j.Host, j.Group, j.Repository, j.By = hostile, "0b9e", hostile, hostile, hostile, hostile, hostile
			j.Ending.Title, j.Ending.Effect, j.Ending.Evidence, j.Ending.ExitCode = hostile, hostile, hostile, hostile
			j.Ending.Remedies[0].Title, j.Ending.Remedies[0].Text = hostile, hostile
			j.Files, j.Facts = []string{hostile}, []views.Fact{{Name: "Last run", Value: hostile}}
			j.Log.Lines = []views.LogLine{views.NewLogLine(1, now, hostile, hostile),
				views.NewLogLine(2, now, "error", "\x1b[1;31mred\x1b[0m "+hostile), views.NewLogGap(3, 9, hostile)}
			j.Steps[0].Text, j.Steps[0].Sub = hostile, hostile
			return j
		}())},
		{"jobs", views.JobsPage(at("jobs", shell("Jobs", views.JobsStream(views.JobsFilter{}, "", "abc"))), jobsPage())},
		{"jobs_empty", views.JobsPage(at("jobs", shell("Jobs", views.JobsStream(views.JobsFilter{}, "", "abc"))),
			views.Jobs{Kinds: []string{"backup"}, Tabs: views.JobTabs(nil, views.JobsFilter{})})},
		{"jobs_filtered", views.JobsPage(at("jobs", shell("Jobs", "")), func() views.Jobs {
			f := views.JobsFilter{State: "failed", Kind: "backup", Query: "db", Period: "7d"}
			j := jobsPage()
			j.Filter, j.Rows, j.Tabs, j.Newest = f, nil, views.JobTabs(nil, f), views.JobsURL(f, "")
			return j
		}())},
		{"jobs_hostile", views.JobsPage(at("jobs", shell(hostile, views.JobsStream(views.JobsFilter{Query: hostile}, hostile, hostile))),
			func() views.Jobs {
				j := jobsPage()
				j.Filter = views.JobsFilter{Kind: hostile, Query: hostile}
				j.Kinds = append(j.Kinds, hostile)
				for i := range j.Rows {
					r := &j.Rows[i]
					r.ID, r.HostID, r.Host, r.Group, r.Result, r.By = fmt.Sprint(hostile, i), hostile, hostile, hostile, hostile, hostile
					r.ResultLink = views.Link{Text: hostile, URL: "javascript:alert(1)"}
				}
				return j
			}())},
		{"settings", views.SettingsPage(at("settings", shell("Settings", "")), settings(),
			views.PublicAddress{URL: hostile, Error: "That is no address."},
			views.PublicAddress{URL: hostile, Error: "That is no address.", Unreached: views.Unreached(hostile, hostile)},
			[]views.KitRow{{Link: views.Link{Text: "All repositories", URL: views.AllKitsURL}, Text: "Of every repository."},
				{Link: views.Link{Text: "vault-a", URL: views.KitURL("r1")}, Text: "A page to print.",
					Last: views.KitShown{At: past(50 * time.Hour), By: "anna"}}}, views.KitPaging(1, 1))},
		{"control_plane", views.ControlPlanePage(at("settings", shell("Control plane", "")), controlPlane("bert"))},
		{"control_plane_hostile", views.ControlPlanePage(at("settings", shell("Control plane", "")), controlPlane(hostile))},
		{"identity", views.IdentityPage(at("settings", shell("Identity", "")),
			views.PlaneIdentity{Moved: 12, All: 12, Phrase: "enrol every host again"})},
		{"identity_changing", views.IdentityPage(at("settings", shell("Identity", "")), planeIdentity())},
		{"identity_called_off", views.IdentityPage(at("settings", shell("Identity", "")), func() views.PlaneIdentity {
			p := planeIdentity()
			p.Back, p.Asked, p.Days, p.Problem = true, "put-off", "4000", "Nothing was changed."
			p.Errors = map[string]string{"for": "Both identities are accepted for an hour at least, and for 366 days at most."}
			return p
		}())},
		{"identity_hostile", views.IdentityPage(at("settings", shell("Identity", "")), func() views.PlaneIdentity {
			p := planeIdentity()
			p.Left = []views.LeftHost{{Host: views.Link{Text: hostile, URL: views.HostURL("attic")}, Agent: hostile}}
			p.Changing, p.Asked, p.Confirm, p.Problem = false, "replace", hostile, "Nothing was changed."
			p.Errors = map[string]string{"confirm": hostile, "do": hostile}
			return p
		}())},
		{"audit", views.AuditPage(at("audit", shell("Audit log", views.AuditStream(views.AuditFilter{}, "4"))), audit("", nil))},
		{"audit-broken", views.AuditPage(at("audit", shell("Audit log", "")),
			audit("", &views.Note{Tone: "fail", Title: "The audit log is broken at entry 3", Text: "There, it is missing."}))},
		{"audit-hostile", views.AuditPage(at("audit", shell("Audit log", "")), audit(hostile, nil))},
		{"banners", views.AuditPage(func() views.Shell {
			s := at("audit", shell("Audit log", ""))
			s.Banners = append(banners(), views.Banner{ID: "hostile", Tone: "warn", Say: hostile, Remedy: hostile,
				Link: views.Link{Text: hostile, URL: "/audit"}})
			return s
		}(), views.Audit{})},
		{"audit-empty", views.AuditPage(at("audit", shell("Audit log", "")), views.Audit{Filter: views.AuditFilter{Query: "nobody"}})},
		{"keys", views.RepositoryPasswordPage(at("repositories", shell("Keys", "")), keysPage())},
		{"keys_none", views.RepositoryPasswordPage(at("repositories", shell("Keys", "")),
			views.RepositoryKeysView{ID: "vault-01", Name: "vault"})},
		{"import", views.ImportPage(at("repositories", shell("Take in", "")), imported())},
		{"import_none", views.ImportPage(at("repositories", shell("Take in", "")), views.Import{RepositoryID: "vault-01", Repository: "vault"})},
		{"kit", views.KitPage(at("settings", shell("Emergency kit", "")), views.Kits{Of: "vault-a", By: "anna",
			Kits: []views.Kit{emergencyKit()}})},
		{"kits", views.KitPage(at("settings", shell("Emergency kit", "")), views.Kits{Of: "all repositories", Many: true, By: "anna",
			Last: views.KitShown{At: past(50 * time.Hour), By: hostile}, Kits: []views.Kit{emergencyKit(), emergencyKit()},
			Unread: []string{"The password of the repository " + hostile + " cannot be read. Enter it again."}})},
		{"job_stalled", views.JobPage(at("jobs", shell("Backup 0b9e", views.JobStream("0b9e", 3), fleetLink, hostLink)), func() views.Job {
			j := job("running")
			j.Status = views.JobStatus("stalled")
			j.Trouble = &views.Note{Tone: "warn", Title: "The storage answers 503, restic tries again in 12 s",
				Text: "3 tries in vain in 1 min 32 s. The storage's words: server response unexpected: 503 Service Unavailable (503)"}
			j.Silent = &views.Note{Tone: "warn", Title: "Nothing heard of restic for 12 min",
				Text: "The agent is connected. Look at the disk and the network of nas-media."}
			return j
		}())},
		{"job_behind_another", views.JobPage(at("jobs", shell("Backup 0b9e", views.JobStream("0b9e", 0), fleetLink, hostLink)), func() views.Job {
			j := job("queued")
			j.Waiting = &views.Waiting{Title: "Waiting for its turn", Text: "Starts when the host is done with the backup of nas-media.",
				Link: views.Link{Text: "Open that job", URL: views.JobURL("0b9e-0001")}}
			return j
		}())},
		{"add_host", views.AddHostPage(add(shell("Add host", "", fleetLink)), views.AddHost{Drill: true, System: "linux",
			Policy: "backup", Policies: []views.PolicyChoice{{Name: "backup", Title: "Back up", Text: "No more than that."},
				{Name: "restore", Title: "Back up and restore", Text: hostile}}})},
		{"add_host_install", views.AddHostPage(add(shell("Add host", views.EnrolStream("t1"), fleetLink)), func() views.AddHost {
			a := addHost("waiting")
			a.System, a.Token.Pinned = "windows", true
			a.Token.Install = "curl -fsSL https://backup.example.net/install.sh | sudo sh -s -- --token RM-7K4Q-2XWD-M9TB"
			a.Token.Why = &views.Note{Tone: "info", Title: hostile, Text: hostile}
			a.Token.Files = []views.HandedFile{{Name: hostile, URL: "javascript:alert(1)", What: hostile, SHA256: hostile}}
			return a
		}())},
		{"updates", views.UpdatesPage(shellOf("updates", "Updates"), views.Updates{Verdict: "No agent has connected yet.",
			Begins:  "By hand: nothing is updated unless somebody starts it.",
			Release: views.Release{Dir: "/srv/agents", Say: "There are no agents to hand out.", Remedy: "Put them there."}})},
		{"restics", views.ResticsPage(shellOf("updates", "restic on the machines"), fullRestics())},
		{"updates_full", views.UpdatesPage(shellOf("updates", "Updates"), fullUpdates())},
		{"rollout", views.RolloutPage(shellOf("updates", "Update to 1.3.0"), stoppedRollout())},
		{"keys", views.KeysPage(add(shell("Add many hosts", "", fleetLink)), views.Keys{})},
		{"keys_full", views.KeysPage(add(shell("Add many hosts", "", fleetLink)), views.Keys{
			List: []views.EnrolKey{{ID: "k1", Name: hostile, Says: hostile, Expires: past(-time.Hour), Used: past(time.Hour)},
				{ID: "k2", Name: "rack 7", State: "used up", Says: "50 of 50 hosts"}},
			Held:      []views.HeldHost{{ID: "h1", Name: hostile, Says: hostile, Since: past(time.Hour)}},
			Policies:  []views.PolicyChoice{{Name: "backup", Title: "Back up", Text: hostile}},
			Unreached: views.Unreached(hostile, hostile),
			Form: views.KeyForm{Name: hostile, Uses: hostile, Days: hostile, Tags: hostile, Policy: "backup",
				Errors: map[string]string{"name": "Taken.", "uses": "None.", "ttl": "None.", "tags": "None.", "policy": "None."}},
			Made: &views.KeyMade{Name: hostile, Secret: "RM-7K4Q", Install: "sh --token RM-7K4Q", PowerShell: "irm RM-7K4Q", TokenFile: hostile,
				Why:   &views.Note{Tone: "info", Title: hostile, Text: hostile},
				Paths: []views.Fact{{Name: "Linux", Value: hostile}}},
		})},
		{"add_host_error", views.AddHostPage(add(shell("Add host", "", fleetLink)),
			views.AddHost{Name: hostile, Error: "This name is taken.", Problem: hostile, Unreached: views.Unreached(hostile, hostile)})},
		{"group_new", views.GroupPage(shell("What to back up", "", fleetLink, hostLink), groupForm())},
		{"group_first", views.GroupPage(shell("What to back up", "", fleetLink, hostLink), views.GroupForm{HostID: "attic", Host: "attic"})},
		{"group_errors", views.GroupPage(shell("What to back up", "", fleetLink, hostLink), func() views.GroupForm {
			f := groupForm()
			f.Repository, f.Name, f.NewName, f.NewURL, f.Paths, f.Excludes, f.Host, f.Problem = "new", hostile, hostile, hostile, hostile+"\n"+
				hostile, hostile, hostile, "Not saved: three things need a look."
			f.Errors = map[string]string{
				"name":                "This name is taken.",
				"repository":          "Choose one.",
				"repository.name":     "Give it a name.",
				"repository.url":      "This is not a URL restic understands.",
				"repository.password": "A password is needed.",
				"paths":               "etc is not a full path.",
				"limits":              "No number.",
				"hooks":               "No name.",
				"excludes":            "This pattern is not valid.",
			}
			return f
		}())},
		{"group_edit", views.GroupPage(shell("Change system", "", fleetLink, hostLink), func() views.GroupForm {
			f := groupForm()
			f.Group, f.Repository, f.Paths, f.Excludes = "system", "r2", "/etc\n/home", "*.tmp"
			return f
		}())},
		{"first_steps", views.StartPage(shell("First steps", views.StartStream), firstSteps("open"))},
		{"first_steps_works", views.StartPage(shell("First steps", ""), firstSteps("works"))},
		{"first_steps_failed", views.StartPage(shell("First steps", ""), firstSteps("failed"))},
		{"first_steps_hidden", views.StartPage(shell("First steps", ""), func() views.FirstSteps {
			f := firstSteps("done")
			f.Over, f.Hidden, f.HiddenBy = true, true, hostile
			return f
		}())},
		{"first_steps_strip", views.SettingsPage(func() views.Shell {
			s := at("settings", shell("Settings", ""))
			s.Road = &views.RoadStrip{Done: "3", Of: "8", Next: "Add host", Say: hostile, Failed: true}
			return s
		}(), nil, views.PublicAddress{}, views.PublicAddress{}, nil, views.KitPaging(0, 1))},
		{"addresses", views.AddressesPage(shell("Address", ""), views.AddressForm{
			Pages: views.PublicAddress{URL: hostile, Error: "That is no address."}, Agents: views.PublicAddress{URL: "b.example.net:8883"},
			OfAgents: views.Looked{Tone: "fail", Say: hostile, Do: hostile, At: past(time.Minute)}, From: "start", Problem: "It was not saved."})},
		{"addresses_good", views.AddressesPage(shell("Address", ""), views.AddressForm{
			Agents:   views.PublicAddress{URL: "b.example.net:8883", Flag: true},
			OfAgents: views.Looked{Tone: "ok", Say: "It leads here.", At: past(time.Minute)},
			OfPages:  views.Looked{Tone: "warn", Say: "On this machine alone.", Do: "Write another.", At: past(time.Hour)}})},
		{"trial", views.TestPage(shell("Test", ""), []views.TestResult{{Note: views.Note{Tone: "fail", Title: hostile, Text: hostile}}})},
		{"setup", views.SetupPage(views.Shell{Title: "First-run setup", Now: now}, views.Setup{Code: "RM-1"})},
		{"setup_errors", views.SetupPage(views.Shell{Title: "First-run setup", Now: now}, views.Setup{
			Name:        hostile,
			Problem:     "The account was not made.",
			CodeError:   "This code is not right.",
			NameError:   "Choose a name.",
			SecretError: "At least 12 characters.",
			AgainError:  "The two are not the same.",
		})},
		{"users", views.UsersPage(at("users", shell("Users", "")), views.Users{
			Accounts: []views.Account{
				{ID: "u1", Name: "admin", You: true, Role: "admin", Sessions: "2 sessions", LastSeen: past(0)},
				{ID: "u2", Name: "helpdesk", Role: "operator", Invited: true},
				{ID: "u3", Name: hostile, Role: "viewer", Disabled: true, LastSeen: past(6 * time.Hour)}},
			Tokens: []views.APIToken{
				{ID: "t1", Name: "ci-read", Role: "viewer", Acts: "viewer", By: "admin", Until: "Good until 1 Feb 2027", Used: past(6 * time.Hour)},
				{ID: "t3", Name: "ci-write", Role: "admin", Acts: "operator", By: "helpdesk", Until: "Good until 5 Dec 2026", Soon: true},
				{ID: "t2", Name: hostile, Role: "admin", By: hostile, Expired: true}},
			Rights: []views.RightRow{{Text: "See hosts, jobs and their logs", From: 0}, {Text: "Ask for backups, cancel jobs", From: 1},
				{Text: "Manage people", From: 2}}})},
		{"users_first", views.UsersPage(at("users", shell("Users", "")), views.Users{Accounts: []views.Account{{
			ID:   "u1",
			Name: "admin",
			You:  true,
			Role: "admin",
		}}})},
		{"user_new", views.NewUserPage(at("users", shell("Add user", "")), views.NewUser{Role: "viewer"})},
		{"user_new_errors", views.NewUserPage(at("users", shell("Add user", "")),
			views.NewUser{Name: hostile, NameError: "This name is taken.", Problem: "Nobody was added."})},
		{"user_link", views.UserPage(at("users", shell("helpdesk", "")), views.User{
			Account:   views.Account{ID: "u2", Name: "helpdesk", Role: "operator", Invited: true},
			Programs:  "the MQTT consumer home",
			Done:      "helpdesk was added",
			Link:      "https://backup.example.net/set-password?key=rmp_X",
			LinkValid: "Valid for 1 d, once",
		})},
		{"user", views.UserPage(at("users", shell("user", "")), views.User{
			Account:     views.Account{ID: "u3", Name: hostile, Role: "viewer", Disabled: true},
			Problem:     hostile,
			SecretError: "Too short.",
			AgainError:  "Not the same.",
			Programs:    "the API tokens ci-read and " + hostile,
			List:        sessions(),
		})},
		{"account", views.AccountPage(shell("Your account", ""), views.OwnAccount{
			Name:     "admin",
			Role:     "admin",
			Done:     "The password is changed.",
			Sessions: sessions(),
			Others:   sessions(),
		})},
		{"account_errors", views.AccountPage(shell("Your account", ""), views.OwnAccount{
			Name:        hostile,
			Role:        "viewer",
			Problem:     "Not changed.",
			OldError:    "Wrong.",
			SecretError: "Short.",
			AgainError:  "Other.",
		})},
		{"token_new", views.NewTokenPage(at("users", shell("New API token", "")), views.NewToken{Role: "viewer", Days: "365"})},
		{"token_errors", views.NewTokenPage(at("users", shell("New API token", "")),
			views.NewToken{Name: hostile, NameError: "Too long.", Problem: "No token was made."})},
		{"token_made", views.NewTokenPage(at("users", shell("New API token", "")),
			views.NewToken{Name: "nightly", Key: "rma_X", Until: "No expiry"})},
		{"set_password", views.PasswordPage(views.Shell{Title: "Choose a password", Now: now}, views.PasswordForm{
			Name:        hostile,
			Key:         "rmp_X",
			Problem:     "Not set.",
			SecretError: "Short.",
			AgainError:  "Other.",
		})},
		{"mqtt", views.MQTTPage(at("mqtt", shell("MQTT", "")), mqttSample())},
		{"mqtt_first", views.MQTTPage(at("mqtt", views.Shell{Title: "MQTT", Now: now, User: "admin"}), mqttFirst())},
		{"mqtt_wrong", views.MQTTPage(at("mqtt", shell("MQTT", "")), mqttWrong())},
		{"mqtt_clients", views.ClientsPage(at("mqtt", shell("MQTT clients", "")), *mqttSample().Clients)},
		{"mqtt_uplink", views.UplinkPage(at("mqtt", shell("Your own broker", "")), uplinkSample())},
		{"mqtt_uplink_fixed", views.UplinkPage(at("mqtt", shell("Your own broker", "")), views.UplinkForm{Fixed: true, Commands: "off",
			Result: &views.UplinkResult{OK: true}})},
		{"mqtt_assistant", views.AssistantPage(at("mqtt", shell("Home Assistant", "")), assistantSample())},
		{"mqtt_assistant_off", views.AssistantPage(at("mqtt", shell("Home Assistant", "")), views.AssistantForm{})},
		{"mqtt_topics", views.TopicLevelPage(at("mqtt", shell("Topics", "")), mqttLevel())},
		{"mqtt_new", views.NewConsumerPage(at("mqtt", shell("New credential", "")), views.NewConsumer{
			Name:      hostile,
			NameError: "Taken.",
			Problem:   "Not made.",
			Rights:    views.ConsumerRights{Do: true},
		})},
		{"mqtt_made", views.ConsumerPage(at("mqtt", shell("home", "")), views.ConsumerForm{
			Consumer: views.Consumer{Name: "home", Rights: views.ConsumerRights{Do: true}},
			Address:  "127.0.0.1:1883",
			Password: "SECRET",
			Done:     "The credential is made",
		})},
		{"mqtt_one", views.ConsumerPage(at("mqtt", shell("home", "")), views.ConsumerForm{Consumer: views.Consumer{Name: hostile}})},
		{"login", views.LoginPage(views.Shell{Title: "Sign in", Now: now}, views.Login{Server: "backup.example.net",
			SignIn: views.SignIn{Next: "/hosts/attic"}})},
		{"login_ended", views.LoginPage(views.Shell{Title: "Sign in", Now: now}, views.Login{Server: "backup.example.net",
			SignIn: views.SignIn{Next: "/hosts/attic", Form: "rmf_KEY", Ended: true}})},
		{"resume", views.ResumePage(shell("Go on", ""), views.Resume{Key: "rmf_KEY", Path: "/hosts/attic/source-groups/new",
			Fields: []views.Fact{{Name: "name", Value: hostile, Mono: true}}})},
		{"login_error", views.LoginPage(views.Shell{Title: "Sign in", Now: now}, views.Login{
			Name:    hostile,
			Server:  hostile,
			SignIn:  views.SignIn{Next: hostile},
			Problem: "This name and password do not belong together. 4 more tries before a pause.",
		})},
		{"problem", views.ProblemPage(shell("Not found", "", fleetLink), views.Problem{
			Status: 404,
			Title:  "There is no such job",
			Say:    "It was never there, or it has been removed.",
			Do:     "Look for it on its host's page.",
			Link:   views.Link{Text: "Open the host", URL: "/hosts/attic"},
		})},
		{"problem_signed_out", views.ProblemPage(views.Shell{Title: "Server error", Now: now}, views.Problem{
			Status: 500,
			Title:  hostile,
			Say:    hostile,
			Do:     hostile,
		})},
	}
	out = append(out, repositorySamples(at)...)
	out = append(out, foundSamples()...)
	for _, state := range []string{"queued", "dispatched", "scanning", "running", "succeeded", "warnings", "failed", "cancelled",
		"interrupted", "abandoned"} {
		j, url := job(state), ""
		if !j.Ended {
			url = views.JobStream(j.ID, 241)
		}
		out = append(out, sample{"job_" + state, views.JobPage(shell("Backup 0b9e", url, fleetLink, hostLink), j)})
	}
	for _, state := range []string{"waiting", "connected", "expired"} {
		out = append(out, sample{"add_host_" + state, views.AddHostPage(add(shell("Add host", views.EnrolStream("t1"), fleetLink)),
			addHost(state))})
	}
	return out
}

func audit(name string, broken *views.Note) views.Audit {
	row := func(n, actor, icon, action, target, detail string) views.AuditRow {
		return views.AuditRow{
			N:       n,
			At:      past(time.Hour),
			Icon:    icon,
			Actor:   name + actor,
			By:      views.AuditURL(views.AuditFilter{Actor: actor}, ""),
			Deed:    views.Deed(action),
			Target:  views.Link{Text: name + target, URL: views.HostURL("h1")},
			Detail:  name + detail,
			Outcome: views.Outcome(action),
			Remote:  name + "10.20.1.15",
		}
	}
	return views.Audit{
		Filter: views.AuditFilter{Query: name, Action: name, Actor: name, Target: name},
		Total:  96,
		Older:  views.AuditURL(views.AuditFilter{}, "1"),
		Rows: []views.AuditRow{row("4", "anna", "user", "job.queued", "backup of attic", ""),
			row("3", "api:nightly", "bot", "session.refused", "anna", "Wrong password"),
			row("2", "schedule:night", "calendar-clock", "pending_run.abandoned", "night", "Its host was away too long"),
			row("1", "cli", "terminal", "nobody.knows_this", "x", "")},
		Chain: views.Chain{Verified: past(30 * time.Minute), Broken: broken, Head: "4:00ff"},
	}
}

func emergencyKit() views.Kit {
	return views.Kit{
		Name:  "vault-a",
		Notes: []string{"This repository is a folder on attic."},
		Facts: []views.KitFact{
			{Name: "URL", Value: "rest:https://u:p@nas/attic"},
			{Name: "Password", Value: "it's <b>bold</b>"},
			{Name: "AWS_SECRET_ACCESS_KEY"},
		},
		Exports:    []string{"export RESTIC_REPOSITORY='rest:https://u:p@nas/attic'", `export RESTIC_PASSWORD='it'\''s <b>bold</b>'`},
		PowerShell: []string{"$env:RESTIC_PASSWORD = 'it''s <b>bold</b>'"},
		Steps:      []views.KitStep{{Title: "See what there is", Text: "All snapshots.", Command: "restic snapshots"}},
	}
}

// planeIdentity is one that is being changed.
func planeIdentity() views.PlaneIdentity {
	return views.PlaneIdentity{Changing: true, Began: past(50 * time.Hour), Moved: 9, All: 1212,
		Until: views.NewWhen(now.Add(28*24*time.Hour), now),
		Left: []views.LeftHost{{Host: views.Link{Text: "attic", URL: views.HostURL("attic")}, Agent: "v0.1.0", Online: true},
			{Host: views.Link{Text: "nas-media", URL: views.HostURL("nas-media")}, Agent: "v0.2.0"}},
		More: 1201, Phrase: "enrol every host again"}
}

// firstSteps are the first steps with the fourth in a state.
func firstSteps(state string) views.FirstSteps {
	f := views.FirstSteps{Done: "3 of 8 steps are done"}
	for i, key := range []string{"account", "address", "repository", "host", "plan", "backup", "proof", "kit"} {
		x := views.FirstStep{Key: key, Say: hostile, State: "done", Link: views.Link{Text: "Open", URL: "/users"}}
		switch {
		case i == 1:
			x.Doubt = hostile
		case i == 3:
			x.State, x.Next = state, state != "done"
			x.Other = views.Link{Text: "See why", URL: views.JobURL("0b9e")}
		case i == 5:
			x.State, x.Link, x.Post, x.Text = "open", views.Link{}, "/hosts/h-1/run/backup", "Back up now"
		case i > 3:
			x.State, x.Link = "later", views.Link{}
		}
		f.Steps = append(f.Steps, x)
	}
	return f
}

func shellOf(current, title string) views.Shell {
	s := shell(title, "")
	s.Current = current
	return s
}

func fullUpdates() views.Updates {
	form := views.RolloutForm{Title: "Update hosts to 1.3.0", Button: "Update 12 hosts", AtOnce: "10", Zone: "Europe/Berlin", From: "22:00",
		Until: "25:00", Errors: map[string]string{"until": "An hour is written as 22:00."}, Problem: "Nothing was begun."}
	going := stoppedRollout()
	going.Going, going.Ended, going.Waits = true, "", "2 hosts are offline: updated when they are back."
	going.Running = []views.RunningJob{{ID: "job-1", Host: "attic", Kind: "update", Percent: 40, Amount: "4 of 11 MiB"}}
	going.More = 3
	return views.Updates{Verdict: "12 hosts run an older version than 1.3.0, which lies here; 10 can be updated from here.", Startable: true,
		Release: views.Release{Version: "1.3.0", SignedBy: "0123456789ABCDEF", Believed: true, Dir: "/usr/share/restic-manager/agents",
			Facts:   []views.Fact{{Name: "Version", Value: "1.3.0"}, {Name: "Number", Value: "1796040000", Mono: true}},
			Targets: []views.Target{{Platform: "linux amd64", There: true}, {Platform: "windows amd64"}}},
		Going: []views.Rollout{going}, Form: form, Settings: form, Tags: []string{"site=berlin", "web"}, Automatic: true,
		Versions: []views.AgentVersion{{Version: "1.3.0", Hosts: 3, Online: 2, Says: "Lies here", Tone: "ok", Icon: "circle-check"},
			{Version: "1.2.0", Hosts: 12, Online: 9, Says: "Older", Tone: "late", Icon: "clock-alert"}},
		Cannots: 14, Cannot: []views.CannotGroup{{Why: "The host’s own policy forbids updates.", Do: "Install the new package on the host.",
			Hosts: []views.Link{{Text: "attic", URL: "/hosts/attic-0001"}}, More: 13}},
		History: []views.RolloutRow{{ID: "r1", Version: "1.2.0", About: "Every host", Why: "Stopped by ada.", By: "ada", Word: "Stopped",
			Tone: "idle", Icon: "circle-stop", Began: past(time.Hour)}},
		Begins: "Automatically, as soon as a newer version lies here: every host, at any time, 10 at once."}
}

func stoppedRollout() views.Rollout {
	return views.Rollout{ID: "r2", Title: "Update to 1.3.0: Every host", Version: "1.3.0", Says: "Every host, at any time, 10 at once.",
		By: "ada", Began: past(time.Hour), Percent: 55, StopEffect: "4 hosts that are being updated finish that.",
		Waves: []views.Wave{{Name: "One host", Text: "1 finished", Tone: "ok", Icon: "circle-check"},
			{Name: "A tenth", Text: "10 finished, 2 failed", Tone: "fail", Icon: "octagon-x", Now: true},
			{Name: "The rest", Text: "to come", Tone: "idle", Icon: "circle-dashed"}},
		Counts: "9 updated, 2 failed, 89 to come", Ended: "Stopped by itself: 2 of 11 updates failed, which is more than 1 in 20.",
		EndTone: "fail", Do: "Look at their jobs.",
		Failed: []views.FailedHost{{Host: "cellar", HostID: "cellar-0001", Why: "The new agent was not welcomed in time.", JobID: "job-2"}},
		Begun:  1, Hosts: []views.RolloutHost{{Host: "cellar", HostID: "cellar-0001", JobID: "job-2", Wave: "A tenth", Word: "Failed, went back",
			Tone: "fail", Icon: "octagon-x", Why: "The new agent was not welcomed in time.", Since: past(time.Hour)}}}
}

func fullRestics() views.Restics {
	host := views.Link{Text: "attic", URL: "/hosts/attic-0001"}
	return views.Restics{Verdict: "2 hosts run a restic that lacks something. On 1 host none is found.",
		Versions: []views.ResticVersion{
			{Version: "0.20.0", Hosts: 1, Online: 1, Names: []views.Link{host}, Says: "Has all that is used", Tone: "ok", Icon: "circle-check"},
			{Version: hostile, Hosts: 20, Online: 3, Names: []views.Link{{Text: hostile, URL: "javascript:alert(1)"}},
				More: 19, Says: "Lacks 2 things", Tone: "warn", Icon: "triangle-alert", Lacks: []views.ResticLack{
					{What: "Taking files out of snapshots", Since: "0.15", Else: "It is refused.", Tone: "warn", Icon: "circle-slash"},
					{What: "Waiting for a lock itself", Since: "0.16", Else: "It begins anew.", Tone: "idle", Icon: "circle-minus"}}}},
		None: views.CannotGroup{Why: "No restic is found there.", Do: "Install it.", Hosts: []views.Link{host}, More: 3},
		Dir:  "/srv/data/restic",
		Files: []views.ResticFile{
			{Name: "restic_0.20.0_linux_amd64.bz2", Platform: "linux amd64", SHA256: strings.Repeat("ab", 32), Says: "Confirmed by anna", Tone: "ok",
				Icon: "circle-check", Pinned: true, Listed: "SHA256SUMS beside it says the same."},
			{Name: hostile, SHA256: hostile, Says: hostile, Tone: "warn", Icon: "triangle-alert", Confirmable: true, Problem: "It has another."}},
		Fetch: views.ResticFetch{Versions: []string{"0.20.0"}, Hosts: []views.Link{{Text: hostile, URL: "attic-0001"}},
			Cannot: []views.CannotGroup{{Why: "Its agent is too old.", Do: "Update it.", Hosts: []views.Link{host}, More: 2}},
			Asked:  []views.ResticAsked{{Host: "attic", URL: "/jobs/1", Text: "Its job"}, {Host: hostile, Text: hostile, Do: hostile}}}}
}
