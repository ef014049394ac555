package controlplane

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A certificate is that of the pages, or of consumers over MQTT, read again when its
// files have changed: who renews it need not stop us.
type certificate struct {
	cert, key string
	whose     string // for the log: the pages, consumers
	log       *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	looked time.Time
	stamp  [2]time.Time
}

// lookEvery bounds how often the files are looked at.
const lookEvery = 10 * time.Second

// openCertificate reads a certificate; without files there is none.
func openCertificate(whose, cert, key string, log *slog.Logger) (*certificate, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, errors.New("--tls-cert and --tls-key belong together: give both, or neither to serve the pages without TLS")
	}
	c := &certificate{cert: cert, key: key, whose: whose, log: log}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("the certificate of %s cannot be used: %w", whose, err)
	}
	return c, nil
}

// file is where the certificate is, "" for none.
func (c *certificate) file() string {
	if c == nil {
		return ""
	}
	return c.cert
}

func (c *certificate) stamps() (s [2]time.Time, err error) {
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = info.ModTime()
	}
	return s, nil
}

func (c *certificate) read() error {
	s, err := c.stamps()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.pair, c.stamp = &pair, s
	return nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return c.current(time.Now()), nil
	}}
}

// current is the certificate as its files have it, or the last that was whole.
func (c *certificate) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < lookEvery {
		return c.pair
	}
	c.looked = now
	s, err := c.stamps()
	if err == nil && s == c.stamp {
		return c.pair
	}
	if err == nil {
		err = c.read()
	}
	if err != nil {
		c.log.Error("the certificate's files cannot be read; the one from before is served on", "of", c.whose, "err", err)
	} else {
		c.log.Info("another certificate is served", "of", c.whose, "file", c.cert)
	}
	return c.pair
}
