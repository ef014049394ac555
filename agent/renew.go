package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// renewal is when a certificate is to be renewed: two thirds into its life, and
// later by up to a twentieth of it, so that hosts that were enrolled on one day
// do not ask on one. Chance is from 0 to 1.
func renewal(c *x509.Certificate, chance float64) time.Time {
	life := c.NotAfter.Sub(c.NotBefore)
	return c.NotBefore.Add(life*2/3 + time.Duration(chance*float64(life/20)))
}

// renew renews the certificate in time until ctx ends. It checks the clock now and
// then instead of setting one long timer, which would stop while the machine sleeps.
func (r *runner) renew(ctx context.Context) {
	said := ""
	for chance, now := rand.Float64(), moved(r.state).pending(); ; {
		wait := time.Until(renewal(r.shown.current.Load().leaf, chance).Round(0))
		if now {
			wait, now = 0, false
		}
		if wait <= 0 {
			err := r.renewNow(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				chance, said = rand.Float64(), ""
				r.log.Info("certificate renewed", "until", r.shown.current.Load().leaf.NotAfter)
				r.replaced()
				select {
				case r.renewed <- struct{}{}:
				default:
				}
				continue
			case err.Error() != said:
				said = err.Error()
				r.log.Warn("the certificate could not be renewed; trying again", "until", r.shown.current.Load().leaf.NotAfter, "err", err)
			}
			wait = r.Renew/2 + rand.N(r.Renew/2+1)
			now = r.shown.identity.Load().Next != nil || moved(r.state).pending() // due or not
		}
		select {
		case <-ctx.Done():
			return
		case <-r.replace:
			now = true
		case <-time.After(min(wait, r.Renew)):
		}
	}
}

// replaced notes that keys which others could read are not in use any more.
func (r *runner) replaced() {
	was := moved(r.state)
	if !was.pending() {
		return
	}
	was.Keys = time.Now().UTC()
	if err := remember(r.state, *was); err != nil {
		r.log.Warn("that the keys were replaced is not written down; they are replaced again at the next start", "err", err)
	}
}

// renewAtOnce has the certificate renewed although it is not due. It does not wait.
func (r *runner) renewAtOnce() {
	select {
	case r.replace <- struct{}{}:
	default:
	}
}

// renewNow asks the control plane for the next certificate, for a new key, and of the
// identity that the control plane is to have, if that is another. It is on disk before it
// is used, and the old one stays valid until then: after a crash at any point, one of the
// two works.
func (r *runner) renewNow(ctx context.Context) error {
	csr, private, public, err := newTLSKey()
	if err != nil {
		return err
	}
	request := topics.RenewRequest{CSR: csr, Instance: *r.instance.Load()}
	to := r.shown.identity.Load().Next
	if to != nil {
		ca, err := x509.ParseCertificate(to.CA)
		if err != nil {
			return err
		}
		pin := topics.Fingerprint(ca)
		request.CA = pin[:]
	}
	answer, err := post[topics.RenewResponse](ctx, r.identity.Server, topics.RenewPath, r.shown.current.Load().tls(topics.ALPNHTTP), request)
	if err != nil {
		return err
	}
	failpoint.Here("agent-certificate-came")
	err = r.shown.change(r.state, func(i *Identity) (bool, error) {
		i.Certificate, i.TLSKey = answer.Certificate, private
		if to != nil {
			moved := *i
			moved.CA, moved.PlaneKey, moved.Before, moved.Next = to.CA, to.Key, &Plane{CA: i.CA, Key: i.PlaneKey}, nil
			if moved.fits(public) == nil {
				*i = moved
				return true, nil
			}
		}
		if err := i.fits(public); err != nil {
			return false, fmt.Errorf("the control plane's answer cannot be used: %w", err)
		}
		return true, nil
	})
	failpoint.Here("agent-certificate-saved")
	return err
}

// fits verifies an identity by the CA that it names itself.
func (i *Identity) fits(public []byte) error {
	ca, err := x509.ParseCertificate(i.CA)
	if err != nil {
		return err
	}
	return i.check(topics.Fingerprint(ca), public)
}

// follow notes what the control plane says about its own identity: the one that is to
// follow, or with nil in a first welcome that there is one alone. To move, the agent
// gets a certificate of the next one.
func (r *runner) follow(next *topics.Succession) {
	moves := false
	err := r.shown.change(r.state, func(i *Identity) (bool, error) {
		if next == nil {
			changes := i.Next != nil || i.Before != nil
			i.Next, i.Before = nil, nil
			return changes, nil
		}
		if bytes.Equal(next.CA, i.CA) && bytes.Equal(next.SealKey, i.PlaneKey) {
			changes := i.Next != nil // called off before this host had moved
			i.Next = nil
			return changes, nil
		}
		moves = true
		if i.Next != nil && bytes.Equal(next.CA, i.Next.CA) && bytes.Equal(next.SealKey, i.Next.Key) {
			return false, nil
		}
		i.Next = &Plane{CA: next.CA, Key: next.SealKey}
		if own, err := seal.ParseKey(i.SealKey); err != nil {
			return false, err
		} else if _, err := seal.NewChannel(own, next.SealKey, seal.Agent, string(i.Host)); err != nil {
			return false, err
		}
		return true, nil
	})
	if err != nil {
		r.log.Error("the control plane's next identity cannot be kept", "err", err)
		return
	}
	if moves {
		r.log.Info("the control plane has another identity soon; moving to it", "until", time.UnixMilli(next.Until).UTC())
		time.AfterFunc(rand.N(r.Renew/12+1), r.renewAtOnce) // not with the whole fleet in one moment
	}
}
