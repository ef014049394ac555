package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type repositoryListCmd struct{ database }

func (c *repositoryListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		rows, err := s.Repositories(ctx)
		if err != nil {
			return err
		}
		tallies, err := s.SnapshotTallies(ctx)
		if err != nil {
			return err
		}
		said, err := healths(ctx, s)
		if err != nil {
			return err
		}
		return columns("NAME\tID\tLOCATION\tHEALTH\tSTORED\tSNAPSHOTS\tCHECKED", len(rows), func(i int) string {
			r := rows[i]
			stored := "-"
			if r.MeasuredAt > 0 {
				stored = words.Bytes(uint64(r.StoredBytes))
			}
			return row(r.Name, string(r.ID), r.Location, string(said[r.ID].Word), stored, fmt.Sprint(tallies[r.ID].Count), ago(s, r.CheckedAt))
		})
	})
}

type repositoryShowCmd struct {
	Repository string `arg:"" help:"Name or ID."`
	database
}

func (c *repositoryShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		a, err := s.RepositoryAccess(ctx, r.ID)
		if err != nil && !errors.As(err, new(*store.UnreadableError)) {
			return err
		}
		tallies, err := s.SnapshotTallies(ctx)
		if err != nil {
			return err
		}
		keys, err := s.ForeignKeys(ctx)
		if err != nil {
			return err
		}
		locks, err := s.Locks(ctx, r.ID)
		if err != nil {
			return err
		}
		keeper := "none"
		if r.Keeper != "" {
			h, err := s.Host(ctx, r.Keeper)
			if err != nil {
				return err
			}
			keeper = h.Name
		}
		said, err := healths(ctx, s, r.ID)
		if err != nil {
			return err
		}
		word := fmt.Sprintf("%s: %s", said[r.ID].Word, said[r.ID].Reason)
		yes := map[bool]string{true: "yes", false: "no"}
		maintenance := yes[a.Maintenance != nil]
		if slices.Contains(a.Unread, "maintenance") {
			maintenance = "cannot be read"
		}
		lines := [][2]string{
			{"Name", r.Name},
			{"ID", string(r.ID)},
			{"Location", r.Location},
			{"Health", word},
			{"Since", ago(s, said[r.ID].Since)},
			{"Keeper", keeper},
			{"Append only", yes[r.AppendOnly]},
			{"Maintenance credential", maintenance},
			{"Options", optionsOf(r.Options.V)},
			{"Snapshots", fmt.Sprintf("%d, of them %d foreign", tallies[r.ID].Count, tallies[r.ID].Foreign)},
			{"Listed", ago(s, r.ListedAt)},
			{"Stored", words.Bytes(uint64(max(r.StoredBytes, 0)))},
			{"Restorable", words.Bytes(uint64(max(r.RestoreBytes, 0)))},
			{"Measured", ago(s, r.MeasuredAt)},
			{"Checked", fmt.Sprintf("%s, %d errors", ago(s, r.CheckedAt), r.CheckErrors)},
			{"Forgot", ago(s, r.ForgotAt)},
			{"Pruned", ago(s, r.PrunedAt)},
			{"Locks", fmt.Sprintf("%d, looked %s", len(locks), ago(s, r.LocksAt))},
			{"Unknown keys", fmt.Sprintf("%d, looked %s", keys[r.ID], ago(s, r.KeysAt))},
		}
		for _, d := range repositories.Certificates(a) {
			lines = append(lines, [2]string{"Certificate", fmt.Sprintf("%s of %s, until %s, SHA-256 %s", d.Name, d.Subject,
				d.Until.UTC().Format("2006-01-02"), d.SHA256)})
		}
		warnings, err := repositories.Warnings(ctx, s, r, a)
		if err != nil {
			return err
		}
		for _, w := range warnings {
			lines = append(lines, [2]string{"Warning", w})
		}
		return columns("", len(lines), func(i int) string { return row(lines[i][0], lines[i][1]) })
	})
}

// optionsOf are restic's extended options in a line.
func optionsOf(options *map[string]string) string {
	if options == nil || len(*options) == 0 {
		return "none"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(*options)) {
		all = append(all, name+"="+(*options)[name])
	}
	return strings.Join(all, " ")
}

// healths judges some repositories, or all if none is named.
func healths(ctx context.Context, s *store.Store, ids ...topics.RepositoryID) (map[topics.RepositoryID]health.Verdict, error) {
	facts, err := s.Looks(ctx, ids...)
	said := make(map[topics.RepositoryID]health.Verdict, len(facts))
	for _, f := range facts {
		said[f.Repository] = health.Judge(f, time.Now())
	}
	return said, err
}

// placeFlags are what can be said of where a repository is and how it is opened. Secrets come
// from standard input or files, so that no process list shows them.
type placeFlags struct {
	URL            *string           `name:"url" placeholder:"URL" help:"Full path on the host, or what --repo takes; without a password."`
	PasswordFile   string            `placeholder:"FILE" help:"File with the repository's password; - is standard input."`
	EnvFile        string            `placeholder:"FILE" help:"The everyday credential, VARIABLE=VALUE a line, by restic's names."`
	MaintenanceEnv string            `name:"maintenance-env-file" placeholder:"FILE" help:"The same for what may delete, for the keeper."`
	MaintenanceURL *string           `name:"maintenance-url" placeholder:"URL" help:"Where the keeper finds the repository, if elsewhere."`
	Keeper         *string           `placeholder:"HOST" help:"Host that forgets, prunes and checks; empty for none."`
	Pasted         map[string]string `name:"file" placeholder:"VARIABLE=FILE" help:"What to keep of it, as in RESTIC_CACERT=ca.pem."`
	KeeperPasted   map[string]string `name:"maintenance-file" placeholder:"VARIABLE=FILE" help:"The same of the maintenance credential."`
	Option         map[string]string `placeholder:"NAME=VALUE" help:"Extended options, all of them, as in rest.connections=10; or none=."`
}

// repositoryFlags are what can be said of a repository.
type repositoryFlags struct {
	placeFlags
	AppendOnly *bool             `negatable:"" help:"The everyday credential cannot delete."`
	Keep       map[string]string `placeholder:"RULE=DURATION" help:"What stays, as in within=30d;within-daily=1y; none= keeps all."`
}

func (f repositoryFlags) input() (in repositories.Input, err error) {
	if in, err = f.placeFlags.input(); err != nil {
		return in, err
	}
	in.AppendOnly = f.AppendOnly
	if f.Keep != nil {
		in.Keep, err = readKeep(f.Keep)
	}
	return in, err
}

func (f placeFlags) input() (in repositories.Input, err error) {
	if f.URL != nil {
		in.URL = new(topics.Secret(*f.URL))
	}
	if f.PasswordFile != "" {
		text, err := readSecret(f.PasswordFile)
		if err != nil {
			return in, fmt.Errorf("read the password: %w", err)
		}
		first, _, _ := strings.Cut(text, "\n")
		in.Password = new(topics.Secret(strings.TrimRight(first, "\r")))
	}
	if f.EnvFile != "" {
		env, err := readEnv(f.EnvFile)
		if err != nil {
			return in, err
		}
		in.Everyday = &repositories.Credential{Env: env}
	}
	if f.MaintenanceEnv != "" || f.MaintenanceURL != nil {
		in.Maintenance = &repositories.Credential{}
		if f.MaintenanceURL != nil {
			in.Maintenance.URL = new(topics.Secret(*f.MaintenanceURL))
		}
		if f.MaintenanceEnv != "" {
			if in.Maintenance.Env, err = readEnv(f.MaintenanceEnv); err != nil {
				return in, err
			}
		}
	}
	for _, of := range []struct {
		to     **repositories.Credential
		pasted map[string]string
	}{{&in.Everyday, f.Pasted}, {&in.Maintenance, f.KeeperPasted}} {
		if len(of.pasted) == 0 {
			continue
		}
		if *of.to == nil {
			*of.to = &repositories.Credential{}
		}
		if (*of.to).Files, err = readPasted(of.pasted); err != nil {
			return in, err
		}
	}
	if f.Option != nil {
		in.Options = &f.Option
		delete(f.Option, "none")
	}
	in.Keeper = f.Keeper
	return in, nil
}

func readSecret(path string) (string, error) {
	if path == "-" {
		b, err := io.ReadAll(io.LimitReader(os.Stdin, 64<<10))
		return string(b), err
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// readPasted reads the files that were named for variables. An empty name takes one away.
func readPasted(names map[string]string) (map[string]topics.Secret, error) {
	files := map[string]topics.Secret{}
	for variable, path := range names {
		if path == "" {
			files[variable] = ""
			continue
		}
		text, err := readSecret(path)
		if err != nil {
			return nil, fmt.Errorf("read the file for %s: %w", variable, err)
		}
		if strings.TrimSpace(text) == "" {
			return nil, fmt.Errorf("%s, the file for %s, is empty", path, variable)
		}
		files[variable] = topics.Secret(text)
	}
	return files, nil
}

func readEnv(path string) (map[string]topics.Secret, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("read the credential: %w", err)
	}
	env := map[string]topics.Secret{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("line %d of %s is not VARIABLE=VALUE", n, path) // the line itself may be a secret
		}
		env[strings.TrimSpace(name)] = topics.Secret(value)
	}
	return env, lines.Err()
}

func readKeep(rules map[string]string) (*store.Keep, error) {
	k := &store.Keep{}
	durations := map[string]*string{
		"within":         &k.Within,
		"within-hourly":  &k.WithinHourly,
		"within-daily":   &k.WithinDaily,
		"within-weekly":  &k.WithinWeekly,
		"within-monthly": &k.WithinMonthly,
		"within-yearly":  &k.WithinYearly,
	}
	counts := map[string]*int{
		"last":    &k.Last,
		"hourly":  &k.Hourly,
		"daily":   &k.Daily,
		"weekly":  &k.Weekly,
		"monthly": &k.Monthly,
		"yearly":  &k.Yearly,
	}
	for name, value := range rules {
		if d := durations[name]; d != nil {
			*d = value
		} else if c := counts[name]; c != nil {
			if _, err := fmt.Sscanf(value, "%d", c); err != nil {
				return nil, fmt.Errorf("--keep %s=%s is not a number", name, value)
			}
		} else if name != "none" {
			return nil, fmt.Errorf("--keep %s is no rule; restic's are within, within-daily … and last, daily …", name)
		}
	}
	return k, nil
}

type repositoryAddCmd struct {
	Name   string `arg:"" help:"Its name."`
	Exists bool   `help:"It is there already: none is made, and if there is none, it is missing. Then see repository import."`
	repositoryFlags
	database
}

func (c *repositoryAddCmd) Run(ctx context.Context) error {
	if c.URL == nil || c.PasswordFile == "" {
		return errors.New("a new repository needs --url and --password-file")
	}
	in, err := c.input()
	if err != nil {
		return err
	}
	in.Name, in.Exists = &c.Name, c.Exists
	return c.with(ctx, func(s *store.Store) error {
		r, err := (&repositories.Service{Store: s}).Add(ctx, actor, in)
		if err == nil {
			fmt.Println(r.ID)
		}
		return err
	})
}

type repositorySetCmd struct {
	Repository string  `arg:"" help:"Name or ID."`
	Name       *string `help:"A new name."`
	repositoryFlags
	database
}

func (c *repositorySetCmd) Run(ctx context.Context) error {
	in, err := c.input()
	if err != nil {
		return err
	}
	in.Name = c.Name
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		_, err = (&repositories.Service{Store: s}).Change(ctx, actor, r.ID, in)
		return err
	})
}
