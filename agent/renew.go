package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/restic-manager/restic-manager/failpoint"
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
	for chance, now := rand.Float64(), false; ; {
		wait := time.Until(renewal(r.shown.current.Load().Leaf, chance).Round(0))
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
				r.log.Info("certificate renewed", "until", r.shown.current.Load().Leaf.NotAfter)
				select {
				case r.renewed <- struct{}{}:
				default:
				}
				continue
			case err.Error() != said:
				said = err.Error()
				r.log.Warn("the certificate could not be renewed; trying again", "until", r.shown.current.Load().Leaf.NotAfter, "err", err)
			}
			wait = r.Renew/2 + rand.N(r.Renew/2+1)
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

// renewAtOnce has the certificate renewed although it is not due. It does not wait.
func (r *runner) renewAtOnce() {
	select {
	case r.replace <- struct{}{}:
	default:
	}
}

// renewNow asks the control plane for the next certificate, for a new key. It is on
// disk before it is used, and the old one stays valid until then: after a crash at
// any point, one of the two works.
func (r *runner) renewNow(ctx context.Context) error {
	csr, private, public, err := newTLSKey()
	if err != nil {
		return err
	}
	answer, err := post[topics.RenewResponse](ctx, r.identity.Server, topics.RenewPath, r.shown.tls(topics.ALPNHTTP),
		topics.RenewRequest{CSR: csr, Instance: *r.instance.Load()})
	if err != nil {
		return err
	}
	failpoint.Here("agent-certificate-came")
	next := *r.identity
	next.Certificate, next.TLSKey = answer.Certificate, private
	ca, err := x509.ParseCertificate(next.CA)
	if err != nil {
		return err
	}
	if err := next.check(topics.Fingerprint(ca), public); err != nil {
		return fmt.Errorf("the control plane's answer cannot be used: %w", err)
	}
	if err := next.save(r.state); err != nil {
		return err
	}
	failpoint.Here("agent-certificate-saved")
	return r.shown.use(&next)
}
