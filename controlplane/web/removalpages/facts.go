package removalpages

import (
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// listed is some names in a sentence, the first few of many; none for no names.
func listed(names []string, none string) string {
	const most = 8
	switch more := len(names) - most; {
	case len(names) == 0:
		return none
	case more > 0:
		return strings.Join(names[:most], ", ") + " and " + words.Number(uint64(more)) + " more"
	}
	return strings.Join(names, ", ")
}

func snapshots(e removal.Effects) string {
	if e.Snapshots == 0 {
		return "it has none"
	}
	return words.Count(uint64(e.Snapshots), "snapshot stays", "snapshots stay") + " where they are: " + listed(e.Into, "in its repository")
}

// waiting says what becomes of jobs.
func waiting(e removal.Effects, running string) string {
	var said []string
	if e.Running > 0 {
		said = append(said, words.Count(uint64(e.Running), "job runs", "jobs run")+": "+running)
	}
	if e.Queued > 0 {
		said = append(said, words.Count(uint64(e.Queued), "job waits and is cancelled", "jobs wait and are cancelled"))
	}
	return listed(said, "none runs or waits") + ". Records and logs of earlier ones can still be read."
}

func ofHost(e removal.Effects) []views.Fact {
	pending := "none"
	if e.Pending > 0 {
		pending = words.Count(uint64(e.Pending), "run is", "runs are") + " dropped"
	}
	trust := "refused from now on, and its connection is closed within 5 seconds"
	if !e.Trusted {
		trust = "was revoked already"
	}
	if e.Waits {
		trust = "was never approved"
	}
	return []views.Fact{
		{Name: "Source groups", Value: listed(e.Groups, "none")},
		{Name: "Schedules", Value: listed(e.Schedules, "none") + ". They are removed from here; the agent goes by its own copy until it is " +
			"stopped on the machine."},
		{Name: "Missed runs", Value: pending},
		{Name: "Snapshots", Value: snapshots(e)},
		{Name: "Jobs", Value: waiting(e, "it is recorded as interrupted, even if the machine goes on and finishes it")},
		{Name: "Certificate", Value: trust + ". The agent keeps what it has to report until the host is brought back."},
		{Name: "Credentials", Value: "the agent still knows those of its repositories. If the machine is not yours any more, change them there."},
		{Name: "Topics", Value: "its retained MQTT topics are cleared, and consumers see it disappear"},
		{Name: "Name", Value: "it is free for another host. If one takes it, choose another when this one comes back."},
		{Name: "Keeper of", Value: listed(e.KeeperOf, "no repository")},
	}
}

func ofGroup(e removal.Effects) []views.Fact {
	return []views.Fact{
		{Name: "Snapshots", Value: snapshots(e)},
		{Name: "Schedules that go with it", Value: listed(e.Schedules, "none")},
		{Name: "Schedules that go on without it", Value: listed(e.Shared, "none")},
		{Name: "Jobs", Value: waiting(e, "it goes on, and its snapshot counts as one of the removed group")},
		{Name: "On the host", Value: "its agent stops firing it as soon as it has the new schedules"},
	}
}

func ofRepository(e removal.Effects) []views.Fact {
	return []views.Fact{
		{Name: "Source groups", Value: listed(e.Groups, "none backs up into it")},
		{Name: "Snapshots", Value: words.Count(uint64(e.Snapshots), "snapshot stays", "snapshots stay") + " in it; nothing is done to it"},
		{Name: "Secrets", Value: "its password and credentials stay here, sealed, for 30 days, and are erased then. " +
			"Save its emergency kit first."},
		{Name: "Keeper", Value: listed(names(e.Keeper), "it has none") + ". Nothing is forgotten, pruned or checked while it is removed."},
		{Name: "Jobs", Value: waiting(e, "wait for it or cancel it first")},
		{Name: "Name", Value: "it is free for another repository"},
	}
}

func names(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}
