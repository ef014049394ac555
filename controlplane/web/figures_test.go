package web

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// A shownFleet is what the fleet page says, read from its HTML.
type shownFleet struct {
	title, text string
	tabs        map[string]shownTab
	protected   [2]int // so many of so many
	listed      int    // hosts that the list has, on all its pages
	rows        int
	attention   int
	causes      map[string]shownCause // by the URL of all of its hosts
	running     [2]int                // what the heading says, and what is shown or said to be behind it
	waiting     [2]int
	nav, agents int
}

type shownTab struct {
	n   int
	url string
}

type shownCause struct{ hosts, named, more int }

func figure(text string) int {
	n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
	if err != nil {
		return -1
	}
	return n
}

// readFleet reads the page as somebody would who trusts nothing but what stands there.
func readFleet(page string) (f shownFleet) {
	find := func(pattern, in string) []string {
		if m := regexp.MustCompile("(?s)" + pattern).FindStringSubmatch(in); m != nil {
			return m[1:]
		}
		return []string{"", "", ""}
	}
	section := func(id string) string {
		return find(`<section[^>]* id="`+id+`".*?>(.*?)</section>`, page)[0]
	}
	f.title = find(`<h1 id="verdict-title"[^>]*>(.*?)</h1>`, page)[0]
	f.text = find(`<h1 id="verdict-title".*?<p class="sub">(.*?)</p>`, page)[0]
	f.tabs = map[string]shownTab{}
	for _, m := range regexp.MustCompile(`(?s)<a href="([^"]*)"[^>]*>((?:<svg.*?</svg>)?)([^<>]+)<b>(\d+)</b></a>`).
		FindAllStringSubmatch(find(`<nav class="statustabs"(.*?)</nav>`, page)[0], -1) {
		f.tabs[strings.TrimSpace(m[3])] = shownTab{figure(m[4]), html.UnescapeString(m[1])}
	}
	p := find(`<div class="k">Protected</div><div class="v">([\d,]+) <small>of ([\d,]+)</small>`, page)
	f.protected = [2]int{figure(p[0]), figure(p[1])}
	f.listed = figure(find(`([\d,]+) hosts?, most urgent first`, section("hosts"))[0])
	f.rows = strings.Count(page, `<tr id="host-`)
	attention := section("attention")
	f.attention = max(0, figure(find(`class="count"[^>]*>([\d,]+)<`, attention)[0]))
	f.causes = map[string]shownCause{}
	for _, m := range regexp.MustCompile(`(?s)<article[^>]* data-hosts="(\d+)">(.*?)</article>`).FindAllStringSubmatch(attention, -1) {
		c := shownCause{hosts: figure(m[1]), named: strings.Count(m[2], "<li>"), more: max(0, figure(find(`>([\d,]+) more hosts?<`, m[2])[0]))}
		key := html.UnescapeString(find(`<a class="who" href="([^"]*)"`, m[2])[0])
		if strings.HasPrefix(key, "/hosts/") {
			c.named = 1
		}
		f.causes[key] = c
	}
	work, waits := section("running"), ""
	work, waits, _ = strings.Cut(work, `id="wait-h"`)
	for _, part := range []struct {
		text string
		to   *[2]int
	}{{work, &f.running}, {waits, &f.waiting}} {
		part.to[0] = max(0, figure(find(`class="count">([\d,]+)<`, part.text)[0]))
		part.to[1] = strings.Count(part.text, `class="runjob"`) + max(0, figure(find(`>([\d,]+) more jobs?<`, part.text)[0]))
	}
	f.nav = figure(find(`id="nav-hosts">(\d+)<`, page)[0])
	f.agents = figure(find(`([\d,]+) of [\d,]+ agents? (?:is|are) connected`, page)[0])
	return f
}

// sumOf adds the numbers of "358 protected, 2 running.".
func sumOf(text string) (n int) {
	for _, m := range regexp.MustCompile(`(\d+) [a-z]`).FindAllStringSubmatch(text, -1) {
		n += figure(m[1])
	}
	return n
}

// anyFleet is a fleet of hosts of every sort.
func anyFleet(t *rapid.T, now time.Time) *fleet.Moment {
	of := map[protection.Status][]string{
		protection.Lost:    {protection.CauseMissing, protection.CauseSnapshotsGone},
		protection.Failed:  {string(topics.CauseLocked), string(topics.CausePassword), string(topics.CauseUnknown)},
		protection.Overdue: {protection.CauseOffline, protection.CauseMissedSlots},
		protection.Late:    {protection.CauseOffline, protection.CauseMissedSlots},
		protection.Empty:   {protection.CauseEmpty},
		protection.Warning: {string(topics.CauseUnreadable), protection.CauseFewFiles},
	}
	common := rapid.SampledFrom(protection.Words).Draw(t, "what most have")
	entries := make([]fleet.Entry, rapid.IntRange(0, 70).Draw(t, "hosts"))
	outage := now.Add(-time.Duration(rapid.IntRange(1, 600).Draw(t, "minutes since the outage")) * time.Minute)
	for i := range entries {
		e := &entries[i]
		e.ID, e.Name = topics.HostID(fmt.Sprintf("host-%04d", i)), fmt.Sprintf("%s-%d", []string{"web", "db"}[i%2], i)
		if e.Status = common; rapid.IntRange(0, 3).Draw(t, "as most") == 0 {
			e.Status = rapid.SampledFrom(protection.Words).Draw(t, "status")
		}
		if causes := of[e.Status]; causes != nil {
			e.Cause = rapid.SampledFrom(causes).Draw(t, "cause")
		}
		e.Reason, e.Since = "It is as it is.", now.Add(-time.Hour).UnixMilli()
		e.Connection = rapid.SampledFrom([]hosts.Connection{hosts.Online, hosts.Online, hosts.Offline, hosts.Unknown}).Draw(t, "connection")
		if e.Connection == hosts.Offline {
			e.Gone = outage.Add(-time.Duration(rapid.IntRange(0, 900).Draw(t, "seconds before")) * time.Second).UnixMilli()
		}
		if rapid.Bool().Draw(t, "saved") {
			e.LastGood, e.Restorable = now.Add(-time.Duration(i+1)*time.Hour).UnixMilli(), 1<<30
		}
		for j := range rapid.IntRange(0, 2).Draw(t, "open jobs") {
			state := topics.Queued
			if j == 0 {
				state = rapid.SampledFrom([]topics.JobState{topics.Running, topics.Dispatched, topics.Queued}).Draw(t, "state")
			}
			e.Open = append(e.Open, store.Job{ID: topics.JobID(fmt.Sprintf("job-%04d-%d", i, j)), Host: e.ID, Kind: topics.BackupJob, State: state,
				QueuedAt: now.UnixMilli() + int64(i), StartedAt: now.UnixMilli()})
		}
	}
	return fleet.Of(entries...)
}

// Whatever the fleet is like, the numbers on its page are those of one moment and add
// up, and each leads to a list of as many.
func TestTheFiguresOfTheFleetAddUp(t *testing.T) {
	w := newWorld(t)
	ctx := views.WithRights(t.Context(), views.Rights{})
	rapid.Check(t, func(t *rapid.T) {
		m := anyFleet(t, time.Now())
		draw := func(f views.FleetFilter) shownFleet {
			v, err := w.web.pages.FleetView(ctx, m, f, 1)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := views.FleetPage(views.Shell{Title: "Fleet", User: "ada", Hosts: m.Len(), Now: time.Now()}, v).Render(ctx, &b); err != nil {
				t.Fatal(err)
			}
			return readFleet(b.String())
		}
		at := func(link string) shownFleet {
			u, err := url.Parse(link)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			return draw(views.FleetFilter{Status: q.Get("status"), Cause: q.Get("cause"), Connection: q.Get("connection"), Query: q.Get("q")})
		}
		page := draw(views.FleetFilter{})
		if m.Len() == 0 {
			if page.title != "No hosts yet" {
				t.Errorf("no hosts are %q", page.title)
			}
			return
		}
		all, sum := page.tabs["All"].n, 0
		for name, tab := range page.tabs {
			if name != "All" && name != "Needs attention" {
				sum += tab.n
			}
			if there := at(tab.url); there.listed != tab.n || there.rows != min(tab.n, views.PageSize) {
				t.Errorf("the tab %q says %d, and its list has %d in %d rows", name, tab.n, there.listed, there.rows)
			}
		}
		if all != m.Len() || sum != all || page.listed != all || page.nav != all || page.protected[1] != all {
			t.Errorf("%d hosts: the tab All says %d, the others add up to %d, the list has %d, the navigation %d, and %d can be protected",
				m.Len(), all, sum, page.listed, page.nav, page.protected[1])
		}
		if page.protected[0] != page.tabs["Protected"].n {
			t.Errorf("%d are protected, and the tab says %d", page.protected[0], page.tabs["Protected"].n)
		}
		trouble := 0
		for link, c := range page.causes {
			if trouble += c.hosts; c.named+c.more != c.hosts {
				t.Errorf("%s: of %d hosts %d are named and %d more", link, c.hosts, c.named, c.more)
			}
			if !strings.HasPrefix(link, "/hosts/") {
				if there := at(link); there.listed != c.hosts {
					t.Errorf("%s: %d hosts, and the list has %d", link, c.hosts, there.listed)
				}
			}
		}
		if page.attention != trouble || trouble != page.tabs["Needs attention"].n {
			t.Errorf("%d need attention, %d are listed by cause, and the tab says %d", page.attention, trouble, page.tabs["Needs attention"].n)
		}
		said := regexp.MustCompile(`(\d+) hosts? needs? attention`).FindStringSubmatch(page.title + page.text)
		if trouble > 0 && (said == nil || figure(said[1]) != trouble) || trouble == 0 && said != nil {
			t.Errorf("%d need attention, and the first line says %q %q", trouble, page.title, page.text)
		}
		if text, _, _ := strings.Cut(page.text, "."); m.Silent == nil && trouble > 0 && !strings.HasPrefix(text, "No other") &&
			sumOf(text) != all-trouble {
			t.Errorf("%d of %d are in no trouble, and the first line says %q", all-trouble, all, text)
		}
		if page.agents != m.Online {
			t.Errorf("%d agents are connected, the page says %d", m.Online, page.agents)
		}
		open := m.Open()
		runs := len(slices.DeleteFunc(slices.Clone(open), func(j store.Job) bool { return j.State != topics.Running }))
		if page.running != [2]int{runs, runs} || page.waiting != [2]int{len(open) - runs, len(open) - runs} {
			t.Errorf("%d run and %d wait; the page says %v and %v", runs, len(open)-runs, page.running, page.waiting)
		}
		if m.Silent != nil {
			if n := figure(strings.Split(page.title, " ")[0]); n != m.Silent.Hosts || at("/?connection=offline").listed != m.Offline {
				t.Errorf("%d went silent together, and the page says %q", m.Silent.Hosts, page.title)
			}
		}
	})
}
