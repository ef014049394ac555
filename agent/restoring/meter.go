package restoring

import (
	"cmp"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// Bounds of what is looked at for the progress of a restic that tells none.
const (
	maxLargest = 200
	maxSampled = 800
)

// sampled are some of the files that are to be written: the largest, and of the others
// every nth, so that looking at them takes milliseconds however many there are.
type sampled struct {
	largest []sample // a heap, the smallest first
	others  []sample
	stride  int // one of how many others is taken
	met     int
}

type sample struct {
	path string
	size uint64
}

func (s *sampled) add(n restic.Node) {
	if n.Type != "file" {
		return
	}
	one := sample{n.Path, n.Size}
	if len(s.largest) < maxLargest {
		s.largest = append(s.largest, one)
		s.up(len(s.largest) - 1)
		return
	}
	if one.size > s.largest[0].size {
		one, s.largest[0] = s.largest[0], one
		s.down()
	}
	s.stride = max(s.stride, 1)
	if s.met++; s.met%s.stride != 0 {
		return
	}
	if s.others = append(s.others, one); len(s.others) == 2*maxSampled {
		for i := range maxSampled { // each second one stays
			s.others[i] = s.others[2*i]
		}
		s.others, s.stride = s.others[:maxSampled], 2*s.stride
	}
}

func (s *sampled) up(i int) {
	for i > 0 && s.largest[i].size < s.largest[(i-1)/2].size {
		s.largest[i], s.largest[(i-1)/2] = s.largest[(i-1)/2], s.largest[i]
		i = (i - 1) / 2
	}
}

func (s *sampled) down() {
	for i := 0; ; {
		least := i
		for _, c := range []int{2*i + 1, 2*i + 2} {
			if c < len(s.largest) && s.largest[c].size < s.largest[least].size {
				least = c
			}
		}
		if least == i {
			return
		}
		s.largest[i], s.largest[least] = s.largest[least], s.largest[i]
		i = least
	}
}

// A meter is the sink of a restore. It makes one progress of that of all its restics, and
// looks itself what is on the disk where restic tells nothing.
type meter struct {
	r     *restoring
	at    *site
	begun time.Time

	mu     sync.Mutex
	total  restic.Status
	before restic.Status // of the runs that have ended
	run    *run
	restic process.ID
	ended  sync.WaitGroup
	end    chan struct{}
	every  time.Duration
	last   string
	waits  bool // for a lock
}

func newMeter(r *restoring, at *site) *meter {
	m := &meter{r: r, at: at, begun: time.Now(), every: 2 * cmp.Or(r.Binary.Timing.Status, restic.DefaultTiming.Status)}
	for _, one := range r.runs {
		m.total.TotalFiles += one.due
		m.total.TotalBytes += one.bytes
	}
	return m
}

func (m *meter) Started(p process.ID) {
	m.lock(func() {
		m.restic = p
		m.r.Sink.Started(p)
	})
}
func (m *meter) Line(level topics.Level, text string) {
	m.lock(func() { m.r.Sink.Line(level, text) })
}

func (m *meter) lock(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// Status takes restic's own progress.
func (m *meter) Status(s restic.Status) {
	m.lock(func() {
		m.total.Trouble = s.Trouble
		if m.waits = s.Waits != nil; m.waits || s.Mute {
			m.r.Sink.Status(s)
			return
		}
		m.say(m.before.FilesDone+s.FilesDone, m.before.BytesDone+s.BytesDone, s.CurrentFiles)
	})
}

func (m *meter) say(files, bytes uint64, current []string) {
	s := m.total
	s.Scanned = true
	s.FilesDone, s.BytesDone = min(files, s.TotalFiles), min(bytes, s.TotalBytes)
	part := 0.0
	switch {
	case s.TotalBytes > 0:
		part = float64(s.BytesDone) / float64(s.TotalBytes)
	case s.TotalFiles > 0:
		part = float64(s.FilesDone) / float64(s.TotalFiles)
	}
	gone := time.Since(m.begun).Seconds()
	s.Percent, s.Seconds, s.CurrentFiles = part*100, uint64(gone), shown(current)
	if part > 0.01 {
		s.SecondsLeft = uint64(gone * (1 - part) / part)
	}
	m.r.Sink.Status(s)
}

// shown cuts names of files for a progress.
func shown(names []string) (cut []string) {
	for _, name := range names {
		cut = append(cut, strings.ToValidUTF8(name[:min(len(name), 1024)], ""))
	}
	return cut
}

// start begins a run of restic.
func (m *meter) start(one *run) {
	m.run = one
	if m.r.Binary.Version.Has(since.RestoreJSON) {
		return
	}
	m.end = make(chan struct{})
	m.ended.Go(func() {
		tick := time.NewTicker(m.every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				files, bytes, current := m.measure()
				m.lock(func() {
					if n, known := written(m.restic); known {
						bytes = m.before.BytesDone + min(n, m.run.bytes)
					}
					if bytes < m.total.TotalBytes && files == m.total.TotalFiles {
						files-- // the last was begun
					}
					if m.waits = m.waits && bytes <= m.before.BytesDone; !m.waits { // what waits for a lock writes nothing
						m.say(files, bytes, current)
					}
				})
			case <-m.end:
				return
			}
		}
	})
}

// stop ends it.
func (m *meter) stop() {
	if m.end != nil {
		close(m.end)
		m.ended.Wait()
		m.end = nil
	}
	m.before.FilesDone += m.run.due
	m.before.BytesDone += m.run.bytes
}

// measure looks at the disk: at the largest files one by one, and at a sample of the others,
// which stands for all of them.
func (m *meter) measure() (files, bytes uint64, current []string) {
	s := &m.r.sampled
	var large, done, there, sum uint64
	newest := time.Time{}
	look := func(one sample) (size uint64, whole bool) {
		info, err := os.Lstat(place(m.at.base(), one.path))
		if err != nil || !info.Mode().IsRegular() {
			return 0, false
		}
		size = min(uint64(info.Size()), one.size)
		// Written to last, though it may have its whole length since it was begun.
		if t := info.ModTime(); t.After(newest) && t.After(m.begun) || current == nil && size < one.size {
			newest, current = t, []string{one.path}
		}
		return size, size == one.size
	}
	for _, one := range s.largest {
		size, whole := look(one)
		large += one.size
		bytes += size
		if whole {
			files++
		}
	}
	for _, one := range s.others {
		size, whole := look(one)
		there += size
		sum += one.size
		if whole {
			done++
		}
	}
	if n := uint64(len(s.others)); n > 0 {
		rest := m.total.TotalFiles - min(m.total.TotalFiles, uint64(len(s.largest)))
		files += uint64(float64(done) / float64(n) * float64(rest))
		if sum > 0 {
			bytes += uint64(float64(there) / float64(sum) * float64(m.total.TotalBytes-min(m.total.TotalBytes, large)))
		}
	}
	if current == nil && m.last != "" {
		current = []string{m.last}
	} else if current != nil {
		m.last = current[0]
	}
	return files, bytes, current
}
