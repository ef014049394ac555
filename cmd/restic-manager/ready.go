package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// readyCmd is what an engine asks whether a container is healthy: an image of ours has no
// other program that could.
type readyCmd struct {
	HTTP    string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Where serve has its pages; the same flag as serve's."`
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"As serve's: its pages are there over TLS."`
}

func (c *readyCmd) Run(ctx context.Context) error {
	host, port, err := net.SplitHostPort(c.HTTP)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // it listens everywhere, here as well
		host = "localhost"
	}
	// Whoever answers at an address of this machine is not asked for its name: nothing but
	// the status is read.
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(ask)
	if err != nil {
		return fmt.Errorf("the control plane does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		says, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // the status says it, too
		return errors.New("the control plane is not ready: " + answer.Status + " " + strings.TrimSpace(string(says)))
	}
	return nil
}
