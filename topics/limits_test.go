package topics_test

import (
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// Whichever comes first, both limits are kept.
func TestTheStrictestLimitsKeepBoth(t *testing.T) {
	night := topics.Limits{DownloadKiB: 500, From: 60, To: 300, Zone: "UTC"}
	for _, c := range []struct {
		name       string
		a, b, want topics.Limits
	}{
		{"none", topics.Limits{}, topics.Limits{}, topics.Limits{}},
		{"one of them", topics.Limits{}, night, night},
		{"the lower", topics.Limits{UploadKiB: 9, DownloadKiB: 100}, topics.Limits{UploadKiB: 10, DownloadKiB: 50},
			topics.Limits{UploadKiB: 9, DownloadKiB: 50}},
		{"each limits another", topics.Limits{UploadKiB: 9}, topics.Limits{DownloadKiB: 50}, topics.Limits{UploadKiB: 9, DownloadKiB: 50}},
		{"the same hours", night, topics.Limits{DownloadKiB: 100, From: 60, To: 300, Zone: "UTC"},
			topics.Limits{DownloadKiB: 100, From: 60, To: 300, Zone: "UTC"}},
		{"other hours", night, topics.Limits{DownloadKiB: 900, From: 300, To: 600, Zone: "UTC"}, topics.Limits{DownloadKiB: 500}},
		{"hours of another zone", night, topics.Limits{DownloadKiB: 900, From: 60, To: 300, Zone: "Asia/Kathmandu"},
			topics.Limits{DownloadKiB: 500}},
		{"hours that limit nothing", night, topics.Limits{From: 300, To: 600, LowPriority: true},
			topics.Limits{DownloadKiB: 500, From: 60, To: 300, Zone: "UTC", LowPriority: true}},
	} {
		if got := c.a.Strictest(c.b); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if got := c.b.Strictest(c.a); got != c.want {
			t.Errorf("%s, the other way round: %+v, want %+v", c.name, got, c.want)
		}
	}
}
