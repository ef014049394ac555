package session

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// Whoever signs out while the write of their session is still under way is signed out,
// also when that write has made it a row.
func TestAWriteThatTakesLongSignsNobodyInAgain(t *testing.T) {
	db := storetest.Open(t, store.Open)
	u := store.User{ID: topics.NewID(time.Now()), Name: "ada", Role: store.Viewer}
	if err := db.AddUser(t.Context(), "cli", u); err != nil {
		t.Fatal(err)
	}
	s := &shelf{Sessions: db.Sessions(), log: slog.New(slog.DiscardHandler), now: time.Now, gate: room.NewGate(), patient: time.Millisecond}
	held, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	// Another's write holds the gate until it is released.
	go func() {
		defer close(ended)
		_ = s.gate.Soon(context.Background(), time.Minute, func(context.Context) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	fresh := store.BeginSession(t.Context(), store.Session{ID: topics.NewID(time.Now()), User: u.ID}, "")
	until := time.Now().Add(time.Hour)
	if err := s.CommitCtx(fresh, "token", []byte("data"), until); err != nil {
		t.Fatal(err)
	}
	late := s.kept["token"]
	if err := s.DeleteCtx(t.Context(), "token"); err != nil {
		t.Fatal(err)
	}
	if err := s.Sessions.CommitCtx(fresh, "token", late.data, until); err != nil { // the write that was under way
		t.Fatal(err)
	}
	if _, found, err := s.FindCtx(t.Context(), "token"); found || err != nil {
		t.Errorf("who signed out is signed in: %v", err)
	}
	close(release)
	<-ended
	s.patient = time.Minute
	if err := s.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.FindCtx(t.Context(), "token"); found || err != nil || len(s.kept) != 0 {
		t.Errorf("afterwards who signed out is signed in: %v, %d changes are kept", err, len(s.kept))
	}
}
