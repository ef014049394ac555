package journal

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestLinesHaveTheirPriority(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(handler(&b, slog.LevelDebug, true)).With("host", "h").WithGroup("g")
	log.Debug("a")
	log.Info("b", "level", "mine")
	log.Warn("c\nd")
	log.Error("e")
	want := "<7>msg=a host=h\n<6>msg=b host=h g.level=mine\n<4>msg=\"c\\nd\" host=h\n<3>msg=e host=h\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
}

func TestLinesOfManyAreNotMixed(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(handler(&b, slog.LevelInfo, true))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				log.With("i", i).Log(t.Context(), []slog.Level{slog.LevelInfo, slog.LevelError}[i%2], "even odd"[5*(i%2):][:3])
			}
		})
	}
	all.Wait()
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "<3>") != strings.Contains(line, "msg=odd") {
			t.Fatalf("a line has another's priority: %s", line)
		}
	}
}

func TestOnlyTheJournalsStreamIs(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	for variable, want := range map[string]bool{"": false, "8:1": false, fmt.Sprintf("%d:%d", s.Dev, s.Ino): true} {
		t.Setenv("JOURNAL_STREAM", variable)
		if into(f) != want || into(&bytes.Buffer{}) {
			t.Errorf("JOURNAL_STREAM=%q: %t", variable, into(f))
		}
	}
}
