package spool

import (
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkStep writes a hundred lines at a time, each time onto the disk.
func BenchmarkStep(b *testing.B) {
	s := open(b, b.TempDir(), at(1000))
	defer s.Close()
	if _, err := s.Step(run("job-00001")); err != nil {
		b.Fatal(err)
	}
	lines := make([]topics.Line, 100)
	for i := range lines {
		lines[i] = topics.Line{At: 8, Level: topics.Info, Text: "a line of about the usual length, with the name of a file in it"}
	}
	seq := uint64(1)
	for b.Loop() {
		if _, err := s.Step(protocol.Printed{Job: "job-00001", Lines: lines, At: 8}); err != nil {
			b.Fatal(err)
		}
		if seq++; seq%32 == 0 {
			if _, err := s.Step(protocol.Receipted{Received: topics.Received{Epoch: 1000, Seq: seq}}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
