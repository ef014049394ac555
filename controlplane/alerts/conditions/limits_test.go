package conditions

import (
	"errors"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func TestTheNearestThresholdCounts(t *testing.T) {
	limit := func(scope, subject string, value int64) Limit {
		return Limit{Condition: HostOffline, Scope: scope, Subject: subject, Value: value}
	}
	fleet, web, db, own := limit(ScopeFleet, "", 100), limit(ScopeTag, "web", 200), limit(ScopeTag, "db", 300), limit(ScopeHost, "attic", 400)
	off := Limit{Condition: HostOffline, Scope: ScopeTag, Subject: "web", Off: true}
	other := Limit{Condition: Overdue, Scope: ScopeHost, Subject: "attic", Value: 5}
	for _, c := range []struct {
		what  string
		l     Limits
		host  topics.HostID
		tags  []string
		value int64
		off   bool
		from  string
	}{
		{"none", Limits{other}, "attic", []string{"web"}, hour / 2, false, ""},
		{"the fleet's", Limits{fleet}, "attic", nil, 100, false, "the fleet"},
		{"the tag's", Limits{fleet, web}, "attic", []string{"web"}, 200, false, "the tag web"},
		{"the tag's, in another order", Limits{web, fleet}, "attic", []string{"web"}, 200, false, "the tag web"},
		{"a tag that it has not", Limits{fleet, web}, "attic", []string{"db"}, 100, false, "the fleet"},
		{"the strictest of two tags", Limits{db, web}, "attic", []string{"db", "web"}, 200, false, "the tag web"},
		{"one that is off is the least strict", Limits{off, db}, "attic", []string{"db", "web"}, 300, false, "the tag db"},
		{"off alone", Limits{fleet, off}, "attic", []string{"web"}, hour / 2, true, "the tag web"},
		{"the host's", Limits{web, own, fleet}, "attic", []string{"web"}, 400, false, "this host"},
		{"another host's", Limits{own}, "barn", nil, hour / 2, false, ""},
		{"what has no host goes by the fleet", Limits{fleet, web, own}, "", nil, 100, false, "the fleet"},
	} {
		known, _ := Of(HostOffline)
		value, off, from := c.l.Of(known, c.host, c.tags)
		if value != c.value || off != c.off || from != c.from {
			t.Errorf("%s: %d, %t, %q; want %d, %t, %q", c.what, value, off, from, c.value, c.off, c.from)
		}
	}
	size, _ := Of(SizeAnomaly) // the larger tells earlier
	l := Limits{{Condition: SizeAnomaly, Scope: ScopeTag, Subject: "a", Value: 30},
		{Condition: SizeAnomaly, Scope: ScopeTag, Subject: "b", Value: 70}}
	if value, _, _ := l.Of(size, "attic", []string{"a", "b"}); value != 70 {
		t.Errorf("of 30 %% and 70 %%: %d", value)
	}
}

func TestThresholdsThatCannotBeAreRefused(t *testing.T) {
	there := func(id topics.HostID) bool { return id == "attic" }
	for _, c := range []struct {
		what string
		l    Limits
		says string // "" is that it is fine
	}{
		{"a span", Limits{{Condition: HostOffline, Scope: ScopeFleet, Value: 3600}}, ""},
		{"off", Limits{{Condition: Twins, Scope: ScopeHost, Subject: "attic", Off: true}}, ""},
		{"the fleet's of a repository", Limits{{Condition: RepositoryLocked, Scope: ScopeFleet, Value: hour}}, ""},
		{"no such condition", Limits{{Condition: "rain", Scope: ScopeFleet, Value: 1}}, "There is no condition"},
		{"no such host", Limits{{Condition: HostOffline, Scope: ScopeHost, Subject: "barn", Value: 3600}}, "There is no host"},
		{"a hostile tag is named as it is", Limits{{Condition: HostOffline, Scope: "\x1b[31m", Value: 3600}}, "none of them"},
		{"no tag", Limits{{Condition: HostOffline, Scope: ScopeTag, Value: 3600}}, "Name the tag"},
		{"a repository's of a tag", Limits{{Condition: RepositoryLocked, Scope: ScopeTag, Subject: "web", Value: hour}}, "for the fleet only"},
		{"too short", Limits{{Condition: HostOffline, Scope: ScopeFleet, Value: 1}}, "between 1 min and"},
		{"a percentage beyond all", Limits{{Condition: SizeAnomaly, Scope: ScopeFleet, Value: 100}}, "between 1 % and 99 %"},
		{"a value where there is none", Limits{{Condition: Twins, Scope: ScopeFleet, Value: 3}}, "has no threshold"},
		{"nothing said", Limits{{Condition: Twins, Scope: ScopeFleet}}, "has no threshold"},
		{"twice", Limits{{Condition: HostOffline, Scope: ScopeFleet, Value: 3600}, {Condition: HostOffline, Scope: ScopeFleet, Value: 60}},
			"two thresholds"},
	} {
		err := c.l.Check(there)
		wrong := (*WrongLimit)(nil)
		switch {
		case c.says == "" && err != nil, c.says != "" && (!errors.As(err, &wrong) || !strings.Contains(wrong.Say, c.says)):
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		case err != nil && strings.Contains(err.Error(), "\x1b"):
			t.Errorf("%s: it is said raw: %q", c.what, err)
		}
	}
}
