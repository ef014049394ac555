package protocol

import (
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/topics"
)

// A Lane is the stream of one of the machines that use a host's identity at once.
// While there are such, a host has no stream but its lanes: each machine's journal has
// an epoch of its own, its events are numbered and receipted by themselves, and what
// one does not know of a job is no news about the other. Nothing is sent to either.
//
// When it was decided who stays, its lane becomes the host's stream again, and the
// other lanes are refused: what comes in them counts no more.
type Lane struct {
	Received topics.Received // the lane's epoch, and its place
	Instance string          // the process that was heard in it last, "" of an older agent
	Greeted  bool            // a hello came in it
	Jobs     []topics.JobID  // in the machine's hands, as it has said
	Refused  bool            // another machine stays
}

func (l Lane) has(id topics.JobID) bool { return slices.Contains(l.Jobs, id) }

// Open reports whether it is not decided yet which of a host's machines stays.
func Open(lanes []Lane) bool {
	return slices.ContainsFunc(lanes, func(l Lane) bool { return !l.Refused })
}

// InLane returns the lane of an epoch.
func InLane(lanes []Lane, epoch int64) (Lane, bool) {
	i := slices.IndexFunc(lanes, func(l Lane) bool { return l.Received.Epoch == epoch })
	if i < 0 {
		return Lane{}, false
	}
	return lanes[i], true
}

// Inputs and effects of two machines with one identity.
type (
	// TwinsFound: two machines were noticed. The host's stream so far is that of the
	// process that was welcomed last.
	TwinsFound struct {
		Host topics.HostID
		Sighting
	}
	// Born: a machine began a session of a host that has lanes. Known is the highest
	// session of the host that was heard before, Last that of this epoch; Gone says that
	// the process which had it has ended.
	Born struct {
		Host topics.HostID
		Sighting
		Known, Last topics.Session
		Gone        bool
	}
	// TwinsDecided: a person said whose lane is the host's, by its epoch.
	TwinsDecided struct {
		Host  topics.HostID
		Epoch int64
		By    string
		Now   int64
	}

	// Greet answers a birth: the welcome for this session. If Known is set, it makes the
	// agent begin a new epoch.
	Greet struct {
		Host topics.HostID
		Sighting
		Received topics.Received
		Known    topics.Session
		Refused  bool
	}
)

func (TwinsFound) planeInput()   {}
func (Born) planeInput()         {}
func (TwinsDecided) planeInput() {}
func (Greet) planeEffect()       {}

// twinsFound makes the host's stream the first lane.
func (s *planeStep) twinsFound(in TwinsFound) error {
	lanes, err := s.tx.Lanes(in.Host)
	if err != nil || Open(lanes) {
		return err
	}
	place, err := s.tx.Received(in.Host)
	if err != nil {
		return err
	}
	if in.Session.Epoch > place.Epoch { // its journal is a new one, of which nothing has come yet
		if err := s.renewed(in.Host, place); err != nil {
			return err
		}
		place = topics.Received{Epoch: in.Session.Epoch}
	}
	return s.tx.PutLane(in.Host, Lane{Received: place, Instance: in.Instance})
}

// born answers a machine's birth. A machine whose epoch belongs to another process,
// which may live, or of which nobody knows how far it was heard, begins a new epoch:
// then the two journals, which have a past in common, are told apart.
func (s *planeStep) born(in Born) error {
	lanes, err := s.tx.Lanes(in.Host)
	if err != nil {
		return err
	}
	lane, there := InLane(lanes, in.Session.Epoch)
	switch {
	case there && lane.Refused:
		s.do(Greet{Host: in.Host, Sighting: in.Sighting, Received: lane.Received, Refused: true})
		return nil
	case there && in.Session.After(in.Last) && (in.Gone || lane.Instance == in.Instance):
		lane.Instance = in.Instance
	case there || in.Session.Epoch <= in.Known.Epoch:
		known := in.Known
		if !known.After(in.Session) {
			known = topics.Session{Epoch: in.Session.Epoch, N: in.Session.N + 1}
		}
		for _, l := range lanes {
			known.Epoch = max(known.Epoch, l.Received.Epoch)
		}
		s.do(Greet{Host: in.Host, Sighting: in.Sighting, Received: topics.Received{Epoch: in.Session.Epoch}, Known: known})
		return nil
	default:
		lane = Lane{Received: topics.Received{Epoch: in.Session.Epoch}, Instance: in.Instance}
	}
	s.do(Greet{Host: in.Host, Sighting: in.Sighting, Received: lane.Received})
	return s.tx.PutLane(in.Host, lane)
}

// inLane handles events of one of several machines. What belongs to no lane is
// dropped: its machine has not been welcomed, and will send it again.
func (s *planeStep) inLane(in Arrived, lanes []Lane) error {
	lane, there := InLane(lanes, in.Events.Epoch)
	if !there || lane.Refused {
		return nil
	}
	s.lane, s.others = &lane, slices.DeleteFunc(slices.Clone(lanes), func(l Lane) bool {
		return l.Refused || l.Received.Epoch == lane.Received.Epoch
	})
	defer func() { s.lane, s.others = nil, nil }()
	got, err := s.events(in, lane.Received)
	if err != nil {
		return err
	}
	lane.Received = got
	s.do(SendReceipt{in.Host, got})
	return s.tx.PutLane(in.Host, lane)
}

// elsewhere reports whether another machine may have the job in its hands.
func (s *planeStep) elsewhere(id topics.JobID) bool {
	return slices.ContainsFunc(s.others, func(l Lane) bool { return l.has(id) || !l.Greeted })
}

// takes notes that the machine has a job in its hands, or no longer.
func (s *planeStep) takes(id topics.JobID, has bool) {
	if s.lane == nil {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(s.lane.Jobs), func(j topics.JobID) bool { return j == id })
	if has {
		rest = append(rest, id)
	}
	s.lane.Jobs = rest
}

// twinsDecided makes one lane the host's stream, and refuses the others. What only they
// had in hand ends here: nobody will be heard about it.
func (s *planeStep) twinsDecided(in TwinsDecided) error {
	lanes, err := s.tx.Lanes(in.Host)
	if err != nil {
		return err
	}
	stays, there := InLane(lanes, in.Epoch)
	if !there || stays.Refused {
		return fmt.Errorf("host %s has no machine with the epoch %d", in.Host, in.Epoch)
	}
	if err := s.tx.SetReceived(in.Host, stays.Received); err != nil {
		return err
	}
	lost := map[topics.JobID]bool{}
	for _, l := range lanes {
		for _, id := range l.Jobs {
			lost[id] = lost[id] || !stays.has(id)
		}
		if l.Received.Epoch == in.Epoch {
			continue
		}
		l.Refused, l.Jobs = true, nil
		if err := s.tx.PutLane(in.Host, l); err != nil {
			return err
		}
	}
	if err := s.tx.DropLane(in.Host, in.Epoch); err != nil {
		return err
	}
	jobs, err := s.tx.Open(in.Host)
	for _, j := range jobs {
		switch {
		case err != nil:
		case lost[j.ID] && j.State != topics.Queued:
			err = s.finish(j, topics.Finished{Job: j.ID, State: topics.Interrupted, Cause: topics.CauseTwins, Lines: j.Lines,
				Message: "It ran on a machine that had the identity of this host. " + in.By + " decided that another machine stays in its place; " +
					"how the job ended is not known."}, in.Now)
		case j.State == topics.Dispatched && !j.Accepted && j.NextSend != 0:
			j.NextSend = 0
			err = s.tx.PutJob(j)
		}
	}
	s.do(Stir{})
	return err
}
