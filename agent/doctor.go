package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// noBackups is what most that is wrong with an agent means.
const noBackups = "this host makes no backups until that is mended"

// Checks are what doctor looks at on a host with this state directory. program is the
// restic that the agent is given, "" for the one on PATH.
func Checks(state, program string) []doctor.Check {
	return []doctor.Check{
		{Name: "identity", Run: func(context.Context) []doctor.Finding { return checkIdentity(state, time.Now()) }},
		{Name: "policy", Run: func(context.Context) []doctor.Finding { return checkPolicy(state) }},
		{Name: "disk", Run: func(context.Context) []doctor.Finding { return checkDisk(state) }},
		{Name: "restic", Limit: 15 * time.Second, Run: func(ctx context.Context) []doctor.Finding { return checkRestic(ctx, state, program) }},
		{Name: "control plane", Run: func(ctx context.Context) []doctor.Finding { return checkPlane(ctx, state) }},
		{Name: "repositories", Limit: 20 * time.Second, Run: func(ctx context.Context) []doctor.Finding { return checkRepositories(ctx, state) }},
		{Name: "hooks", Run: func(context.Context) []doctor.Finding { return checkHooks(state) }},
		{Name: "clock", Run: func(context.Context) []doctor.Finding {
			return []doctor.Finding{doctor.Synchronised(doctor.ClockKept())}
		}},
	}
}

// Access is what the agent's service is to do with files by its policy.
func Access(state string) doctor.Access {
	a := doctor.Access{Write: []string{state}, Owners: true}
	p, err := LoadPolicy(state)
	if err != nil {
		return a
	}
	a.Read, a.Write, a.Hooks = p.BackupRoots, append(a.Write, p.RestoreRoots...), len(p.Hooks) > 0
	for _, pin := range slices.Concat(p.Repositories, p.RepositoryRoots) {
		if filepath.IsAbs(pin) {
			a.Write = append(a.Write, filepath.Clean(placeOf(pin)))
		}
	}
	return a
}

func checkIdentity(state string, now time.Time) []doctor.Finding {
	const again = "have a token made for this host (page of the host, or restic-manager enroll-token create --for HOST), then " +
		"restic-manager-agent enroll --again --server HOST:8883 --token T"
	i, err := LoadIdentity(state)
	if errors.Is(err, ErrNotEnrolled) {
		return []doctor.Finding{{State: doctor.Fail, What: "this host is not enrolled: there is no identity in " + state, Effect: noBackups,
			Remedy: "restic-manager-agent enroll --server HOST:8883 --token T, with a token of the page Add host; or name its " +
				"directory with --state"}}
	}
	if errors.Is(err, fs.ErrPermission) {
		return []doctor.Finding{{State: doctor.Warning, What: "the identity cannot be read by this user", Effect: "less is checked than could be",
			Remedy: "run doctor as root, or as an administrator"}}
	}
	if err != nil {
		return []doctor.Finding{{State: doctor.Fail, What: err.Error(), Effect: noBackups, Remedy: again}}
	}
	list := []doctor.Finding{doctor.Well("host %s, known as %q, of the control plane at %s", i.Host, i.Name, i.Server)}
	if err := planted(state); err != nil {
		list = append(list, doctor.Finding{State: doctor.Fail, What: err.Error(), Effect: noBackups,
			Remedy: "do that, and then: restic-manager-agent start"})
	}
	if runtime.GOOS != "windows" { // there the service sees to it at each start
		for _, name := range []string{"", identityFile} {
			path := filepath.Join(state, name)
			if info, err := os.Stat(path); err == nil {
				if f := doctor.Private(path, info.Mode(), "chmod go= "+path+", then "+again); f.State != doctor.OK {
					list = append(list, f)
				}
			}
		}
	}
	shown, err := i.credentials()
	if err != nil {
		return append(list, doctor.Finding{State: doctor.Fail, What: err.Error(), Effect: noBackups, Remedy: again})
	}
	leaf := shown.current.Load().leaf
	early := leaf.NotAfter.Sub(leaf.NotBefore) / 5 // it renews long before
	return append(list, doctor.Certificate("this host", leaf, now, early,
		"the host is shut out of its control plane when it ends; its schedules go on by themselves", again))
}

func checkPolicy(state string) []doctor.Finding {
	p, err := LoadPolicy(state)
	if err != nil {
		remedy := "correct the file, or as root: chmod 600 and chown root; restic-manager-agent policy show says what it means"
		if runtime.GOOS == "windows" {
			remedy = "correct the file, or give it to the administrators alone; restic-manager-agent policy show says what it means"
		}
		return []doctor.Finding{{State: doctor.Fail, What: err.Error(), Effect: "no job is taken", Remedy: remedy}}
	}
	var list []doctor.Finding
	for line := range strings.Lines(p.Words()) {
		list = append(list, doctor.Well("%s", strings.TrimSpace(line)))
	}
	if p.managed() {
		return list
	}
	for _, dir := range p.BackupRoots {
		if _, err := os.Stat(dir); err != nil {
			list = append(list, doctor.Finding{State: doctor.Warning, What: fmt.Sprintf("backups may read %s, which is not there: %v", dir, err),
				Effect: "backups of it fail", Remedy: "mount it, or take it out of backup_roots in " + filepath.Join(state, policyFile)})
		}
	}
	for _, dir := range p.RestoreRoots {
		if _, err := os.Stat(dir); err != nil && dir != filepath.Join(state, quarantine) { // that one is made when it is needed
			list = append(list, doctor.Finding{State: doctor.Warning, What: fmt.Sprintf("restores may write %s, which is not there: %v", dir, err),
				Effect: "restores to it fail", Remedy: "mount it, or restic-manager-agent policy allow-restore " + dir + " makes it"})
		}
	}
	return list
}

func checkDisk(state string) []doctor.Finding {
	free, total, err := process.Space(state)
	low := topics.Disk{Total: total, Free: free}
	d := doctor.Disk{Dir: state, Free: free, Total: total, Low: 64 << 20, Scarce: 8 << 20, Kind: doctor.FileSystem(state),
		Writable: doctor.Writable(state), Err: err, Effect: "no job begins while the agent's journal cannot be written"}
	if low.Low() {
		d.Low = max(d.Low, free+1)
	}
	return d.Findings()
}

func checkRestic(ctx context.Context, state, named string) []doctor.Finding {
	var list []doctor.Finding
	own := &program{path: named, state: state}
	b, err := own.find(ctx)
	if own.why != "" {
		list = append(list, doctor.Finding{State: doctor.Warning, What: own.why, Effect: "the host's own restic is used in its place",
			Remedy: "have it fetched again, or go back for good: restic-manager-agent restic rollback"})
	}
	if own.held.SHA256 != "" && own.why == "" {
		named = b.Path
	}
	if err != nil {
		list = append(list, doctor.Finding{State: doctor.Fail, What: err.Error(), Effect: noBackups,
			Remedy: "install the package restic, or name the program: restic-manager-agent run --restic PATH"})
	} else {
		list = append(list, doctor.Well("restic %s is %s", b.Version, b.Path))
		if named == "" {
			named = b.Path
		}
		if !filepath.IsAbs(named) {
			list = append(list, doctor.Finding{State: doctor.Warning, What: named + " is no full path",
				Effect: "whoever changes PATH decides what runs as root", Remedy: "restic-manager-agent install writes the full path into the service"})
		}
	}
	p, err := LoadPolicy(state)
	if err != nil || !slices.ContainsFunc(p.Repositories, func(pin string) bool { return strings.HasPrefix(pin, "sftp:") }) {
		return list
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return append(list, doctor.Finding{State: doctor.Fail, What: "there is no ssh, and a repository is reached by SFTP", Effect: noBackups,
			Remedy: "install the package openssh-client"})
	}
	return append(list, doctor.Well("ssh is %s", ssh))
}

// checkPlane asks for nothing at the control plane's port for agents, as this host. That
// shows name, port, both certificates and its clock.
func checkPlane(ctx context.Context, state string) []doctor.Finding {
	i, err := LoadIdentity(state)
	if err != nil {
		return nil // that was said
	}
	shown, err := i.credentials()
	if err != nil {
		return nil
	}
	return planeFindings(ctx, i.Server, shown.current.Load().tls(topics.ALPNHTTP))
}

func planeFindings(ctx context.Context, server string, conf *tls.Config) []doctor.Finding {
	const alone = "schedules go on by themselves; nothing is asked for or reported until it is reached again"
	began := time.Now()
	date, err := dateOf(ctx, server, conf)
	took := time.Since(began)
	if err == nil {
		list := []doctor.Finding{doctor.Well("%s answers, and is the one this host was enrolled at (%v)", server, took.Round(time.Millisecond))}
		if !date.IsZero() {
			list = append(list, doctor.Skew("the control plane", began.Sub(date), took))
		}
		return list
	}
	f := doctor.Finding{State: doctor.Fail, Effect: alone}
	var unknown *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(err, &unknown):
		f.What = fmt.Sprintf("who answers at %s is not the control plane that this host was enrolled at: %v", server, unknown.Err)
		f.Remedy = "correct the address, or take what stands between them (a proxy that opens TLS) away; if the control plane was made anew, " +
			"enrol this host there: restic-manager-agent enroll --again"
	case errors.As(err, &network) && network.Op == "remote error":
		f.What = fmt.Sprintf("%s refuses this host: %v", server, err)
		f.Remedy = "the host's page says why (revoked, or another certificate is in use); restic-manager enroll-token create " +
			"--for HOST there, then " +
			"restic-manager-agent enroll --again here"
	default:
		f.What, f.Remedy = doctor.Refused(server, err)
	}
	return []doctor.Finding{f}
}

// dateOf is what the clock of an HTTP server says.
func dateOf(ctx context.Context, address string, conf *tls.Config) (date time.Time, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: conf},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+address+"/", nil)
	if err != nil {
		return date, err
	}
	answer, err := client.Do(ask)
	if err != nil {
		return date, err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<10))
	date, err = http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil //nolint:nilerr // it does not tell
	}
	return date, nil
}

// placeOf is a pin without the variables behind it. A path has blanks of its own.
func placeOf(pin string) string {
	place, _, err := location.ParseDescribed(pin)
	if err != nil {
		return pin // what looks like a variable belongs to it
	}
	return place
}

// checkRepositories sees whether anybody is there where the policy lets data go. It says
// no password: whether that is right, each job shows.
func checkRepositories(ctx context.Context, state string) []doctor.Finding {
	p, err := LoadPolicy(state)
	if err != nil {
		return nil // that was said
	}
	if len(p.Repositories) == 0 {
		return []doctor.Finding{doctor.Well("the policy names no repository yet; which there are, the control plane knows")}
	}
	found := make([]doctor.Finding, len(p.Repositories))
	done := make(chan struct{}, len(p.Repositories))
	for i, pin := range p.Repositories {
		go func() {
			found[i] = reachRepository(ctx, pin)
			done <- struct{}{}
		}()
	}
	for range p.Repositories {
		<-done
	}
	return found
}

func reachRepository(ctx context.Context, pin string) doctor.Finding {
	shown := location.Shown(placeOf(pin))
	address, local := addressOf(pin)
	if local != "" {
		if _, err := os.Stat(local); err != nil {
			return doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the repository %s is not there: %v", shown, err),
				Effect: "backups to it fail, and its snapshots are not reached",
				Remedy: "mount its disk; a new one is made by: restic-manager job start --kind init"}
		}
		if f := doctor.Writable(local); !f {
			return doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the repository %s cannot be written by this user", shown),
				Effect: "backups to it fail", Remedy: "run doctor as root; if it is, the disk is mounted read-only: findmnt -T " + local}
		}
		return doctor.Well("the repository %s is there", shown)
	}
	if address == "" {
		return doctor.Well("whether %s is reached, only restic can say: restic-manager job start --kind snapshots", shown)
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		what, remedy := doctor.Refused(address, err)
		return doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the repository %s: %s", shown, what),
			Effect: "backups to it fail, and its snapshots are not reached", Remedy: remedy}
	}
	_ = conn.Close()
	return doctor.Well("the server of %s answers at %s", shown, address)
}

// addressOf is where the server of a repository is dialled, or which directory it is; both
// are empty where only restic knows.
func addressOf(pin string) (address, local string) {
	place := placeOf(pin)
	if filepath.IsAbs(place) {
		return "", place
	}
	scheme, rest, _ := strings.Cut(place, ":")
	switch scheme {
	case "rest", "s3":
		u, err := url.Parse(rest)
		if err != nil || u.Hostname() == "" {
			return "", ""
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return net.JoinHostPort(u.Hostname(), port), ""
	case "sftp": // HOST[:PORT]:DIR; an alias of ssh's configuration is none that can be dialled
		host, _, _ := strings.Cut(rest, ":/")
		if host == "" || !strings.Contains(host, ".") && !strings.Contains(host, ":") && host != "localhost" {
			return "", ""
		}
		if h, p, err := net.SplitHostPort(host); err == nil {
			return net.JoinHostPort(h, p), ""
		}
		return net.JoinHostPort(strings.Trim(host, "[]"), "22"), ""
	}
	return "", ""
}

func checkHooks(state string) []doctor.Finding {
	p, err := LoadPolicy(state)
	if err != nil || len(p.Hooks) == 0 {
		return nil
	}
	var list []doctor.Finding
	for name, h := range p.Hooks {
		again := "look at it, and if it is as it should be: restic-manager-agent policy allow-hook " + name + " " + h.Path
		const effect = "backups with this hook fail"
		sum, err := hashOf(h.Path)
		switch {
		case err != nil:
			list = append(list, doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the hook %s: %v", name, err), Effect: effect, Remedy: again})
		case sum != h.SHA256:
			list = append(list, doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the hook %s, %s, is another file than was "+
				"allowed", name, h.Path),
				Effect: effect, Remedy: again})
		default:
			if err := process.Check(h.Path); err != nil {
				list = append(list, doctor.Finding{State: doctor.Fail, What: fmt.Sprintf("the hook %s: %v", name, err), Effect: effect, Remedy: again})
				continue
			}
			list = append(list, doctor.Well("the hook %s is the file that was allowed", name))
		}
	}
	slices.SortFunc(list, func(a, b doctor.Finding) int { return strings.Compare(a.What, b.What) })
	return list
}
