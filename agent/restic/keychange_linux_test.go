package restic

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

const another = "another horse, unlike the first"

// TestAPasswordIsChangedKeyByKey: the new key is proven, the old one goes only while another
// opens the repository, and each step may be asked for again.
func TestAPasswordIsChangedKeyByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	next := w.repo
	next.Password = another
	opens := func(r Repository) bool {
		t.Helper()
		e := w.b.Keys(t.Context(), w.place, r, w.sink)
		if e.State != topics.Succeeded && e.Cause != topics.CausePassword {
			t.Fatalf("%+v", e)
		}
		return e.State == topics.Succeeded
	}
	if e := w.b.RemoveKey(t.Context(), w.place, w.repo, OldKey{Password: another}, w.sink); e.State != topics.Succeeded ||
		len(e.Result.Removed) > 0 {
		t.Errorf("a password that opens nothing: %+v", e)
	}
	for _, k := range []OldKey{{Password: w.repo.Password}, {ID: current(w.b.Keys(t.Context(), w.place, w.repo, w.sink).Report.Keys)}} {
		if e := w.b.RemoveKey(t.Context(), w.place, w.repo, k, w.sink); e.Cause != topics.CauseRefused || !opens(w.repo) {
			t.Errorf("the key that is in use: %+v", e)
		}
	}
	first := w.b.AddKey(t.Context(), w.place, w.repo, NewKey{Password: another, User: "restic-manager", Host: "attic"}, w.sink)
	if first.State != topics.Succeeded || first.Result.Key == "" || !first.Result.Made || len(first.Report.Keys) != 2 || !opens(next) ||
		!opens(w.repo) {
		t.Fatalf("%+v", first)
	}
	if !slices.ContainsFunc(first.Report.Keys, func(k topics.Key) bool {
		return sameKey(k.ID, first.Result.Key) && k.User == "restic-manager" && k.Host == "attic" && !k.Current
	}) {
		t.Errorf("the keys are %+v", first.Report.Keys)
	}
	if e := w.b.AddKey(t.Context(), w.place, w.repo, NewKey{Password: another}, w.sink); e.State != topics.Succeeded || e.Result.Made ||
		!sameKey(e.Result.Key, first.Result.Key) || len(e.Report.Keys) != 2 {
		t.Errorf("asked for again: %+v", e)
	}
	if e := w.b.AddKey(t.Context(), w.place, w.repo, NewKey{Password: " blank"}, w.sink); e.State != topics.Failed {
		t.Errorf("restic would take another password than this: %+v", e)
	}
	gone := w.b.RemoveKey(t.Context(), w.place, next, OldKey{Password: w.repo.Password}, w.sink)
	if gone.State != topics.Succeeded || len(gone.Result.Removed) != 1 || len(gone.Report.Keys) != 1 || opens(w.repo) || !opens(next) {
		t.Fatalf("%+v", gone)
	}
	if e := w.b.RemoveKey(t.Context(), w.place, next, OldKey{ID: gone.Result.Removed[0]}, w.sink); e.State != topics.Succeeded ||
		len(e.Result.Removed) > 0 {
		t.Errorf("a key that is gone: %+v", e)
	}
	if strings.Contains(w.sink.text(), another) {
		t.Error("the log holds the new password")
	}
}

// TestAKeyThatCannotBeRemovedStays, and the ending says why, whatever restic's exit code is:
// an append-only server refuses to delete it.
func TestAKeyThatCannotBeRemovedStays(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"0", "1"} {
		w := standIn(t, `case " $* " in
*" key remove "*) echo "Fatal: unexpected HTTP response (403): 403 Forbidden" >&2; exit `+code+`;;
esac
exec restic "$@"`)
		w.vault()
		w.want(w.b.AddKey(t.Context(), w.place, w.repo, NewKey{Password: another}, w.sink), topics.Succeeded, "")
		next := w.repo
		next.Password = another
		e := w.b.RemoveKey(t.Context(), w.place, next, OldKey{Password: w.repo.Password}, w.sink)
		if e.State != topics.Failed || e.Cause != topics.CauseAppendOnly {
			t.Errorf("with exit code %s: %+v", code, e)
		}
		if left := w.b.Keys(t.Context(), w.place, w.repo, w.sink); left.State != topics.Succeeded || len(left.Report.Keys) != 2 {
			t.Errorf("with exit code %s the keys are %+v", code, left)
		}
	}
}
