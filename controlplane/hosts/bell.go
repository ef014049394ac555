package hosts

import (
	"sync"

	"github.com/restic-manager/restic-manager/topics"
)

// A Bell notifies watchers about the hosts that changed. Ring never blocks; several
// changes of a host before a watcher calls Take are seen as one.
type Bell struct {
	mu       sync.Mutex
	watchers map[*Watch]bool
}

// A Watch collects the changed hosts since the last Take.
type Watch struct {
	// C holds a value whenever Take has something to give.
	C    chan struct{}
	bell *Bell
	rang map[topics.HostID]bool
}

// Ring announces that something about a host has changed.
func (b *Bell) Ring(h topics.HostID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.watchers {
		w.rang[h] = true
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}

// Watch starts collecting changes, until Close.
func (b *Bell) Watch() *Watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers == nil {
		b.watchers = map[*Watch]bool{}
	}
	w := &Watch{C: make(chan struct{}, 1), bell: b, rang: map[topics.HostID]bool{}}
	b.watchers[w] = true
	return w
}

// Take returns the hosts about which something changed since the last Take.
func (w *Watch) Take() map[topics.HostID]bool {
	w.bell.mu.Lock()
	defer w.bell.mu.Unlock()
	rang := w.rang
	w.rang = map[topics.HostID]bool{}
	return rang
}

// Close ends the watch.
func (w *Watch) Close() {
	w.bell.mu.Lock()
	defer w.bell.mu.Unlock()
	delete(w.bell.watchers, w)
}
