package enroll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// ServerTLS is the TLS configuration of the agents' port. A connection for MQTT
// must show a certificate of our CA that is trusted now; one that asks for HTTP
// may have none yet, to enrol, or show the one it wants to renew. Every
// connection is looked at anew: session tickets are off, and what is asked about
// each is asked of the database.
func (d *Desk) ServerTLS() (*tls.Config, error) {
	if _, err := d.known().shown.server.get(nil); err != nil {
		return nil, err
	}
	both := d.known().mqtt.Clone()
	both.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return d.known().shown.server.get(hello) }
	both.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, topics.ALPNHTTP) && !slices.Contains(hello.SupportedProtos, topics.ALPNMQTT) {
			return d.known().http, nil
		}
		return d.known().mqtt, nil
	}
	return both, nil
}

// verify refuses revoked and superseded certificates during the TLS handshake.
func (d *Desk) verify(c tls.ConnectionState) error {
	if len(c.PeerCertificates) == 0 {
		return nil // the configuration says whether that may be
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := d.Trusted(ctx, c.PeerCertificates[0])
	return err
}

// Trusted returns the host of a certificate of our CA. If the certificate is not
// trusted any more, the error says why: store.ErrRevoked or store.ErrSuperseded.
func (d *Desk) Trusted(ctx context.Context, c *x509.Certificate) (store.Host, error) {
	id, err := topics.ParseHostID(c.Subject.CommonName)
	if err != nil {
		return store.Host{}, err
	}
	h, err := d.Store.Host(ctx, id)
	if err == nil {
		err = h.Trusts(serialOf(c))
	}
	if errors.Is(err, store.ErrSuperseded) { // unless it is newer than the copy this control plane was restored from
		if adopted, aerr := d.Store.Adopt(ctx, id, serialOf(c), c.NotBefore.UnixMilli(), c.NotAfter.UnixMilli()); aerr == nil {
			h, err = adopted, nil
		} else if !errors.Is(aerr, store.ErrSuperseded) {
			err = aerr
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		d.stranger(ctx, id, c)
	}
	if err != nil {
		return store.Host{}, fmt.Errorf("host %s: %w", id, err)
	}
	return h, nil
}

// strangers are hosts that came with a certificate of ours and are not in the copy that
// this control plane was restored from.
type strangers struct {
	mu  sync.Mutex
	ids map[string]bool
}

// mostStrangers bounds them; whoever has a certificate of ours is among them.
const mostStrangers = 200

func (d *Desk) stranger(ctx context.Context, id topics.HostID, c *x509.Certificate) {
	if p, err := d.Store.PlaneOf(ctx); err != nil || !p.Lost(c.NotBefore.UnixMilli()) {
		return
	}
	d.unknown.mu.Lock()
	defer d.unknown.mu.Unlock()
	if d.unknown.ids == nil {
		d.unknown.ids = map[string]bool{}
	}
	if len(d.unknown.ids) < mostStrangers {
		d.unknown.ids[string(id)] = true
	}
}

// Strangers lists the IDs of hosts that came since this start with a certificate that
// was made after the copy this control plane was restored from, and are not in it.
func (d *Desk) Strangers() []string {
	d.unknown.mu.Lock()
	defer d.unknown.mu.Unlock()
	return slices.Sorted(maps.Keys(d.unknown.ids))
}

// Used records that a host has connected with a certificate, and reports whether it
// uses another identity of ours since.
func (d *Desk) Used(ctx context.Context, h store.Host, c *x509.Certificate) (moved bool, err error) {
	i := d.known().issued(c)
	if i == nil { // it ended since the handshake
		return false, fmt.Errorf("host %s: %w", h.ID, store.ErrSuperseded)
	}
	if h.Serial == serialOf(c) && h.CertifiedUntil == c.NotAfter.UnixMilli() && h.Generation == i.generation {
		return false, nil
	}
	return h.Generation != i.generation, d.Store.UseCertificate(ctx, h.ID, serialOf(c), c.NotAfter.UnixMilli(), i.generation)
}

func serialOf(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// errTwins refuses a certificate while two machines have the identity, or to the one
// that does not stay.
var errTwins = errors.New("two machines use this identity")

var errNotDue = errors.New("less than half of the certificate's life is over")

// renew gives a host its next certificate. The TLS connection has proven that the
// host has the key of the current one.
func (d *Desk) renew(w http.ResponseWriter, r *http.Request) {
	var req topics.RenewRequest
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		problem(w, http.StatusUnauthorized, "No certificate was shown",
			"Only the certificate that is to be renewed proves who asks. Without one, enrol the host again.")
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
		problem(w, http.StatusBadRequest, "The request could not be read", "It is not the JSON an agent sends.")
		return
	}
	der, err := d.next(r.Context(), r.TLS.VerifiedChains[0][0], req)
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(topics.RenewResponse{Certificate: der})
		return
	case errors.Is(err, store.ErrRevoked), errors.Is(err, store.ErrSuperseded), errors.Is(err, store.ErrNotFound):
		problem(w, http.StatusForbidden, "This certificate is not trusted any more",
			"Make a token for the host on its page, and enrol it again with it.")
	case errors.Is(err, errCSR):
		problem(w, http.StatusBadRequest, "The agent's request does not fit", err.Error())
	case errors.Is(err, errTwins):
		problem(w, http.StatusConflict, "Two machines use this host's identity",
			"An administrator has to say on the host's page which of them stays. That one gets the next certificate; the other one becomes a "+
				"host of its own.")
	case errors.Is(err, errNotDue):
		problem(w, http.StatusConflict, "It is too early for another certificate", "Ask when two thirds of this one's life are over.")
	default:
		d.Log.Error("renewing a certificate failed", "err", err, "remote", r.RemoteAddr)
		problem(w, http.StatusInternalServerError, "The control plane could not renew the certificate",
			"Nothing was changed; the certificate stays good. Try again later.")
		return
	}
	d.Log.Warn("renewal refused", "err", err, "remote", r.RemoteAddr)
}

func (d *Desk) next(ctx context.Context, current *x509.Certificate, req topics.RenewRequest) ([]byte, error) {
	h, err := d.Trusted(ctx, current)
	if err != nil {
		return nil, err
	}
	if h.TwinsSince > 0 || h.RenewFor != "" && req.Instance != h.RenewFor {
		return nil, fmt.Errorf("host %s: %w", h.ID, errTwins)
	}
	k := d.known()
	signer := k.signer(current, req.CA)
	life, moves := current.NotAfter.Sub(current.NotBefore), signer != k.issued(current)
	if d.CA.now().Before(current.NotAfter.Add(-life/2)) && h.RenewFor == "" && !moves {
		return nil, fmt.Errorf("host %s: %w", h.ID, errNotDue)
	}
	der, made, err := signer.ca.sign(h.ID, req.CSR)
	if err != nil {
		return nil, err
	}
	if err := d.Store.Renew(ctx, h.ID, serialOf(current), serialOf(made)); err != nil {
		return nil, err
	}
	failpoint.Here("plane-certificate-made")
	d.Log.Info("certificate renewed", "host", h.ID, "until", made.NotAfter)
	return der, nil
}
