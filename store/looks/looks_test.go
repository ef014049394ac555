package looks

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/topics"
)

// Each end of a job says this of its repository, and its neighbour something else.
func TestWhatTheEndOfAJobSaysOfItsRepository(t *testing.T) {
	failed := func(k topics.JobKind, c topics.Cause) Ended { return Ended{Kind: k, State: topics.Failed, Cause: c} }
	ended := func(k topics.JobKind, s topics.JobState) Ended { return Ended{Kind: k, State: s} }
	listed := func(k topics.JobKind, count int, whole bool) Ended {
		return Ended{Kind: k, State: topics.Succeeded, Result: &topics.Result{Count: count}, Whole: whole}
	}
	wet := ended(topics.PruneJob, topics.Succeeded)
	dry := wet
	dry.Operation = &topics.Operation{DryRun: true}
	unstarted := failed(topics.BackupJob, topics.CausePermission)
	unstarted.Message = "start restic: permission denied"
	for _, c := range []struct {
		is   string
		of   Ended
		want []Said
	}{
		{"a backup", ended(topics.BackupJob, topics.Succeeded), []Said{{Open, ""}, {Write, ""}}},
		{"an incomplete backup", ended(topics.BackupJob, topics.Warnings), []Said{{Open, ""}, {Write, ""}}},
		{"a restore", ended(topics.RestoreJob, topics.Succeeded), []Said{{Open, ""}}},
		{"a prune", wet, []Said{{Open, ""}, {Write, ""}, {Locks, ""}}},
		{"a prune that only says what it would do", dry, []Said{{Open, ""}, {Locks, ""}}},
		{"a check", ended(topics.CheckJob, topics.Succeeded), []Said{{Open, ""}, {Locks, ""}, {Check, ""}}},
		{"a check that found damage", failed(topics.CheckJob, topics.CauseDamaged),
			[]Said{{Open, ""}, {Locks, ""}, {Check, topics.CauseDamaged}}},
		{"a backup that met damage", failed(topics.BackupJob, topics.CauseDamaged), nil},
		{"a listing of all snapshots", listed(topics.SnapshotsJob, 3, true), []Said{{Open, ""}, {List, ""}}},
		{"a listing of which parts are missing", listed(topics.SnapshotsJob, 3, false), []Said{{Open, ""}}},
		{"a listing of the keys", listed(topics.KeyJob, 1, true), []Said{{Open, ""}, {Keys, ""}}},
		{"no lock", listed(topics.LocksJob, 0, true), []Said{{Open, ""}, {Locks, ""}}},
		{"a lock", listed(topics.LocksJob, 1, true), []Said{{Open, ""}}},
		{"wrong password", failed(topics.BackupJob, topics.CausePassword), []Said{{Open, topics.CausePassword}}},
		{"gone", failed(topics.KeyJob, topics.CauseNoRepository), []Said{{Open, topics.CauseNoRepository}}},
		{"never there", Ended{Kind: topics.KeyJob, State: topics.Failed, Cause: topics.CauseNoRepository,
			Message: "no config file. " + topics.NeverThere}, nil},
		{"the sources are gone", failed(topics.BackupJob, topics.CauseSourceMissing), nil},
		{"unreachable", failed(topics.BackupJob, topics.CauseUnreachable), []Said{{Open, topics.CauseUnreachable}}},
		{"certificate", failed(topics.BackupJob, topics.CauseCertificate), []Said{{Open, topics.CauseCertificate}}},
		{"credentials", failed(topics.BackupJob, topics.CauseCredentials), []Said{{Open, topics.CauseCredentials}}},
		{"it may not be deleted from", failed(topics.ForgetJob, topics.CauseAppendOnly), nil},
		{"its folder is closed", failed(topics.BackupJob, topics.CausePermission), []Said{{Open, topics.CausePermission}}},
		{"the target of a restore is closed", failed(topics.RestoreJob, topics.CausePermission), nil},
		{"restic itself is closed", unstarted, nil},
		{"locked", failed(topics.BackupJob, topics.CauseLocked), []Said{{Open, ""}, {Write, topics.CauseLocked}}},
		{"full", failed(topics.BackupJob, topics.CauseDiskFull), []Said{{Write, topics.CauseDiskFull}}},
		{"the target of a restore is full", failed(topics.RestoreJob, topics.CauseDiskFull), nil},
		{"the host itself is full", failed(topics.BackupJob, topics.CauseHostDisk), nil},
		{"stalled on the way", failed(topics.BackupJob, topics.CauseStalled), nil},
		{"stalled before a word", Ended{Kind: topics.BackupJob, State: topics.Failed, Cause: topics.CauseStalled,
			Message: "restic did nothing. " + topics.NeverAWord}, []Said{{Open, topics.CauseStalled}}},
		{"forbidden by the host", failed(topics.BackupJob, topics.CausePolicy), nil},
		{"a hook", failed(topics.BackupJob, topics.CauseHook), nil},
		{"anything else", failed(topics.BackupJob, topics.CauseUnknown), nil},
		{"cancelled", ended(topics.BackupJob, topics.Cancelled), nil},
		{"never begun", ended(topics.BackupJob, topics.Abandoned), nil},
		{"interrupted", ended(topics.BackupJob, topics.Interrupted), nil},
	} {
		if got := Says(c.of); !slices.Equal(got, c.want) {
			t.Errorf("%s says %v, want %v", c.is, got, c.want)
		}
	}
}

// A host without a name server or a network says nothing of the repository.
func TestAHostsOwnNetworkIsNotTheRepositorys(t *testing.T) {
	for message, shut := range map[string]bool{
		"dial tcp: lookup nas on 127.0.0.53:53: server misbehaving":                                        false,
		"dial tcp: lookup nas: Temporary failure in name resolution":                                       false,
		"subprocess ssh: ssh: Could not resolve hostname nas: Temporary failure in name resolution":        false,
		"dial tcp: lookup nas on 192.0.2.53:53: read udp 192.0.2.1:3->192.0.2.53:53: i/o timeout":          false,
		"dial tcp: lookup nas on [::1]:53: read udp [::1]:3->[::1]:53: read: connection refused":           false,
		"dial tcp 192.0.2.9:443: connect: network is unreachable":                                          false,
		"dial tcp: lookup nas on 127.0.0.53:53: no such host":                                              true,
		"subprocess ssh: ssh: Could not resolve hostname nas: Name or service not known":                   true,
		"dial tcp 192.0.2.9:443: i/o timeout":                                                              true,
		"dial tcp 192.0.2.9:53: connect: connection refused":                                               true,
		"write /srv/repo/data/00/x: stale NFS file handle":                                                 true,
		"the repository's server cannot be reached: dial tcp 192.0.2.9:443: connect: no route to the host": true,
	} {
		e := Ended{Kind: topics.BackupJob, State: topics.Failed, Cause: topics.CauseUnreachable, Message: message}
		if got := len(Says(e)) > 0; got != shut {
			t.Errorf("%q stands against the repository: %t", message, got)
		}
	}
}

// Every failure is known to say something, or nothing.
func TestEveryCauseIsJudged(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../topics/job.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 || fmt.Sprint(spec.Type) != "Cause" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if _, known := blames[topics.Cause(text)]; !known && text != "" {
			t.Errorf("nobody decided what %q says of a repository", text)
		}
		return true
	})
	if n < 20 {
		t.Errorf("found %d causes, want all of topics", n)
	}
}

func TestDamageIsClearedByAChecksAsLarge(t *testing.T) {
	for _, c := range []struct {
		found Scope
		clean []Scope
		want  bool
	}{
		{Structure, []Scope{Structure}, true},
		{Structure, []Scope{"1/12"}, true},
		{All, []Scope{Structure}, false},
		{All, []Scope{"1/12"}, false},
		{All, []Scope{All}, true},
		{All, []Scope{"1/3", "2/3"}, false},
		{All, []Scope{"1/3", "3/3", "2/3"}, true},
		{All, []Scope{"1/2", "2/4"}, false},
		{All, []Scope{"1/2", "2/4", "4/4"}, true},
		{"3/12", []Scope{Structure}, false},
		{"3/12", []Scope{"1/12"}, false},
		{"3/12", []Scope{"3/12"}, true},
		{"3/12", []Scope{"3/4"}, true},
		{"3/12", []Scope{"3/24"}, false},
		{"3/12", []Scope{"3/24", "15/24"}, true},
		{"3/12", []Scope{All}, true},
		{"13/12", []Scope{"1/12"}, false},
	} {
		if got := c.found.Covered(c.clean); got != c.want {
			t.Errorf("damage in %s after clean checks of %v is cleared: %t, want %t", c.found, c.clean, got, c.want)
		}
	}
}

// Whatever two scopes are joined to holds both, and a scope holds another exactly if
// every pack of that is in it.
func TestScopesAreSetsOfPacks(t *testing.T) {
	packs := func(s Scope) (in [240]bool) {
		n, of := s.slice()
		for i := range in {
			in[i] = of > 0 && i%of == n-1
		}
		return in
	}
	holds := func(a, b Scope) bool {
		big, small := packs(a), packs(b)
		for i := range big {
			if small[i] && !big[i] {
				return false
			}
		}
		return true
	}
	rapid.Check(t, func(t *rapid.T) {
		scope := rapid.SampledFrom([]Scope{Structure, All, "1/1", "1/2", "2/2", "1/3", "3/3", "1/4", "2/4",
			"3/4", "4/4", "2/5", "5/6", "3/12", "7/12"})
		a, b := scope.Draw(t, "a"), scope.Draw(t, "b")
		if got, want := a.holds(b), holds(a, b); got != want {
			t.Errorf("%s holds %s: %t, want %t", a, b, got, want)
		}
		if j := a.join(b); !j.holds(a) || !j.holds(b) {
			t.Errorf("%s and %s are joined to %s", a, b, j)
		}
	})
}

func TestALookThatIsReportedLateChangesNothingNewer(t *testing.T) {
	good := Look{}.After("", "", 100)
	if late := good.After(topics.CausePassword, "job", 90); late != good {
		t.Errorf("a trouble of before makes a good look %+v", late)
	}
	bad := good.After(topics.CausePassword, "job", 110)
	if again := bad.After(topics.CausePassword, "job", 120); again.BadSince != 110 || again.BadAt != 120 {
		t.Errorf("the same trouble again is %+v", again)
	}
	if other := bad.After(topics.CauseNoRepository, "job", 120); other.BadSince != 120 {
		t.Errorf("another trouble began %+v", other)
	}
	if late := bad.After("", "", 105); late.GoodAt != 105 || late.BadSince != 110 {
		t.Errorf("a good look of before the trouble makes it %+v", late)
	}
	if mended := bad.After("", "", 130); mended.BadSince != 0 || mended.Cause != "" || mended.GoodAt != 130 {
		t.Errorf("mended, it is %+v", mended)
	}
}
