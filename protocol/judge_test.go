package protocol

import (
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func TestABackupIsJudgedByWhatItSaved(t *testing.T) {
	end := func(state topics.JobState, cause topics.Cause, files, unread uint64) topics.Finished {
		return topics.Finished{State: state, Cause: cause, Summary: &topics.Summary{TotalFiles: files, Unreadable: unread}}
	}
	leaving := func(what string) topics.Finished {
		f := end(topics.Succeeded, "", 49, 0)
		f.Summary.Own = []topics.Own{{Path: "/srv/x", What: what}}
		return f
	}
	const ok, warned, failed = topics.Succeeded, topics.Warnings, topics.Failed
	for _, c := range []struct {
		is    string
		f     topics.Finished
		by    Standard
		state topics.JobState
		cause topics.Cause
	}{
		{"one file", end(ok, "", 1, 0), Standard{}, ok, ""},
		{"no file", end(ok, "", 0, 0), Standard{}, warned, topics.CauseEmptySource},
		{"no file where there may be none", end(ok, "", 0, 0), Standard{AllowEmpty: true, UsualFiles: 100}, ok, ""},
		{"no file, and a hook failed after it", end(warned, topics.CauseHook, 0, 0), Standard{}, warned, topics.CauseEmptySource},
		{"a hook failed after a file", end(warned, topics.CauseHook, 1, 0), Standard{}, warned, topics.CauseHook},
		{"no file, the agent knows why", end(warned, topics.CauseEmptySource, 0, 0), Standard{}, warned, topics.CauseEmptySource},
		{"nothing could be read", end(warned, topics.CauseUnreadable, 0, 1), Standard{}, failed, topics.CauseUnreadable},
		{"nothing could be read where there may be nothing", end(warned, topics.CauseUnreadable, 0, 1), Standard{AllowEmpty: true}, failed,
			topics.CauseUnreadable},
		{"one file could be read", end(warned, topics.CauseUnreadable, 1, 7), Standard{}, warned, topics.CauseUnreadable},
		{"below a half", end(ok, "", 49, 0), Standard{UsualFiles: 100}, warned, topics.CauseFewerFiles},
		{"below a half, without the repository that those before held", leaving(topics.OwnRepository), Standard{UsualFiles: 100}, ok, ""},
		{"below a half, without the agent's files", leaving(topics.OwnAgent), Standard{UsualFiles: 100}, warned, topics.CauseFewerFiles},
		{"a half", end(ok, "", 50, 0), Standard{UsualFiles: 100}, ok, ""},
		{"below a half of an odd number", end(ok, "", 50, 0), Standard{UsualFiles: 101}, warned, topics.CauseFewerFiles},
		{"below a half, as it may be", end(ok, "", 1, 0), Standard{AllowEmpty: true, UsualFiles: 100}, ok, ""},
		{"nothing to compare with", end(ok, "", 1, 0), Standard{}, ok, ""},
		{"far more", end(ok, "", 1<<63, 0), Standard{UsualFiles: 3}, ok, ""},
		{"below a half, and some could not be read", end(warned, topics.CauseUnreadable, 1, 1), Standard{UsualFiles: 9}, warned,
			topics.CauseUnreadable},
		{"a failure", end(failed, topics.CauseLocked, 0, 0), Standard{}, failed, topics.CauseLocked},
		{"a cancelled one", end(topics.Cancelled, topics.CauseCancelled, 0, 0), Standard{}, topics.Cancelled, topics.CauseCancelled},
		{"an agent that says no numbers", topics.Finished{State: ok}, Standard{UsualFiles: 9}, ok, ""},
	} {
		got := Judge(c.f, c.by)
		if got.State != c.state || got.Cause != c.cause {
			t.Errorf("%s: %s %q, want %s %q", c.is, got.State, got.Cause, c.state, c.cause)
		}
		if again := Judge(got, c.by); again.State != got.State || again.Cause != got.Cause || again.Message != got.Message {
			t.Errorf("%s: judged again it is %s %q %q", c.is, again.State, again.Cause, again.Message)
		}
	}
	f := Judge(end(ok, "", 1200, 0), Standard{UsualFiles: 1234567})
	if want := "The snapshot holds 1,200 files; the median of those before it is 1,234,567."; f.Message != want {
		t.Errorf("got %q, want %q", f.Message, want)
	}
}
