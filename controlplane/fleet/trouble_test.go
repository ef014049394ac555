package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/topics"
)

// Hosts that were last heard of within a few minutes of each other went silent
// together, if they are a tenth of those that are expected to be heard of.
func TestHostsGoSilentTogether(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	offline := func(seconds ...int) (list []Entry) {
		for _, s := range seconds {
			list = append(list, Entry{Connection: hosts.Offline, Gone: at.Add(time.Duration(s) * time.Second).UnixMilli()})
		}
		return list
	}
	mark := func(list []Entry, change func(*Entry)) []Entry {
		for i := range list {
			change(&list[i])
		}
		return list
	}
	for _, c := range []struct {
		what   string
		silent []Entry
		online int
		want   *Silence
	}{
		{"nobody", nil, 30, nil},
		{"a tenth", offline(0, 1, 2), 27, &Silence{3, 30, at.Add(2 * time.Second).UnixMilli()}},
		{"less than a tenth", offline(0, 1, 2), 28, nil},
		{"two of two", offline(0, 1), 0, nil},
		{"all of three", offline(0, 1, 2), 0, &Silence{3, 3, at.Add(2 * time.Second).UnixMilli()}},
		{"one after the other", offline(0, 400, 800, 1200), 20, nil},
		{"just within five minutes", offline(0, 150, 300), 20, &Silence{3, 23, at.Add(300 * time.Second).UnixMilli()}},
		{"just not", offline(0, 150, 301), 20, nil},
		{"and others long before", offline(-90000, -50000, 0, 1, 2), 20, &Silence{3, 25, at.Add(2 * time.Second).UnixMilli()}},
		{"laptops in the evening", mark(offline(0, 1, 2, 3), func(e *Entry) { e.Intermittent = true }), 10, nil},
		{"revoked ones", mark(offline(0, 1, 2, 3), func(e *Entry) { e.RevokedAt = 1 }), 10, nil},
		{"retired ones", mark(offline(0, 1, 2, 3), func(e *Entry) { e.Status = protection.Retired }), 10, nil},
		{"never heard of", mark(offline(0, 1, 2, 3), func(e *Entry) { e.Gone = 0 }), 10, nil},
		{"not known yet", mark(offline(0, 1, 2, 3), func(e *Entry) { e.Connection = hosts.Unknown }), 10, nil},
	} {
		list := c.silent
		for range c.online {
			list = append(list, Entry{Connection: hosts.Online})
		}
		for i := range list {
			if list[i].ID = topics.HostID(fmt.Sprint(i)); list[i].Status == "" {
				list[i].Status = protection.Protected
			}
		}
		got := Of(list...).Silent
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

func TestTroublesAreGroupedByCause(t *testing.T) {
	host := func(name string, s protection.Status, cause string) Entry {
		e := Entry{Verdict: protection.Verdict{Status: s, Cause: cause}}
		e.ID, e.Name = topics.HostID(name), name
		return e
	}
	m := Of(host("a", protection.Late, "offline"), host("b", protection.Overdue, "offline"),
		host("c", protection.Overdue, "missed-slots"),
		host("d", protection.Failed, "locked"), host("e", protection.Protected, ""), host("f", protection.Warning, "unreadable"),
		host("g", protection.Warning, "fewer-files"), host("h", protection.Warning, "fewer-files"),
		host("i", protection.NoBackupYet, "offline"))
	var got string
	for _, t := range m.Troubles() {
		got += fmt.Sprintf("%s %s:", t.Status, t.Cause)
		for _, h := range t.Hosts {
			got += " " + h.Name
		}
		got += "\n"
	}
	want := "failed locked: d\noverdue offline: b a\noverdue missed-slots: c\nwarning fewer-files: g h\nwarning unreadable: f\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if n := m.InTrouble(); n != 7 {
		t.Errorf("%d are in trouble, want 7", n)
	}
	for f, want := range map[Filter]int{{}: 9, {Trouble: true}: 7, {Cause: "offline"}: 2, {Cause: "offline", Status: protection.Late}: 1,
		{Trouble: true, Text: "g"}: 1, {Cause: "nothing"}: 0} {
		if n := m.Count(f); n != want || len(m.Page(f, 0, 99)) != want {
			t.Errorf("%+v finds %d, want %d", f, n, want)
		}
	}
}

// Every cause that is no job's has words of its own.
func TestEveryCauseHasWords(t *testing.T) {
	unknown := CauseWords("anything")
	for _, cause := range []string{protection.CauseSnapshotsGone, protection.CauseAcknowledged, protection.CauseMissing,
		protection.CauseUnreadable, protection.CauseDamaged, protection.CauseOffline, protection.CauseMissedSlots, protection.CauseOverLimit,
		protection.CauseEmpty, protection.CausePartEmpty, protection.CauseCollapsed, protection.CauseFewFiles, protection.CauseIncomplete,
		string(topics.CauseLocked),
		string(topics.CauseUnreachable)} {
		if text := CauseWords(cause); text == "" || text == unknown {
			t.Errorf("%s is told as %q", cause, text)
		}
	}
}
