package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// Here are the judgements that both programs make; each takes what somebody measured.

// A Disk is what was measured of the one that a directory is on.
type Disk struct {
	Dir         string
	Free, Total uint64
	Low, Scarce uint64 // below which there is a warning, and a failure
	Kind        string // of file system, "" if nobody can say
	Writable    bool
	Err         error // it could not be measured
	// Effect is what a disk that is full means.
	Effect string
}

// Findings judges a disk.
func (d Disk) Findings() (list []Finding) {
	if d.Err != nil {
		return []Finding{{
			State: Fail, What: fmt.Sprintf("%s cannot be looked at: %v", d.Dir, d.Err), Effect: d.Effect,
			Remedy: "mount its disk, or name another directory",
		}}
	}
	if !d.Writable {
		list = append(list, Finding{
			State: Fail, What: d.Dir + " cannot be written", Effect: d.Effect,
			Remedy: "run this as the user that the service runs as; if it is, look at the mount (findmnt -T " + d.Dir + ") and " +
				"at the owner (ls -ld " +
				d.Dir + ")",
		})
	}
	mib := func(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }
	room := Well("%s: %s of %s are free", d.Dir, mib(d.Free), mib(d.Total))
	if d.Free < d.Low {
		room.State, room.Effect, room.Remedy = Warning, d.Effect, "make room: du -xh --max-depth=2 "+d.Dir+" says what takes it"
	}
	if d.Free < d.Scarce {
		room.State = Fail
	}
	list = append(list, room)
	switch {
	case slices.Contains([]string{"nfs", "cifs", "smb2", "9p", "fuse"}, d.Kind):
		list = append(list, Finding{
			State: Warning, What: fmt.Sprintf("%s is on a file system of type %s, which may keep no locks and lose what was synced", d.Dir, d.Kind),
			Effect: "after a crash or a cut of the network what was written last can be lost or damaged",
			Remedy: "stop the service, move the directory to a local disk (cp -a) and start it with that",
		})
	case slices.Contains([]string{"tmpfs", "ramfs"}, d.Kind):
		list = append(list, Finding{
			State: Fail, What: fmt.Sprintf("%s is in memory (%s)", d.Dir, d.Kind),
			Effect: "it is empty after the next start of the machine", Remedy: "move the directory to a disk (cp -a) and start " +
				"the service with that",
		})
	}
	return list
}

// Private judges who may read a file or directory with secrets; mode is 0 where modes
// say nothing.
func Private(path string, mode os.FileMode, remedy string) Finding {
	if mode.Perm()&0o077 == 0 {
		return Well("%s is for its owner alone", path)
	}
	return Finding{
		State: Fail, What: fmt.Sprintf("others may use %s (mode %04o)", path, mode.Perm()),
		Effect: "whoever has read it can act in its place; keys in it count as known", Remedy: remedy,
	}
}

// Certificate judges how long a certificate is valid. early is how long before its end
// somebody should know.
func Certificate(whose string, leaf *x509.Certificate, now time.Time, early time.Duration, effect, remedy string) Finding {
	left := leaf.NotAfter.Sub(now)
	f := Well("the certificate of %s is valid until %s", whose, leaf.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case now.Before(leaf.NotBefore):
		f = Finding{
			State: Fail, What: fmt.Sprintf("the certificate of %s is valid from %s, and this machine's clock says %s", whose,
				leaf.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)), Effect: effect,
			Remedy: "set the clock (timedatectl set-ntp true)",
		}
	case left <= 0:
		f = Finding{State: Fail, What: fmt.Sprintf("the certificate of %s has expired on %s", whose, leaf.NotAfter.UTC().Format(time.DateOnly)),
			Effect: effect, Remedy: remedy}
	case left < early:
		f.State, f.Effect, f.Remedy = Warning, effect, remedy
	}
	return f
}

// Skew judges how far two clocks are apart: ours is so much ahead of the other one, which
// was asked over so long.
func Skew(whose string, ahead, asked time.Duration) Finding {
	off := max(ahead.Abs()-asked-time.Second, 0) // the other one tells whole seconds
	f := Well("this machine's clock and that of %s agree", whose)
	if off > 30*time.Second {
		word := "ahead of"
		if ahead < 0 {
			word = "behind"
		}
		f = Finding{
			State: Warning, What: fmt.Sprintf("this machine's clock is %v %s that of %s", ahead.Abs().Round(time.Second), word, whose),
			Effect: "schedules fire at the wrong moment, and snapshots carry it",
			Remedy: "set the clock: timedatectl set-ntp true, or w32tm /resync",
		}
	}
	if off > 10*time.Minute {
		f.State = Fail
		f.Effect += "; certificates are taken for expired or not valid yet"
	}
	return f
}

// Synchronised judges what the system says of its clock; known is false where it does not.
func Synchronised(known, is bool) Finding {
	switch {
	case !known:
		return Well("the clock says %s", time.Now().UTC().Format(time.RFC3339))
	case is:
		return Well("the clock is kept right by the network")
	}
	return Finding{
		State: Warning, What: "nothing keeps this machine's clock right", Effect: "it drifts; schedules fire at the wrong moment then",
		Remedy: "timedatectl set-ntp true (with systemd-timesyncd or chrony installed)",
	}
}

// Descriptors judges how many files and sockets a program may open; may is 0 if nobody
// can say.
func Descriptors(may, enough int, remedy string) Finding {
	switch {
	case may == 0:
		return Well("how many files may be open is not limited here")
	case may >= enough:
		return Well("%d files and sockets may be open, and %d are enough", may, enough)
	}
	return Finding{
		State: Warning, What: fmt.Sprintf("%d files and sockets may be open, and %d would be enough for all connections that are "+
			"allowed", may, enough),
		Effect: "with a large fleet hosts cannot connect", Remedy: remedy,
	}
}

// Refused words why nobody answered at an address.
func Refused(address string, err error) (what, remedy string) {
	host, port, _ := net.SplitHostPort(address)
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("the name %s leads nowhere: %v", host, err), "correct the name, or this machine's DNS (getent hosts " + host + ")"
	case os.IsTimeout(err) || strings.Contains(err.Error(), "deadline"):
		return fmt.Sprintf("nobody answers at %s", address), "open port " + port + " in the firewalls between this machine and " + host
	case strings.Contains(err.Error(), "refused"):
		return fmt.Sprintf("%s refuses connections: no program listens there", address), "start it there, or correct the address"
	}
	return fmt.Sprintf("%s is not reached: %v", address, err), "look at the network between this machine and " + host
}
