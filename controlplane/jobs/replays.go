package jobs

import "github.com/restic-manager/restic-manager/seal"

// remembered is how many events messages are told from their own replays: some
// minutes of a large fleet's, in 4 MiB. An older one is dropped all the same, by
// its numbers, and not counted.
const remembered = 1 << 16

// replays knows the nonces of the events messages that came last. An agent seals
// anew whatever it sends again, so only somebody else sends one twice.
type replays struct {
	seen map[seal.Nonce]bool
	ring []seal.Nonce
	next int // of ring, the oldest once it is full
}

// again reports whether a message came before. It must have been opened: what is
// not authentic is not worth remembering.
func (r *replays) again(sealed []byte) bool {
	n := seal.NonceOf(sealed)
	if r.seen[n] {
		return true
	}
	if r.seen == nil {
		r.seen = map[seal.Nonce]bool{}
	}
	if len(r.ring) < remembered {
		r.ring = append(r.ring, n)
	} else {
		delete(r.seen, r.ring[r.next])
		r.ring[r.next] = n
		r.next = (r.next + 1) % remembered
	}
	r.seen[n] = true
	return false
}
