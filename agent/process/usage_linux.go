package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is what /proc counts processor time in: USER_HZ, which is 100 on every
// architecture that Go knows.
const clockTick = 10 * time.Millisecond

// A meter adds up what the processes of a group and their descendants do. ssh and
// rclone may have groups of their own; they are found by their parents.
type meter struct {
	group group
	seen  map[int]metered
	total Usage
}

type metered struct {
	start string
	usage Usage
}

// usage looks at all processes. What came and went between two looks is known from
// its parent, to which the system adds what its children did.
func (m *meter) usage() Usage {
	m.total.Known = true
	now := map[int]metered{}
	for pid, s := range family(m.group.pid) {
		one := metered{start: s.start}
		one.usage, one.usage.Known = s.usage(pid)
		if !one.usage.Known && Alive(pid) {
			m.total.Known = false
		}
		before := m.seen[pid]
		if before.start != s.start {
			before = metered{}
		}
		m.total.CPU += max(0, one.usage.CPU-before.usage.CPU)
		m.total.Read += less(one.usage.Read, before.usage.Read)
		m.total.Written += less(one.usage.Written, before.usage.Written)
		m.total.Reads += less(one.usage.Reads, before.usage.Reads)
		now[pid] = one
	}
	m.seen = now
	return m.total
}

// family finds the living processes of a group, and what descends from them.
func family(leader int) map[int]procStat {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	all := make(map[int]procStat, len(entries))
	for _, entry := range entries {
		if pid, err := strconv.Atoi(filepath.Base(entry)); err == nil {
			if s, there := stat(pid); there {
				all[pid] = s
			}
		}
	}
	ours := map[int]procStat{}
	for grown := true; grown; {
		grown = false
		for pid, s := range all {
			if _, known := ours[pid]; known {
				continue
			}
			if _, child := ours[s.parent]; child || s.group == leader || pid == leader {
				ours[pid], grown = s, true
			}
		}
	}
	return ours
}

// usage is what one process and those of its children that it has collected did. The
// system may keep the bytes from us, if the program has rights that we have not.
func (s procStat) usage(pid int) (u Usage, known bool) {
	u.CPU = time.Duration(s.ticks) * clockTick
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
	if err != nil {
		return u, false
	}
	for line := range bytes.Lines(b) {
		name, value, _ := strings.Cut(string(line), ":")
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "rchar":
			u.Read, known = n, true
		case "wchar":
			u.Written = n
		case "syscr":
			u.Reads = n
		}
	}
	return u, known
}
