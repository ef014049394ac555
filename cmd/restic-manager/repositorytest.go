package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type repositoryTestCmd struct {
	Host       string `arg:"" help:"Who looks: a host's name or ID."`
	Repository string `placeholder:"NAME" help:"One that is saved, by name or ID: what is not said is as it is there."`
	placeFlags
	database
}

// A test is one look of one host.
type test struct {
	with string // which credential
	host topics.HostID
	of   topics.Repository
	none string // why nobody looks, "" if the host does
}

// Run has a host look, and the keeper with the credential of maintenance if there is one. It
// fails if neither a repository nor a place for one was found.
func (c *repositoryTestCmd) Run(ctx context.Context) error {
	in, err := c.input()
	if err != nil {
		return err
	}
	var tests []test
	if err := c.with(ctx, func(s *store.Store) (err error) {
		tests, err = c.tests(ctx, s, in)
		return err
	}); err != nil {
		return err
	}
	good := true
	for _, t := range tests {
		f, err := t.look(ctx, c.Data)
		if err != nil {
			return err
		}
		if err := printFinding(t, f); err != nil {
			return err
		}
		good = good && f.State != topics.FindingOther
	}
	if !good {
		return errors.New("this is no place for a repository as it is")
	}
	return nil
}

// tests are the looks that are asked for.
func (c *repositoryTestCmd) tests(ctx context.Context, s *store.Store, in repositories.Input) (list []test, err error) {
	h, err := hostNamed(ctx, s, c.Host)
	if err != nil {
		return nil, err
	}
	var id topics.RepositoryID
	if c.Repository != "" {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return nil, err
		}
		id = r.ID
	}
	service := &repositories.Service{Store: s}
	everyday := test{with: "everyday", host: h.ID}
	if everyday.of, err = service.Trial(ctx, id, in, h.ID); err != nil {
		return nil, err
	}
	keeping := test{with: "maintenance"}
	there := false
	if keeping.of, keeping.host, there, err = service.MaintenanceTrial(ctx, id, in); err != nil {
		return nil, err
	}
	if !there {
		return []test{everyday}, nil
	}
	if keeping.host == "" {
		keeping.none = "The repository has no keeper, who alone gets this credential."
	}
	return []test{everyday, keeping}, nil
}

// look asks the host through the control plane that runs.
func (t test) look(ctx context.Context, data string) (topics.Finding, error) {
	if t.none != "" {
		return topics.Finding{State: topics.FindingOther, Cause: topics.CauseUsage, Message: t.none}, nil
	}
	return queries.Client{Data: data}.Test(ctx, t.host, t.of)
}

func printFinding(t test, f topics.Finding) error {
	at := ""
	if address, err := location.Parse(t.of.URL.Reveal()); err == nil {
		at = address.Public()
	}
	state := string(f.State)
	if f.Cause != topics.CauseNone {
		state += ": " + string(f.Cause)
	}
	lines := [][2]string{{"Credential", t.with}, {"Looked at", at}, {"Found", state}, {"", f.Message}, {"May delete", mayDelete(f.MayDelete)}}
	if f.Snapshots != nil {
		lines = append(lines, [2]string{"Snapshots", fmt.Sprint(*f.Snapshots)})
	}
	if c := f.Certificate; c != nil {
		trusted := "trusted"
		if !c.Trusted {
			trusted = "not trusted: " + c.Why
		}
		lines = append(lines, [2]string{"Certificate", fmt.Sprintf("%s of %s, until %s, SHA-256 %s, %s", c.Subject, c.Issuer,
			time.UnixMilli(c.NotAfter).UTC().Format("2006-01-02"), c.SHA256, trusted)})
	}
	for _, k := range f.HostKeys {
		lines = append(lines, [2]string{"Host key", fmt.Sprintf("%s %s %s", k.Name, k.Type, k.Fingerprint)})
	}
	return columns("", len(lines), func(i int) string { return row(lines[i][0], lines[i][1]) })
}

func mayDelete(may *bool) string {
	switch {
	case may == nil:
		return "cannot be told without deleting"
	case *may:
		return "yes"
	}
	return "no"
}
