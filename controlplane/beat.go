package controlplane

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/words"
)

// working lists the parts that have to work for the outside heartbeat to say that all is well.
func (p *Plane) working() []heartbeat.Part {
	gate, began := room.NewGate(), time.Now()
	// A part that has not come round since the start, or since its last turn, for this long is stuck.
	turns := func(name string, every time.Duration, turned func() time.Time) heartbeat.Part {
		most := 3*every + time.Minute
		return heartbeat.Part{Name: name, Wrong: func(context.Context) string {
			since := turned()
			if since.IsZero() {
				since = began
			}
			if late := time.Since(since); late > most {
				return "has done nothing for " + words.Span(late)
			}
			return ""
		}}
	}
	up := func(name string, up func() bool) heartbeat.Part {
		return heartbeat.Part{Name: name, Wrong: func(context.Context) string {
			if !up() {
				return "takes no connections"
			}
			return ""
		}}
	}
	return []heartbeat.Part{
		{Name: "The database", Wrong: func(ctx context.Context) string {
			err := gate.Soon(ctx, 10*time.Second, p.Store.Try)
			switch cause := room.Why(err); {
			case err == nil:
				return ""
			case cause != "":
				return "cannot be written: " + string(cause)
			}
			return "cannot be written"
		}},
		up("The agents' broker", p.agents.Up),
		up("The public broker", p.consumers.Up),
		turns("The jobs engine", p.timing.Jobs.Tick, p.Jobs.Turned),
		turns("The runner of schedules", p.timing.Schedule.Tick, p.schedules.Turned),
		turns("The look for alerts", p.timing.Alerts.Every, func() time.Time { return p.alerts.Turned() }),
		turns("The delivery of alerts", p.timing.Delivery.Tick, func() time.Time { return p.queue.Turned() }),
	}
}
