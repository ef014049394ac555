package jobs

import (
	"cmp"

	"github.com/restic-manager/restic-manager/protocol"
)

// asideWords say what was refused, set aside or cut short, to people.
var asideWords = map[protocol.Aside]string{
	protocol.AsideSchedule: "slots of schedules that the host never had; they added no jobs",
	protocol.AsideSlot:     "slots that its schedules do not have; they added no jobs",
	protocol.AsideFar:      "slots far from now, more than a wrong clock explains; they added no jobs",
	protocol.AsideSame:     "slots that it had begun too often already; they added no jobs",
	protocol.AsideGroup:    "slots of source groups or repositories that are not there any more, or not the host's; they added no jobs",
	protocol.AsideJob:      "events about jobs that are not the host's, or are kept no longer",
	protocol.AsideReport:   "reports of jobs that have none",
	protocol.AsideCut:      "parts of reports beyond what a job may take, 64 MiB; the job's page says so",
	protocol.AsideBroken:   "events that could not be handled, which is a fault; the log of restic-manager has the reason",
	protocol.AsideWait:     "messages that had to wait for the next hour; nothing of them is lost",
	protocol.AsideQueue:    "jobs that a consumer asked for while as many waited as may",
}

// AsideWords says what was refused, set aside or cut short, to people. The reason of a
// message that was refused altogether says it itself.
func AsideWords(reason string) string {
	return cmp.Or(asideWords[protocol.Aside(reason)], "messages refused: "+reason)
}
