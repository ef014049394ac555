// Package firststeps is the road from an empty control plane to a first host that is proven
// restorable: eight steps, and how far each of them is. Nothing is kept of that: it follows
// from what there is, so whoever comes back, or comes second, sees the same, and a step that
// was done by the API or the command line is done.
package firststeps

import (
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/knock"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/store/drills"
	rows "github.com/restic-manager/restic-manager/store/firststeps"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Key names a step.
type Key string

// Keys are the steps in their order.
const (
	Account    Key = "account"
	Address    Key = "address"
	Repository Key = "repository"
	Host       Key = "host"
	Plan       Key = "plan" // folders and schedule
	Backup     Key = "backup"
	Proof      Key = "proof"
	Kit        Key = "kit"
)

// Keys are the steps in their order.
var Keys = []Key{Account, Address, Repository, Host, Plan, Backup, Proof, Kit}

// A State is how far a step is.
type State string

// States of a step.
const (
	Done   State = "done"
	Open   State = "open"   // it can be done now
	Works  State = "works"  // it is being done, and nobody has to do anything
	Failed State = "failed" // it was tried
	Later  State = "later"  // another one comes before it
)

// A Step is one of the road.
type Step struct {
	Key   Key
	State State
	Say   string // how it is, in a sentence
	Doubt string // what is not as it should be although it is done
	// Host, Group and Job are what it is about, as far as there is one.
	Host  topics.HostID
	Group string // the source group that needs a schedule; "" needs to be made first
	Job   topics.JobID
}

// A Road is all steps. Hidden is that somebody wants to see it no more.
type Road struct {
	Steps    []Step
	Done     int
	Hidden   bool
	HiddenBy string
}

// Next is the first step that waits for a person, or is being done; nil if all are done.
func (r Road) Next() *Step {
	for i := range r.Steps {
		if r.Steps[i].State != Done {
			return &r.Steps[i]
		}
	}
	return nil
}

// Over reports whether nothing is left, or nobody wants to see it.
func (r Road) Over() bool { return r.Hidden || r.Done == len(r.Steps) }

// Facts are what there is.
type Facts struct {
	rows.Facts
	Address reach.Address
	Looks   reach.Looks
	Pages   string         // where people find the pages; "" is not said
	Hosts   []*fleet.Entry // by name; those that are retired or not trusted do not count
}

// Of judges how far the steps are. Whoever asks is signed in, so there is an account.
func Of(f Facts) Road {
	r := Road{Hidden: f.HiddenAt > 0, HiddenBy: f.HiddenBy}
	live := f.live()
	for _, s := range []Step{
		{Key: Account, State: Done, Say: "Whoever has an account can sign in; others are added on the page Users."},
		f.address(), f.repository(), f.host(live), plan(live), backup(live), proof(live), f.kit(),
	} {
		if s.State == Done {
			r.Done++
		}
		r.Steps = append(r.Steps, s)
	}
	return r
}

// live are the hosts that count.
func (f Facts) live() (list []*fleet.Entry) {
	for _, h := range f.Hosts {
		if h.RetiredAt == 0 && h.RevokedAt == 0 {
			list = append(list, h)
		}
	}
	return list
}

func (f Facts) address() Step {
	s := Step{Key: Address, State: Open, Say: f.Address.Say}
	if !f.Address.Known {
		return s
	}
	s.State, s.Say = Done, "Agents dial "+f.Address.Dial+"."
	if f.Pages != "" {
		s.Say += " People find the pages at " + f.Pages + "."
	} else {
		s.Doubt = "Nobody has said where people find the pages: messages have no links, and the line that installs an agent is longer."
	}
	for _, l := range []reach.Look{f.Looks.Pages, f.Looks.Agents} {
		if l.Verdict != "" && l.Verdict != knock.Here {
			s.Doubt = l.Say
		}
	}
	return s
}

func (f Facts) repository() Step {
	if f.Repositories == 0 {
		return Step{Key: Repository, State: Open, Say: "A repository is where restic keeps what it saves: a server, a bucket, or a disk of " +
			"the host."}
	}
	s := Step{Key: Repository, State: Done, Say: "Backups go to " + f.RepositoryName + "."}
	if f.Repositories > 1 {
		s.Say = "There are " + words.Number(uint64(f.Repositories)) + " repositories."
	}
	return s
}

func (f Facts) host(live []*fleet.Entry) Step {
	for _, h := range live {
		if !h.Never {
			return Step{Key: Host, State: Done, Host: h.ID, Say: hostsSay(live, h)}
		}
	}
	if len(live) > 0 {
		return Step{Key: Host, State: Works, Host: live[0].ID, Say: live[0].Name + " is enrolled, and its agent has not connected yet."}
	}
	for _, h := range f.Hosts {
		if h.RetiredAt == 0 { // not trusted: it waits for approval, or was revoked
			return Step{Key: Host, State: Open, Host: h.ID, Say: h.Name + " is not trusted yet. Approve it, or add another host."}
		}
	}
	return Step{Key: Host, State: Open, Say: "One command on the machine installs the agent and proves who it is."}
}

func hostsSay(live []*fleet.Entry, h *fleet.Entry) string {
	if len(live) > 1 {
		return "There are " + words.Number(uint64(len(live))) + " hosts."
	}
	if h.Connection == hosts.Online {
		return h.Name + " is connected."
	}
	return h.Name + " was connected, and is not now."
}

// plan is done as soon as a source group is in a schedule that is on.
func plan(live []*fleet.Entry) Step {
	s := Step{Key: Plan, State: Later, Say: "Which folders of the host are backed up, and when."}
	for _, h := range live {
		if h.Never {
			continue
		}
		if s.State == Later {
			s.State, s.Host = Open, h.ID
			s.Say = "Say which folders of " + h.Name + " are backed up, and when."
		}
		for _, g := range h.Groups {
			for _, sc := range g.Schedules {
				if sc.Enabled {
					return Step{Key: Plan, State: Done, Host: h.ID, Group: g.Name, Say: h.Name + " backs up " + g.Name + " by the schedule " +
						sc.Name + "."}
				}
			}
			if s.Group == "" {
				s.Host, s.Group = h.ID, g.Name
				s.Say = g.Name + " of " + h.Name + " is chosen. It is backed up only when somebody asks, until it is in a schedule."
			}
		}
	}
	return s
}

func backup(live []*fleet.Entry) Step {
	s := Step{Key: Backup, State: Later, Say: "The first backup, live. It makes the repository, if nothing is there yet."}
	for _, h := range live {
		if h.LastGood > 0 {
			return Step{Key: Backup, State: Done, Host: h.ID, Job: h.LastBackup.Job, Say: h.Name + " has a good backup."}
		}
		if len(h.Groups) == 0 || h.Never {
			continue
		}
		if s.State == Later {
			s.State, s.Host, s.Say = Open, h.ID, "Start the first backup of "+h.Name+", and watch it. It makes the repository, if nothing is "+
				"there yet."
		}
		for _, j := range h.Open {
			if j.Kind == topics.BackupJob && s.State != Works {
				s = Step{Key: Backup, State: Works, Host: h.ID, Job: j.ID, Say: "The first backup of " + h.Name + " waits or runs."}
			}
		}
		if s.State == Open && h.LastBackup.Job != "" {
			s = Step{Key: Backup, State: Failed, Host: h.ID, Job: h.LastBackup.Job,
				Say: "The backup of " + h.Name + " did not come to a good end. " + h.Reason}
		}
	}
	return s
}

func proof(live []*fleet.Entry) Step {
	s := Step{Key: Proof, State: Later, Say: "A backup that nobody restored is a hope: some of it is restored, compared by its hashes, and " +
		"removed again."}
	for _, h := range live {
		if h.Proof.At > 0 && h.Proof.Word != drills.Disproved {
			return Step{Key: Proof, State: Done, Host: h.ID, Job: h.Proof.Job, Say: h.Name + " is proven restorable."}
		}
		if h.LastGood == 0 {
			continue
		}
		if s.State == Later {
			s.State, s.Host = Open, h.ID
		}
		for _, j := range h.Open {
			if j.Kind == topics.DrillJob && s.State != Works {
				s = Step{Key: Proof, State: Works, Host: h.ID, Job: j.ID, Say: "A restore of " + h.Name + " is being tried and compared."}
			}
		}
		if h.Proof.Word == drills.Disproved && s.State == Open {
			s = Step{Key: Proof, State: Failed, Host: h.ID, Job: h.Proof.Job, Say: h.Proof.Why}
		}
	}
	return s
}

func (f Facts) kit() Step {
	s := Step{Key: Kit, State: Open, Say: "One page to print: passwords and commands with which the data comes back with restic alone, " +
		"without this server."}
	switch {
	case f.Repositories == 0:
		s.State = Later
	case f.KitAt > 0:
		s.State, s.Say = Done, "An emergency kit was shown to "+f.KitBy+". Keep it where neither the hosts nor this server are."
	}
	return s
}
