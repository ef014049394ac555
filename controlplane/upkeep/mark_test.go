package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatIsWithdrawnIsMarkedSoon: a database that loses its end afterwards does not bring
// it back unseen. A mark that somebody removed is written again, and one that says what
// there is stays as it is.
func TestWhatIsWithdrawnIsMarkedSoon(t *testing.T) {
	s := storetest.Open(t, store.Open)
	token := store.APIToken{ID: topics.NewID(time.Now()), Name: "nightly", Role: store.Admin, KeyHash: []byte("x")}
	if _, err := s.AddAPIToken(t.Context(), store.Maker{Name: "test"}, token); err != nil {
		t.Fatal(err)
	}
	k := &Keeper{Store: s, Log: slog.New(slog.DiscardHandler),
		Timing: Timing{Mark: 10 * time.Millisecond, Again: time.Hour, Check: time.Hour, Calm: time.Hour, First: time.Second}}
	if err := k.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		b, err := os.ReadFile(s.MarkFile())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := read()
	k.mark(t.Context())
	if again := read(); again != first {
		t.Errorf("nothing has changed, and the mark is another:\n%s%s", first, again)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	if _, err := s.RemoveAPIToken(t.Context(), "test", token.ID); err != nil {
		t.Fatal(err)
	}
	limit, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	var err error
	for err == nil && read() == first {
		select {
		case <-limit:
			err = errors.New("the mark is from before a token was revoked")
		case <-tick.C:
		}
	}
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		t.Error(err)
	}
	if err := os.Remove(s.MarkFile()); err != nil {
		t.Fatal(err)
	}
	k.Timing.Again = 0
	k.mark(t.Context())
	if _, err := os.Stat(s.MarkFile()); err != nil {
		t.Error(fmt.Errorf("a mark that was removed: %w", err))
	}
}
