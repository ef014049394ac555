package channels

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/words"
)

// examples are reasons as there may be, where a condition has none of its own.
var examples = map[conditions.Name]string{
	conditions.BackupFailed:   "The repository is locked by another host, for two hours now. Three tries failed.",
	conditions.BackupWarnings: "The last three backups could not read 2 files, among them /var/lib/app/cache.db.",
	conditions.SizeAnomaly:    "The last backup holds 41 GiB; the 30 before it held about 92 GiB.",
	conditions.ChangeAnomaly:  "The last backup changed 184,210 files; the 30 before it changed about 1,200.",
	conditions.HostDisk:       "The disk with the agent's state directory has 12 MiB left.",
}

// exampleNames are the subjects of examples.
var exampleNames = map[alerts.On]string{alerts.OnHost: "example-host", alerts.OnGroup: "example-host · files",
	alerts.OnRepository: "example-repository", alerts.OnChannel: "example channel", alerts.OnPlane: "restic-manager"}

// Example is a message of a test: an alert as the condition would open it, "" for
// backup-failed. It is an error of the field "condition" if there is none of this name.
func (s *Service) Example(ctx context.Context, condition string) (Message, error) {
	if condition == "" {
		condition = string(conditions.BackupFailed)
	}
	c, ok := conditions.Of(conditions.Name(condition))
	if !ok {
		return Message{}, said{"condition": "There is no condition of this name. docs/ALERTS.md lists them."}
	}
	now, link := s.now(), "/alerts"
	if s.PublicURL != nil {
		link = strings.TrimRight(s.PublicURL(ctx), "/") + link
	}
	why := examples[c.Name]
	if why == "" {
		why = "Here the alert says why."
	}
	filled := strings.NewReplacer("{why}", why, "{limit}", limitWords(c), "{name}", exampleNames[c.On])
	name := exampleNames[c.On]
	a := Alert{ID: "example", Condition: condition, Severity: string(c.Severity),
		Subject: Subject{Kind: string(c.On), ID: "example", Name: name},
		Title:   name + ": " + filled.Replace(c.Title), Cause: filled.Replace(c.Cause), Do: filled.Replace(c.Do),
		State: "open", OpenedAt: words.ISO(now.Add(-time.Minute)), SeenAt: words.ISO(now), Count: 1, Link: link}
	return Message{Event: "test", Title: a.Title, Text: "This is a test of this channel, with a made-up alert. Nothing is wrong.",
		Alerts: []Alert{a}, Link: link, At: now.UnixMilli()}, nil
}

// limitWords is a condition's threshold where nobody set one.
func limitWords(c conditions.Condition) string {
	switch c.Measure {
	case conditions.Seconds:
		return words.Duration(time.Duration(c.Default) * time.Second)
	case conditions.Percent:
		return fmt.Sprintf("%d %%", c.Default)
	case conditions.Times:
		return fmt.Sprint(c.Default)
	}
	return ""
}
