package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// BenchmarkLook is a look at what is to be told while a thousand alerts are open that
// five channels know.
func BenchmarkLook(b *testing.B) {
	s := storetest.Open(b, store.Open)
	q := &Queue{Store: s, Said: said, Log: slog.New(slog.DiscardHandler)}
	now := time.Now().UnixMilli()
	var list []*alerts.Alert
	var told []rows.Told
	for i := range 1000 {
		a := failed(fmt.Sprint("a", i), alerts.Critical)
		a.OpenedAt, a.BeganAt = now, now
		list = append(list, &a)
		for c := range 5 {
			told = append(told, rows.Told{Channel: fmt.Sprint("c", c), Alert: a.ID, State: rows.Known, At: now, BeganAt: now, Severity: a.Severity})
		}
	}
	err := s.Alerts().Tx(b.Context(), func(tx alerts.Tx) error {
		if err := alerts.Put(b.Context(), tx, list); err != nil {
			return err
		}
		return rows.Within(tx).Tell(b.Context(), told)
	})
	for c := range 5 {
		id := fmt.Sprint("c", c)
		if err == nil {
			err = s.Channels().Add(b.Context(), "test", rows.Channel{ID: id, Name: id, Kind: "webhook", Enabled: true, Version: 1})
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := q.Step(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
