// Package checkup is what doctor looks at of a control plane, on the machine it runs on,
// whether it runs or not: key, database, disk, ports, certificates, clock, the addresses
// that hosts and people use, and what is left over. It writes nothing.
package checkup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/knock"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/inspect"
	"github.com/restic-manager/restic-manager/store/keyring"
)

// Unit is what the control plane's service is called.
const Unit = "restic-manager"

// Config is what serve is given, as far as it is looked at.
type Config struct {
	Files  inspect.Files
	Key    keyring.Source
	KeyErr error // why it is not known where the key is

	HTTP, Agents, MQTT string // "" of MQTT has none
	Certificates       []Certificate
	PublicURL, Dial    string // as flags; what is set in the database is found there
	Descriptors        int    // that are enough
	Running            bool
	CopyEvery          time.Duration // 0 makes no copies
	Limits             space.Limits
	Now                func() time.Time
}

// A Certificate is one that serve is given by its files.
type Certificate struct{ Whose, Cert, Key string }

const (
	away    = "hosts go on with their schedules; nobody sees them, and nothing is asked for or reported"
	locked  = "no password in the database can be read: no backup is started from here"
	nothing = "the control plane does not start"
)

// Checks are what is looked at.
func Checks(c Config) []doctor.Check {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &survey{Config: c}
	s.read = sync.OnceFunc(s.look)
	one := func(f func() []doctor.Finding) func(context.Context) []doctor.Finding {
		return func(context.Context) []doctor.Finding { return f() }
	}
	return []doctor.Check{
		{Name: "service", Run: s.service},
		{Name: "key", Limit: 2 * time.Minute, Run: s.key},
		{Name: "database", Limit: 2 * time.Minute, Run: one(s.database)},
		{Name: "disk", Run: one(s.disk)},
		{Name: "copies", Run: one(s.copies)},
		{Name: "ports", Run: s.ports},
		{Name: "certificate", Limit: 2 * time.Minute, Run: one(s.certificates)},
		{Name: "clock", Limit: 2 * time.Minute, Run: one(s.clock)},
		{Name: "agents' address", Limit: 2 * time.Minute, Run: s.dial},
		{Name: "public URL", Limit: 2 * time.Minute, Run: s.public},
		{Name: "broker elsewhere", Limit: 2 * time.Minute, Run: s.uplink},
		{Name: "hosts", Limit: 2 * time.Minute, Run: one(s.hosts)},
		{Name: "locks", Limit: 2 * time.Minute, Run: one(s.locks)},
		{Name: "descriptors", Run: s.descriptors},
	}
}

// A survey reads the database once for all checks that ask about it.
type survey struct {
	Config
	read  func()
	state inspect.State
	found inspect.Survey
	err   error
}

// Reading the database and looking at its pages takes seconds for gigabytes.
const surveyLimit = 90 * time.Second

func (s *survey) look() {
	ctx, cancel := context.WithTimeout(context.Background(), surveyLimit)
	defer cancel()
	if s.state, s.err = s.Files.Look(); s.err != nil || s.state.Fresh {
		return
	}
	if s.state, s.err = s.Files.Inside(ctx, s.state); s.err != nil || len(s.state.Schema.Missing) > 0 {
		return
	}
	s.found, s.err = s.Files.Survey(ctx, s.Now().Add(-24*time.Hour).UnixMilli())
}

// known reports whether the database told what it knows.
func (s *survey) known() bool {
	s.read()
	return s.err == nil && !s.state.Fresh && len(s.state.Schema.Missing) == 0
}

func (s *survey) service(ctx context.Context) []doctor.Finding {
	u := doctor.AskUnit(ctx, Unit)
	if !u.Loaded() {
		if s.Running {
			return []doctor.Finding{doctor.Well("a control plane runs on %s", s.Files.Data)}
		}
		return []doctor.Finding{{State: doctor.Warning, What: "no control plane runs on " + s.Files.Data, Effect: away,
			Remedy: "restic-manager serve --data " + s.Files.Data + ", or the package's unit: systemctl enable --now restic-manager"}}
	}
	return u.Runs(Unit, away)
}

func (s *survey) key(context.Context) []doctor.Finding {
	if s.KeyErr != nil {
		return []doctor.Finding{{State: doctor.Fail, What: s.KeyErr.Error(), Effect: locked, Remedy: "name the key's file: --key-file FILE"}}
	}
	s.read()
	if s.state.Fresh {
		return nil
	}
	m, err := keyring.Open(s.Key, s.Files.Data, s.Files.Database, false)
	if err != nil {
		return []doctor.Finding{{State: doctor.Fail, What: err.Error(), Effect: locked,
			Remedy: "name the key's file (--key-file /etc/restic-manager/key with the package), or put it back from where you saved it"}}
	}
	var list []doctor.Finding
	if len(s.found.Keys) > 0 && !opens(m, s.found.Keys) {
		list = append(list, doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the key of %s does not open this database", m.From),
			Effect: locked, Remedy: "put the key back that belongs to it; after restore-self that is the one of the copy's time"})
	}
	for _, f := range []func() (string, string){func() (string, string) { return m.Misplaced(s.Files.Data) }, m.Exposed} {
		if say, remedy := f(); say != "" {
			list = append(list, doctor.Finding{State: doctor.Fail, What: say, Effect: "who has a copy can read every repository's password",
				Remedy: remedy})
		}
	}
	if list == nil && len(s.found.Keys) > 0 {
		list = append(list, doctor.Well("the key of %s opens the database", m.From))
	} else if list == nil {
		list = append(list, doctor.Well("the key is that of %s", m.From))
	}
	return list
}

// opens reports whether a master key opens the data keys that are sealed with it, and
// whether there are any.
func opens(m keyring.Master, sealed []inspect.SurveyedKey) (does bool) {
	for _, k := range sealed {
		if k.Master != m.ID {
			continue
		}
		if _, err := m.Rewrap(m, k.ID, k.Wrapped); err != nil {
			return false
		}
		does = true
	}
	return does
}

func (s *survey) database() []doctor.Finding {
	s.read()
	fail := func(err error, remedy string) []doctor.Finding {
		return []doctor.Finding{{State: doctor.Fail, What: err.Error(), Effect: nothing, Remedy: remedy}}
	}
	const restore = "restic-manager restore-self COPY --data DIR, with the newest of DIR/copies; docs/RESTORE-SELF.md says it step by step"
	switch {
	case errors.Is(s.err, os.ErrPermission):
		return []doctor.Finding{{State: doctor.Warning, What: s.err.Error(), Effect: "the database is not checked", Remedy: "run doctor as root"}}
	case errors.Is(s.err, context.DeadlineExceeded):
		return []doctor.Finding{{State: doctor.Warning, What: fmt.Sprintf("the database was not read within %v", surveyLimit),
			Effect: "whether it is whole is not known", Remedy: "run doctor again at a quiet time; look at the disk (iostat -x 5)"}}
	case s.err != nil:
		return fail(s.err, restore)
	case s.state.Fresh:
		return []doctor.Finding{{State: doctor.Warning, What: "there is no database in " + s.Files.Data,
			Effect: "serve makes a new one, without hosts", Remedy: "name the directory that serve is given: --data DIR"}}
	case s.state.Lost != nil:
		return fail(s.state.Lost, restore)
	case len(s.state.Schema.Missing) > 0:
		return []doctor.Finding{{State: doctor.Warning, What: fmt.Sprintf("the database is of an earlier version (schema %d)", s.state.Schema.At),
			Effect: "less is checked", Remedy: "start serve of this version once: it makes a copy and brings the database up to date"}}
	case len(s.found.Damage) > 0:
		return fail(errors.New("the database is damaged: "+strings.Join(s.found.Damage, "; ")), restore)
	}
	size := int64(0)
	for _, end := range []string{"", "-wal"} {
		if info, err := os.Stat(s.Files.Database + end); err == nil {
			size += info.Size()
		}
	}
	return []doctor.Finding{doctor.Well("schema %d, %d MiB, its pages are whole", s.state.Schema.At, size>>20)}
}

func (s *survey) disk() []doctor.Finding {
	free, total, err := space.Measure(s.Files.Data)
	return doctor.Disk{Dir: s.Files.Data, Free: free, Total: total, Low: s.Limits.LowOf(total), Scarce: s.Limits.Scarce,
		Kind: doctor.FileSystem(s.Files.Data), Writable: doctor.Writable(s.Files.Data), Err: err,
		Effect: "new jobs are held while it is low; when it is full nothing is recorded"}.Findings()
}

func (s *survey) copies() []doctor.Finding {
	list, err := copies.List(s.Files.Data)
	var last copies.Copy
	for _, c := range list {
		if c.At.After(last.At) {
			last = c
		}
	}
	const lost = "if this disk is lost, so are all hosts, schedules and passwords that are in no copy"
	again := "restic-manager backup --data " + s.Files.Data + "; the page Control plane says why the daily one fails"
	switch {
	case err != nil:
		return []doctor.Finding{{State: doctor.Warning, What: "the copies cannot be listed: " + err.Error(), Effect: lost,
			Remedy: "run doctor as root"}}
	case s.CopyEvery == 0:
		return []doctor.Finding{doctor.Well("no copies are made by themselves (--copy-every 0)")}
	case last.At.IsZero():
		return []doctor.Finding{{State: doctor.Warning, What: "there is no copy of the database", Effect: lost, Remedy: again}}
	case s.Now().Sub(last.At) > 2*s.CopyEvery+time.Hour:
		return []doctor.Finding{{State: doctor.Warning, What: "the last copy of the database is of " +
			last.At.UTC().Format(time.RFC3339), Effect: lost,
			Remedy: again}}
	}
	return []doctor.Finding{doctor.Well("the last copy of the database is of %s; copies on this disk are lost with it, "+
		"restic-manager backup --to REPOSITORY --host HOST has them backed up", last.At.UTC().Format(time.RFC3339))}
}

// ports are those that serve listens on.
func (s *survey) ports(ctx context.Context) (list []doctor.Finding) {
	for _, p := range []struct{ what, flag, address, effect string }{
		{"pages", "--http", s.HTTP, "nobody sees the pages, and no program the API"},
		{"agents", "--agents", s.Agents, away},
		{"consumers", "--mqtt", s.MQTT, "Home Assistant and other consumers hear nothing"},
	} {
		if p.address == "" || p.address == "off" {
			continue
		}
		if s.Running {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", Here(p.address))
			if err == nil {
				_ = conn.Close()
				list = append(list, doctor.Well("%s: %s answers", p.what, p.address))
				continue
			}
			list = append(list, doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("%s: a control plane runs, and %s does not answer: %v", p.what,
				p.address, err), Effect: p.effect, Remedy: "give doctor what serve is given (" + p.flag + ", or the file of its settings: " +
				"--environment FILE); if it is that, restart it: systemctl restart restic-manager"})
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.address)
		if err != nil {
			_, port, _ := net.SplitHostPort(p.address)
			list = append(list, doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("%s: %s cannot be listened on: %v", p.what, p.address, err),
				Effect: nothing, Remedy: "ss -ltnp sport = :" + port + " says who has it; stop that, or choose another port with " + p.flag})
			continue
		}
		_ = l.Close()
		list = append(list, doctor.Well("%s: %s is free for serve", p.what, p.address))
	}
	return list
}

// Here is where a listener's address is dialled on this machine.
func Here(address string) string { return knock.Local(address) }

// issuerAt is who issued the certificate that is shown at an address.
func issuerAt(ctx context.Context, address string) (sum [32]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	return knock.Issuer(ctx, address)
}

func (s *survey) certificates() (list []doctor.Finding) {
	for _, c := range s.Certificates {
		if c.Cert == "" {
			continue
		}
		effect := "browsers and programs refuse " + c.Whose
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			list = append(list, doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the certificate of %s cannot be used: %v", c.Whose, err),
				Effect: effect, Remedy: "put the chain in " + c.Cert + " and its key in " + c.Key + "; they are read again without a restart"})
			continue
		}
		list = append(list, doctor.Certificate(c.Whose, pair.Leaf, s.Now(), 14*24*time.Hour, effect,
			"renew it (certbot renew, or whoever issues it), and put it in "+c.Cert+"; it is read again without a restart"))
		if u, err := url.Parse(s.publicURL()); c.Whose == "the pages" && err == nil && u.Scheme == "https" {
			if err := pair.Leaf.VerifyHostname(u.Hostname()); err != nil {
				list = append(list, doctor.Finding{State: doctor.Warning,
					What: fmt.Sprintf("the certificate of the pages is not for %s, as links have it",
						u.Hostname()), Effect: "browsers warn whoever follows a link", Remedy: "have it issued for that name, or change --public-url"})
			}
		}
	}
	if list == nil {
		list = append(list, doctor.Well("no certificate of files is in use; that of the agents' port is renewed by itself"))
	}
	return list
}

func (s *survey) clock() []doctor.Finding {
	list := []doctor.Finding{doctor.Synchronised(doctor.ClockKept())}
	if s.known() && s.found.Audited > s.Now().Add(time.Minute).UnixMilli() {
		list = append(list, doctor.Finding{State: doctor.Fail,
			What:   "the clock has gone back: the audit log's last entry is of " + time.UnixMilli(s.found.Audited).UTC().Format(time.RFC3339),
			Effect: "schedules wait until that time has come again", Remedy: "set the clock: timedatectl set-ntp true"})
	}
	return list
}

// dial sees whether the address that agents are told leads to our own port.
func (s *survey) dial(ctx context.Context) []doctor.Finding {
	address := s.Dial
	if s.known() && address == "" {
		address = s.found.Dial
	}
	if address == "" {
		return []doctor.Finding{{State: doctor.Warning, What: "nobody has said at which address agents reach this server",
			Effect: "the commands of Add host have SERVER in place of a name",
			Remedy: "restic-manager agents-public HOST:8883, or serve --agents-public"}}
	}
	if !s.Running {
		return []doctor.Finding{doctor.Well("agents are told %s", address)}
	}
	const effect = "new hosts cannot enrol with the commands that are shown, and those behind that address are away"
	there, err := issuerAt(ctx, address)
	if err != nil {
		what, remedy := doctor.Refused(address, err)
		return []doctor.Finding{{State: doctor.Warning, What: "agents are told " + address + ", which this machine does not reach: " + what,
			Effect: effect + ", unless only this machine is not led there", Remedy: remedy + "; or restic-manager agents-public HOST:PORT"}}
	}
	here, err := issuerAt(ctx, Here(s.Agents))
	if err != nil {
		return nil // the port's own row says so
	}
	if here != there {
		return []doctor.Finding{{State: doctor.Fail, What: "at " + address + ", which agents are told, somebody else answers " +
			"than our own port " + s.Agents,
			Effect: effect, Remedy: "have what stands between pass TCP on as it is (no TLS of its own), or restic-manager agents-public HOST:PORT"}}
	}
	return []doctor.Finding{doctor.Well("agents are told %s, and it leads here", address)}
}

func (s *survey) publicURL() string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	if s.known() {
		return s.found.Public
	}
	return ""
}

func (s *survey) public(ctx context.Context) []doctor.Finding {
	address := s.publicURL()
	const links = "links in messages to people lead nowhere"
	if address == "" {
		return []doctor.Finding{{State: doctor.Warning, What: "nobody has said where people find the pages", Effect: "messages have no links",
			Remedy: "restic-manager public-url https://HOST, or serve --public-url"}}
	}
	if !s.Running {
		return []doctor.Finding{doctor.Well("people find the pages at %s", address)}
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/readyz", nil)
	if err != nil {
		return []doctor.Finding{{State: doctor.Fail, What: "the public URL is none: " + err.Error(), Effect: links,
			Remedy: "restic-manager public-url https://HOST"}}
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	answer, err := client.Do(ask)
	var wrong *tls.CertificateVerificationError
	switch {
	case errors.As(err, &wrong):
		return []doctor.Finding{{State: doctor.Warning, What: fmt.Sprintf("this machine does not trust the certificate at %s: %v",
			address, wrong.Err),
			Effect: "browsers that do not know its issuer either warn", Remedy: "have it issued by an authority they trust, or " +
				"add that to this system's"}}
	case err != nil:
		host := ask.URL.Host
		if ask.URL.Port() == "" {
			host = net.JoinHostPort(ask.URL.Hostname(), map[string]string{"http": "80", "https": "443"}[ask.URL.Scheme])
		}
		what, remedy := doctor.Refused(host, err)
		return []doctor.Finding{{State: doctor.Warning, What: "this machine does not reach the public URL: " + what, Effect: links +
			", unless only this machine is not led there", Remedy: remedy + "; or restic-manager public-url https://HOST"}}
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096)) // the status says enough
	if answer.StatusCode != http.StatusOK || !strings.Contains(string(text), "database: ok") {
		return []doctor.Finding{{State: doctor.Fail, What: fmt.Sprintf("%s answers %s: %.200s", address, answer.Status, text), Effect: links,
			Remedy: "look at the proxy before the pages; restic-manager ready says whether serve itself answers"}}
	}
	return []doctor.Finding{doctor.Well("people find the pages at %s", address)}
}

func (s *survey) uplink(ctx context.Context) (list []doctor.Finding) {
	if !s.known() {
		return nil
	}
	if s.found.Left > 0 {
		list = append(list, doctor.Finding{State: doctor.Warning, What: fmt.Sprintf("%d brokers that were left still hold what "+
			"was retained there",
			s.found.Left), Effect: "who reads there sees what is no longer true",
			Remedy: "have them reachable once: they are cleared then; the page MQTT says how far"})
	}
	u, err := url.Parse(s.found.Uplink)
	if s.found.Uplink == "" || err != nil {
		return append(list, doctor.Well("no broker elsewhere is set in the database"))
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		what, remedy := doctor.Refused(address, err)
		return append(list, doctor.Finding{State: doctor.Fail, What: "the broker elsewhere: " + what, Effect: "nobody hears there; backups go on",
			Remedy: remedy + "; restic-manager uplink test tries it as a client"})
	}
	_ = conn.Close()
	return append(list, doctor.Well("the broker elsewhere answers at %s", address))
}

func (s *survey) hosts() []doctor.Finding {
	if !s.known() {
		return nil
	}
	heard := 0
	for _, h := range s.found.Hosts {
		if s.Now().Sub(time.UnixMilli(h.LastSeen)) < 24*time.Hour {
			heard++
		}
	}
	if n := len(s.found.Hosts); n > 1 && heard == 0 {
		return []doctor.Finding{{State: doctor.Fail, What: fmt.Sprintf("none of %d hosts was heard of in 24 hours", n),
			Effect: "what they backed up since is not known", Remedy: "see the rows ports and agents' address; " +
				"restic-manager-agent doctor on one host"}}
	}
	return []doctor.Finding{doctor.Well("%d of %d hosts were heard of in 24 hours", heard, len(s.found.Hosts))}
}

func (s *survey) locks() []doctor.Finding {
	if !s.known() {
		return nil
	}
	if len(s.found.Locks) == 0 {
		return []doctor.Finding{doctor.Well("no repository has a lock that is left over, as hosts last saw")}
	}
	var list []doctor.Finding
	for _, l := range s.found.Locks {
		list = append(list, doctor.Finding{State: doctor.Warning, What: fmt.Sprintf("the repository %s has a lock of %s from %s "+
			"that nobody holds",
			l.Repository, l.Host, time.UnixMilli(l.Time).UTC().Format(time.RFC3339)),
			Effect: "forget, prune and some checks there fail; backups go on",
			Remedy: "restic-manager job start --kind unlock --host HOST --repository " + l.Repository})
	}
	return list
}

func (s *survey) descriptors(ctx context.Context) []doctor.Finding {
	may := doctor.OpenFiles()
	if u := doctor.AskUnit(ctx, Unit); u.Loaded() { // this process has others
		if n, ok := u.Number("LimitNOFILE"); ok {
			may = n
		}
	}
	if runtime.GOOS == "windows" {
		may = 0
	}
	return []doctor.Finding{doctor.Descriptors(may, s.Descriptors, "systemctl edit restic-manager: [Service] LimitNOFILE=65536, then "+
		"systemctl restart restic-manager; or allow fewer with --agent-connections")}
}
