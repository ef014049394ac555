// Package reach says at which address agents reach the control plane: one rule for the
// pages, the API and the command line. It never takes an address from a request, whose
// sender may say what it likes.
package reach

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
)

// Port is the agents' port unless somebody says another.
const Port = "8883"

// Service knows the address.
type Service struct {
	Store *store.Store
	// Flag is --agents-public, which wins over what somebody set; "" is not given.
	Flag string
	// Listen is where the agents' port is; "" is not known here, as on the command line.
	Listen string
	// Pages is where people find the pages, "" if nobody said; nil is not known here.
	Pages func(context.Context) string
	// Roots are the authorities that the pages' certificate may be of; nil is the system's.
	Roots *x509.CertPool
	Log   *slog.Logger // nil logs nothing

	looking looking
}

// An Address is what agents dial.
type Address struct {
	Dial  string // HOST:PORT for a command; SERVER stands for a name that nobody said
	Set   string // as somebody set it, or the flag says; "" is neither
	Flag  bool   // it comes from --agents-public
	Known bool   // somebody said it, or the port's own is one
	// Say and Do are why no agent on another machine can dial it, and what to do, if that is
	// known here.
	Say, Do string
}

// Of is the address of now. An error is the database's.
func (s *Service) Of(ctx context.Context) (Address, error) {
	row, err := s.Store.Admission().Address(ctx)
	if err != nil {
		return Address{Dial: "SERVER:" + Port}, err
	}
	flag := s.Flag
	if s.Listen == "" { // beside a control plane that was told
		flag = row.Flag
	}
	if flag != "" {
		a := said(flag)
		a.Flag = true
		return a, nil
	}
	if row.Address != "" {
		return said(row.Address), nil
	}
	return unset(s.Listen), nil
}

// said is an address that somebody said. One that leads every machine to itself is taken, for
// trying things out, and not without a word.
func said(address string) Address {
	a := Address{Dial: address, Set: address, Known: true}
	if host, port, err := net.SplitHostPort(address); err == nil && loopback(host) {
		a.Say = "Agents on other machines cannot reach this server: they are told to dial " + address +
			", and that leads each of them to itself. Commands for hosts work on this machine alone."
		a.Do = "Set the agents' address to the name or address by which the hosts reach this machine, as in HOST:" + port +
			", on the page Settings, or with serve --agents-public."
	}
	return a
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.Unmap().IsLoopback()
}

// unset is the address if nobody said one: that of the port itself, where it is one.
func unset(listen string) Address {
	const set = "Set the agents' address on the page Settings, or start serve with --agents-public HOST:PORT."
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return Address{Dial: "SERVER:" + Port, Say: "Nobody has said at which address agents reach this server.", Do: set}
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case loopback(host):
		return Address{Dial: listen, Say: "Agents on other machines cannot reach this server: their port listens on " + listen +
			", which nobody else is led to. Commands for hosts work on this machine alone.",
			Do: "Start serve with --agents 0.0.0.0:" + port + " and --agents-public HOST:" + port +
				", where HOST is the name or address by which the hosts reach this machine."}
	case host == "" || err == nil && ip.IsUnspecified():
		return Address{Dial: "SERVER:" + port, Do: set,
			Say: "Nobody has said at which address agents reach this server. Commands have SERVER in its place."}
	}
	return Address{Dial: listen, Known: true}
}

// At is the address of agents if they reach this machine by a host name or IP address, "" if
// that cannot be.
func (s *Service) At(host string) string {
	_, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return ""
	}
	address, _ := Clean(net.JoinHostPort(host, port))
	return address
}

// Set sets the address; "" takes it away. A bad one is reported as [field.Errors].
func (s *Service) Set(ctx context.Context, actor, address string) error {
	address, wrong := Clean(address)
	if wrong != "" {
		return field.Errors{"agents_public": wrong}
	}
	return s.Store.Admission().SetAddress(ctx, actor, address)
}

// numbered reports whether the last part of a name is a number. No top-level domain is one:
// it was meant as an IP address.
func numbered(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.Contains(host, ".") && last != "" && strings.Trim(last, "0123456789") == ""
}

// Clean is an address as it is kept, and what is wrong with it, "" if nothing is. One
// without a port gets the usual one.
func Clean(address string) (clean, wrong string) {
	const how = "Write it as a name or an IP address with a port: backup.example.net:8883"
	address = strings.TrimSuffix(field.Clean(address), "/")
	if address == "" {
		return "", ""
	}
	if len(address) > 300 || strings.ContainsAny(address, "/@?#\"'<>`{}|^ \\$&;()*!~=,") || !field.Visible(address) {
		return "", how
	}
	if ip, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
		address = net.JoinHostPort(ip.String(), Port)
	} else if !strings.Contains(address, ":") {
		address += ":" + Port
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(host, ".") {
		return "", how
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
		return "", "The port is a number from 1 to 65535: backup.example.net:8883"
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.IsUnspecified():
		return "", fmt.Sprintf("%s is where a server listens; agents need a name or address that leads to it: backup.example.net:8883", host)
	case err == nil && ip.Zone() != "":
		return "", how
	case err == nil:
		host = ip.String()
	case strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 || r == ':' || r == '%' }):
		return "", how
	case numbered(host):
		return "", fmt.Sprintf("%s looks like an IP address and is none: each of its four numbers is from 0 to 255", host)
	}
	return net.JoinHostPort(strings.ToLower(host), port), ""
}
