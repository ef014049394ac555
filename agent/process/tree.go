package process

// A parented process is one as the system lists it. Its parent's number may be another
// process's by now, which then began later.
type parented struct {
	pid, parent uint32
	begun       int64 // 0 is not known
}

// descendants are those that a process started, and those that they did, the last ones
// first.
func descendants(of uint32, all []parented) (pids []uint32) {
	began := map[uint32]int64{}
	for _, p := range all {
		began[p.pid] = p.begun
	}
	seen := map[uint32]bool{of: true}
	for at := []uint32{of}; len(at) > 0; at = at[1:] {
		for _, p := range all {
			if p.parent != at[0] || seen[p.pid] || p.begun != 0 && began[at[0]] > p.begun {
				continue
			}
			seen[p.pid] = true
			at, pids = append(at, p.pid), append([]uint32{p.pid}, pids...)
		}
	}
	return pids
}
