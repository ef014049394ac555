package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAReportSaysHowItIs(t *testing.T) {
	r := Report{Program: "p", Version: "1", Findings: Run(t.Context(), []Check{
		{Name: "first", Run: func(context.Context) []Finding { return []Finding{Well("all %d", 3)} }},
		{Name: "second", Run: func(context.Context) []Finding {
			return []Finding{{State: Warning, What: "a\x1b[31mb\u202ec\nd", Effect: "e", Remedy: "r"}}
		}},
	})}
	if r.Exit() != 1 {
		t.Errorf("exit %d with a warning", r.Exit())
	}
	var text, js bytes.Buffer
	if err := errors.Join(r.Text(&text), r.JSON(&js)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ok       first   all 3\n", "warning  second  a [31mb c d\n", "means: e\n", "to do: r\n",
		"1 ok, 1 warning, 0 fail"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &text)
		}
	}
	var back Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || len(back.Findings) != 2 || back.Findings[1].Check != "second" {
		t.Errorf("%v, %+v", err, back)
	}
	for exit, states := range map[int][]State{0: {OK}, 1: {OK, Warning}, 2: {Fail, Warning, OK}} {
		r.Findings = nil
		for _, s := range states {
			r.Findings = append(r.Findings, Finding{State: s})
		}
		if r.Exit() != exit {
			t.Errorf("%v: exit %d, want %d", states, r.Exit(), exit)
		}
	}
}

func TestACheckThatHangsIsGivenUp(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	got := Run(t.Context(), []Check{
		{Name: "deaf", Limit: time.Millisecond, Run: func(context.Context) []Finding { <-hang; return nil }},
		{Name: "heeds", Limit: time.Millisecond, Run: func(ctx context.Context) []Finding {
			<-ctx.Done()
			return []Finding{{State: Fail, What: "was waiting for it"}}
		}},
	})
	if len(got) != 2 || got[0].Check != "deaf" || got[0].State != Warning || got[1].State != Fail {
		t.Errorf("%+v", got)
	}
}

// Whatever is not well says what it means and what to do.
func TestJudgements(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	cert := func(from, to time.Duration) *x509.Certificate {
		return &x509.Certificate{NotBefore: now.Add(from), NotAfter: now.Add(to)}
	}
	const day = 24 * time.Hour
	disk := func(change func(*Disk)) []Finding {
		d := Disk{Dir: "/d", Free: 500 << 20, Total: 1 << 30, Low: 256 << 20, Scarce: 64 << 20, Writable: true, Effect: "e"}
		change(&d)
		return d.Findings()
	}
	one := func(f Finding) []Finding { return []Finding{f} }
	agent := func(more string) Unit {
		return ParseUnit("LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nProtectSystem=no\nProtectHome=no\nPrivateTmp=no\n" +
			"CapabilityBoundingSet=cap_dac_read_search cap_dac_override cap_chown cap_fowner cap_fsetid cap_mknod cap_setfcap\n" + more)
	}
	all := Access{Read: []string{"/"}, Write: []string{"/var/lib/agent"}, Owners: true}
	for name, c := range map[string]struct {
		got  []Finding
		want string // the states
	}{
		"a disk with room":         {disk(func(*Disk) {}), "ok"},
		"a low disk":               {disk(func(d *Disk) { d.Free = 100 << 20 }), "warning"},
		"a full disk":              {disk(func(d *Disk) { d.Free = 1 << 20 }), "fail"},
		"no disk":                  {disk(func(d *Disk) { d.Err = os.ErrNotExist }), "fail"},
		"a disk that is read only": {disk(func(d *Disk) { d.Writable = false }), "fail ok"},
		"a network's disk":         {disk(func(d *Disk) { d.Kind = "nfs" }), "ok warning"},
		"memory":                   {disk(func(d *Disk) { d.Kind = "tmpfs" }), "ok fail"},
		"ext4":                     {disk(func(d *Disk) { d.Kind = "" }), "ok"},
		"a private file":           {one(Private("/k", 0o600, "r")), "ok"},
		"a file of the group":      {one(Private("/k", 0o640, "r")), "fail"},
		"a valid certificate":      {one(Certificate("x", cert(-day, 90*day), now, 30*day, "e", "r")), "ok"},
		"one that ends soon":       {one(Certificate("x", cert(-day, 9*day), now, 30*day, "e", "r")), "warning"},
		"one that has ended":       {one(Certificate("x", cert(-day, -time.Second), now, 30*day, "e", "r")), "fail"},
		"one of tomorrow":          {one(Certificate("x", cert(day, 90*day), now, 30*day, "e", "r")), "fail"},
		"clocks that agree":        {one(Skew("x", 20*time.Second, 0)), "ok"},
		"a slow answer":            {one(Skew("x", 50*time.Second, 30*time.Second)), "ok"},
		"a clock behind":           {one(Skew("x", -2*time.Minute, 0)), "warning"},
		"a clock far ahead":        {one(Skew("x", time.Hour, 0)), "fail"},
		"a clock of its own":       {one(Synchronised(true, false)), "warning"},
		"a kept clock":             {one(Synchronised(true, true)), "ok"},
		"nobody knows":             {one(Synchronised(false, false)), "ok"},
		"few descriptors":          {one(Descriptors(1024, 2048, "r")), "warning"},
		"descriptors":              {one(Descriptors(2048, 2048, "r")), "ok"},
		"no systemd":               {Unit(nil).Runs("x", "e"), "ok"},
		"no unit":                  {Unit{"LoadState": "not-found"}.Runs("x", "e"), "warning"},
		"a service that runs":      {agent("").Runs("x", "e"), "ok"},
		"a failed service":         {agent("ActiveState=failed\nResult=exit-code\n").Runs("x", "e"), "fail"},
		"a disabled service":       {agent("UnitFileState=disabled\n").Runs("x", "e"), "ok warning"},
		"the agent's unit":         {agent("").Allows("x", all), "ok"},
		"hidden homes":             {agent("ProtectHome=yes\n").Allows("x", all), "fail fail"},
		"hidden homes, not read":   {agent("ProtectHome=yes\n").Allows("x", Access{Read: []string{"/srv"}}), "ok"},
		"homes to read":            {agent("ProtectHome=read-only\n").Allows("x", all), "ok"},
		"hidden temporary files":   {agent("PrivateTmp=yes\n").Allows("x", Access{Read: []string{"/tmp/x"}}), "fail"},
		"a hidden directory":       {agent("InaccessiblePaths=-/srv/secret\n").Allows("x", all), "fail"},
		"not root":                 {agent("User=backup\n").Allows("x", Access{Read: []string{"/"}}), "fail fail"},
		"not root, and may read": {agent("User=backup\nAmbientCapabilities=cap_dac_read_search\n").Allows("x", Access{Read: []string{"/"}}),
			"ok"},
		"not root, and may only read": {agent("User=backup\nAmbientCapabilities=cap_dac_read_search\n").Allows("x", all), "fail"},
		"not root, with less than it is given": {agent("User=backup\nCapabilityBoundingSet=\nAmbientCapabilities=cap_dac_read_search\n").
			Allows("x", Access{Read: []string{"/"}}), "fail fail"},
		"no device nodes": {agent("CapabilityBoundingSet=cap_dac_read_search cap_dac_override cap_chown cap_fowner cap_fsetid cap_setfcap\n").
			Allows("x", all), "ok"},
		"hooks of another user": {agent("User=backup\nAmbientCapabilities=cap_dac_read_search\n").
			Allows("x", Access{Read: []string{"/"}, Hooks: true}), "ok"},
		"no capabilities":           {agent("CapabilityBoundingSet=\n").Allows("x", all), "fail fail"},
		"a system that is closed":   {agent("ProtectSystem=strict\n").Allows("x", all), "fail"},
		"closed but for the state":  {agent("ProtectSystem=strict\nReadWritePaths=/var/lib/agent\n").Allows("x", all), "ok"},
		"closed but for what is by": {agent("ProtectSystem=strict\nReadWritePaths=/var/lib/agentx\n").Allows("x", all), "fail"},
		"closed again below":        {agent("ReadOnlyPaths=/var\n").Allows("x", all), "fail"},
		"a restore to usr": {agent("ProtectSystem=full\n").Allows("x", Access{Write: []string{"/usr/local", "/srv", "/etc"}}),
			"fail fail"},
		"no set-user-ID bits": {agent("RestrictSUIDSGID=yes\n").Allows("x", all), "fail"},
	} {
		var states []string
		for _, f := range c.got {
			states = append(states, string(f.State))
			if f.What == "" || f.State != OK && (f.Effect == "" || f.Remedy == "") || f.State == OK && f.Effect+f.Remedy != "" {
				t.Errorf("%s is not said in full: %+v", name, f)
			}
		}
		if got := strings.Join(states, " "); got != c.want {
			t.Errorf("%s: %s, want %s: %+v", name, got, c.want, c.got)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = net.Dial("tcp", address)
	for want, err := range map[string]error{"refuses": err, "leads nowhere": &net.DNSError{}, "nobody answers": context.DeadlineExceeded,
		"is not reached": errors.New("odd")} {
		if what, remedy := Refused(address, err); !strings.Contains(what, want) || remedy == "" {
			t.Errorf("%v: %q, %q; want %q", err, what, remedy, want)
		}
	}
}
