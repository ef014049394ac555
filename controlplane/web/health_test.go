package web

import (
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAFindingSaysWhatItIsAndHasItsButton has a repository become bad in each way, and
// looks for the word, the reason and what mends it, on the page, in the list and in the
// API.
func TestAFindingSaysWhatItIsAndHasItsButton(t *testing.T) {
	var ahead atomic.Int64
	w := newWorld(t, func(c *base.Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	attic := w.enrol("attic")
	attic.connect()
	g := attic.unmade("letters")
	page := "/repositories/" + string(g.Repository)
	admin, viewer, program := w.person(store.Admin), w.person(store.Viewer), w.program(store.Viewer)
	health := func() (h struct {
		Health, Reason string
		Since          *time.Time
	}) {
		t.Helper()
		program.do("GET", "/api"+page, nil).json(t, &h)
		return h
	}
	run := func(kind topics.JobKind, f topics.Finished, parts ...topics.Report) {
		t.Helper()
		if r := admin.do("POST", page+"/run", url.Values{"kind": {string(kind)}, "host": {string(attic.id)},
			"stay": {"1"}}); r.StatusCode != 303 {
			t.Fatalf("ask for %s: %s %s", kind, r.Status, r.text)
		}
		attic.ran(attic.asked(kind).ID, f, parts...)
	}
	failed := func(c topics.Cause) topics.Finished {
		return topics.Finished{State: topics.Failed, Cause: c, Message: "restic said so"}
	}
	well := topics.Finished{State: topics.Succeeded, Result: &topics.Result{}}

	if h := health(); h.Health != "never-looked-at" || h.Since == nil {
		t.Errorf("a new repository is %+v", h)
	}
	admin.shows(page, "Never looked at", "No job has opened it yet.", page+"/refresh")
	run(topics.StatsJob, well)
	if h := health(); h.Health != "healthy" || h.Reason == "" {
		t.Errorf("opened, it is %+v", h)
	}
	for _, c := range []struct {
		cause        topics.Cause
		health, word string
		button       string
	}{
		{topics.CausePassword, "unreadable", "Unreadable", page + `/edit">Change the password`},
		{topics.CauseNoRepository, "missing", "Missing", page + `/edit">Change its address`},
		{topics.CauseUnreachable, "unreachable", "Unreachable", ">Look again<"},
		{topics.CauseCertificate, "unreachable", "Unreachable", ">Look again<"},
		{topics.CauseCredentials, "unreachable", "Unreachable", page + `/edit">Change the credentials`},
		{topics.CausePermission, "unreachable", "Unreachable", ">Look again<"},
		{topics.CauseDiskFull, "full", "Full", page + `/edit">Choose a keeper`},
	} {
		run(topics.SnapshotsJob, failed(c.cause))
		h := health()
		if h.Health != c.health || h.Since == nil {
			t.Errorf("after %s it is %+v", c.cause, h)
		}
		admin.shows(page, c.word, h.Reason, c.button, ">Open the job<")
		admin.shows("/repositories", c.word)
		if text := viewer.shows(page, h.Reason); strings.Contains(text, c.button) && strings.Contains(c.button, "/edit") {
			t.Errorf("after %s a viewer is led to what they may not open", c.cause)
		}
		if c.cause == topics.CauseDiskFull { // a backup that is saved is the proof
			attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, Summary: &topics.Summary{TotalFiles: 1}})
		} else {
			run(topics.StatsJob, well)
		}
		if h := health(); h.Health != "healthy" {
			t.Errorf("after %s and a good look it is %+v", c.cause, h)
		}
	}

	// Foreign snapshots, until somebody says that they are known.
	id := strings.Repeat("a", 64)
	run(topics.SnapshotsJob, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 1}},
		topics.Report{Snapshots: []topics.Snapshot{{ID: id, Time: time.Now().UnixMilli(), Host: "elsewhere"}}})
	admin.shows(page, "Foreign", "1 snapshot in it was not made by a job of ours.", page+"/foreign/acknowledge", ">They are known<")
	if r := viewer.do("POST", page+"/foreign/acknowledge", nil); r.StatusCode != 403 {
		t.Errorf("a viewer acknowledges: %s", r.Status)
	}
	if r := admin.do("POST", page+"/foreign/acknowledge", nil); r.StatusCode != 303 {
		t.Errorf("acknowledge: %s", r.Status)
	}
	if h := health(); h.Health != "healthy" {
		t.Errorf("acknowledged, it is %+v", h)
	}
	// Its keys were never listed, and nobody says whose they are.
	if text := admin.shows(page); strings.Contains(text, "every key is one of ours") {
		t.Error("the page vouches for keys that nobody has read")
	}

	ahead.Store(int64(36 * 24 * time.Hour))
	if h := health(); h.Health != "check-overdue" {
		t.Errorf("after 36 days without a check it is %+v", h)
	}
	admin.shows(page, "Check overdue", "It has no keeper", ">Check now<")
}
