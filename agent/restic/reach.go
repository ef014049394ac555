package restic

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// Reach checks whether the repository's server answers. Since 0.18, restic itself
// retries for 14 minutes before it reports that. Reach fails only where restic would:
// nobody listens, the name does not resolve, the certificate is not trusted. Any
// answer, and whatever cannot be decided here, is left to restic. An SFTP server is asked
// whatever the version: restic loses what ssh says. Where ssh does not trust it, the ending
// has the keys that it shows.
func (b Binary) Reach(ctx context.Context, repository Repository, sink Sink) Ending {
	reached := Ending{State: topics.Succeeded}
	if target, ok := repository.sftp(); ok {
		return b.reachSFTP(ctx, target, repository.sshOptions(), sink)
	}
	if !b.Version.Has(since.Retries) {
		return reached
	}
	address := repository.endpoint()
	client := repository.client()
	if address == "" || client == nil {
		return reached
	}
	defer client.CloseIdleConnections()
	limit := time.Now().Add(b.Timing.orDefault().Reach)
	for pause := time.Second; ; pause *= 2 {
		cause, err := knock(ctx, client, address)
		switch {
		case ctx.Err() != nil:
			return Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: "cancelled before restic was started"}
		case err == nil:
			return reached
		case cause == topics.CauseCertificate || time.Now().Add(pause).After(limit):
			sink.Line(topics.Error, clean(err.Error()))
			return failed(cause, err)
		}
		sink.Line(topics.Warn, clean(err.Error())+"; trying again")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// Answers reports whether the repository's server says anything at all within a few seconds.
// It is true of what cannot be asked: a disk, and whatever has no address we could knock at.
func (b Binary) Answers(ctx context.Context, repository Repository) bool {
	ctx, cancel := context.WithTimeout(ctx, b.Timing.orDefault().Answer)
	defer cancel()
	if target, ok := repository.sftp(); ok {
		return !b.SSH.Knock(ctx, target, repository.sshOptions()).Late
	}
	address, client := repository.endpoint(), repository.client()
	if address == "" || client == nil {
		return true
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return true
	}
	answer, err := client.Do(req)
	if err == nil {
		answer.Body.Close()
	}
	return err == nil
}

// knock returns an error if the server cannot be reached.
func knock(ctx context.Context, client *http.Client, address string) (topics.Cause, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return topics.CauseNone, nil
	}
	answer, err := client.Do(req)
	if err == nil {
		answer.Body.Close()
		return topics.CauseNone, nil
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the URL
	}
	var (
		dial    *net.OpError
		name    *net.DNSError
		distant *tls.CertificateVerificationError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &distant):
		if !errors.As(err, &x509.UnknownAuthorityError{}) && !errors.As(err, &x509.HostnameError{}) &&
			!(errors.As(err, &invalid) && invalid.Reason == x509.Expired) {
			break // how strict restic is there depends on what it was built with
		}
		return topics.CauseCertificate, fmt.Errorf("the certificate of the repository's server is not trusted: %w", err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return topics.CauseUnreachable, fmt.Errorf("the repository's server speaks no TLS at this address: %w", err)
	case errors.As(err, &dial) && dial.Op == "dial" && errors.As(err, &name):
		// Some systems resolve names only through their library, which restic may use
		// or not.
		if found, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, name.Name); err == nil && len(found) > 0 {
			break
		}
		return topics.CauseUnreachable, fmt.Errorf("the name of the repository's server cannot be resolved: %w", err)
	case errors.As(err, &dial) && dial.Op == "dial":
		return topics.CauseUnreachable, fmt.Errorf("the repository's server cannot be reached: %w", err)
	}
	return topics.CauseNone, nil
}

// endpoint returns the HTTP address of a repository, "" if it has none.
func (r Repository) endpoint() string {
	at, err := location.ParseHere(r.URL.Reveal())
	if err != nil {
		return ""
	}
	address := at.Rest()
	env := func(name string) string { return r.Env[name].Reveal() }
	switch at.Scheme() {
	case "rest":
		address = strings.TrimSuffix(address, "/") + "/config"
	case "s3":
		if at.URL() == nil {
			address = "https://" + strings.TrimPrefix(address, "//")
		}
	case "b2":
		address = "https://api.backblazeb2.com/"
	case "gs":
		address = "https://storage.googleapis.com/"
	case "azure":
		address = "https://" + env("AZURE_ACCOUNT_NAME") + ".blob." + or(env("AZURE_ENDPOINT_SUFFIX"), "core.windows.net") + "/"
	case "swift":
		address = or(env("OS_STORAGE_URL"), or(env("OS_AUTH_URL"), env("ST_AUTH")))
	default:
		return ""
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return ""
	}
	u.User = nil
	if at.Scheme() != "rest" {
		u.Path, u.RawQuery = "/", ""
	}
	return u.String()
}

// client returns a client with the certificates and proxies that restic would use;
// nil if they cannot be determined.
func (r Repository) client() *http.Client {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if pasted := r.Files[location.CACert].Reveal(); pasted != "" {
		conf.RootCAs = x509.NewCertPool() // and nothing of the system's
		if !conf.RootCAs.AppendCertsFromPEM([]byte(pasted)) {
			return nil
		}
	} else if files := r.Env["RESTIC_CACERT"].Reveal(); files != "" {
		conf.RootCAs = x509.NewCertPool() // and nothing of the system's
		for name := range strings.SplitSeq(files, ",") {
			pem, err := os.ReadFile(name)
			if err != nil || !conf.RootCAs.AppendCertsFromPEM(pem) {
				return nil
			}
		}
	}
	if name, pem := r.Env["RESTIC_TLS_CLIENT_CERT"].Reveal(), []byte(r.Files[location.ClientCert].Reveal()); name != "" || len(pem) > 0 {
		var err error
		if len(pem) == 0 {
			if pem, err = os.ReadFile(name); err != nil {
				return nil
			}
		}
		pair, err := tls.X509KeyPair(pem, pem)
		if err != nil {
			return nil
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       conf,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 5 * time.Second,
			DisableKeepAlives:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
