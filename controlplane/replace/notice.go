package replace

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Reminder says which replacements wait for their decision for too long. It answers from
// memory what the last Look found.
type Reminder struct {
	Store *store.Store

	late atomic.Pointer[[]Waiting]
}

// A Waiting is a host whose replacement waits for its decision for too long.
type Waiting struct {
	Host  topics.HostID
	Name  string
	Since int64 // when the new machine was enrolled
}

// Look reads the replacements that are open.
func (r *Reminder) Look(ctx context.Context) error {
	list, err := r.Store.Replacements(ctx)
	if err != nil {
		return err
	}
	late := []Waiting{}
	for _, x := range list {
		if !Late(x, r.Store.Now()) {
			continue
		}
		h, err := r.Store.Host(ctx, x.Host)
		if err != nil {
			return err
		}
		late = append(late, Waiting{Host: h.ID, Name: h.Name, Since: x.EnrolledAt})
	}
	r.late.Store(&late)
	return nil
}

// Late lists what the last Look found, the longest first.
func (r *Reminder) Late() []Waiting {
	if list := r.late.Load(); list != nil {
		return *list
	}
	return nil
}

// Notices is a source of notices.
func (r *Reminder) Notices(context.Context) []notices.Notice {
	late := r.Late()
	if len(late) == 0 {
		return nil
	}
	var names []string
	for _, w := range late {
		names = append(names, w.Name)
	}
	return []notices.Notice{{ID: "replacement-open", Severity: notices.Warning,
		Say: words.Count(uint64(len(late)), "machine was", "machines were") + " replaced more than 14 days ago, and it is not decided " +
			"what becomes of the files: " + strings.Join(names, ", ") + ". Nothing is backed up there, and nothing is forgotten.",
		Remedy: "Say that the files are restored, or to start without them.",
		Link:   notices.Link{Text: "Open the checklist", URL: "/hosts/" + string(late[0].Host) + "/replacement"}}}
}
