package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

func repositoryAt(url string, env ...string) topics.Repository {
	r := topics.Repository{URL: topics.Secret(url), Env: map[string]topics.Secret{}}
	for i := 0; i < len(env); i += 2 {
		r.Env[env[i]] = topics.Secret(env[i+1])
	}
	return r
}

// TestAPinnedRepositoryIsNotRedirected pins one repository after the other and asks for
// the data to go somewhere else by each variable and spelling that could do it. What is
// the same place goes on.
func TestAPinnedRepositoryIsNotRedirected(t *testing.T) {
	swift := []string{"OS_AUTH_URL", "https://id.example.org/v3", "OS_USERNAME", "backup", "OS_PASSWORD", "x", "OS_TENANT_NAME", "ours",
		"OS_REGION_NAME", "eu"}
	swiftWith := func(more ...string) []string { return slices.Concat(swift, more) }
	v1 := []string{"ST_AUTH", "https://id.example.org/auth/v1", "ST_USER", "ours:backup", "ST_KEY", "x"}
	type c struct {
		url  string
		env  []string
		says string // "" is yes
	}
	const goes = "goes to"
	for _, pinned := range []struct {
		url  string
		env  []string
		asks []c
	}{
		{"sftp:anna@nas:backups", nil, []c{
			{"sftp:anna@nas:backups", nil, ""},
			{"sftp:anna@NAS:backups/", nil, ""},
			{"sftp:anna@nas:./backups", nil, ""},
			{"sftp:evil@nas:backups", nil, goes},
			{"sftp:nas:backups", nil, goes},
			{"sftp:anna@evil@nas:backups", nil, goes},
			{`sftp:EVIL\anna@nas:backups`, nil, goes},
			{"sftp:anna@nas:/backups", nil, goes},
			{"sftp://evil@nas/backups", nil, goes},
			{"sftp:anna@nas:../evil/backups", nil, goes},
			{"sftp:anna@evil:backups", nil, goes},
		}},
		{"sftp://anna@nas:2222/backups", nil, []c{
			{"sftp://anna@nas:2222/backups", nil, ""},
			{"sftp://evil@nas:2222/backups", nil, goes},
			{"sftp://anna@nas:2222//backups", nil, goes},
			{"sftp://nas:2222/backups", nil, goes},
			{"sftp://anna@nas:22/backups", nil, goes},
		}},
		{"sftp:anna@nas:/srv/backups", nil, []c{
			{"sftp:bert@nas:/srv/backups", nil, ""}, // the same place, whoever logs in
			{"sftp://bert@nas//srv/backups", nil, ""},
			{"sftp://evil@nas/srv/backups", nil, goes}, // in a home
			{"sftp:evil@nas:srv/backups", nil, goes},
		}},
		{"swift:box:/host", swift, []c{
			{"swift:box:/host", swift, ""},
			{"swift:box:/host", swiftWith("OS_PASSWORD", "changed"), ""},
			{"swift:box:/host", swiftWith("OS_TENANT_NAME", "theirs"), goes},
			{"swift:box:/host", swiftWith("OS_TENANT_ID", "0a1b"), goes},
			{"swift:box:/host", swiftWith("OS_PROJECT_NAME", "theirs"), goes},
			{"swift:box:/host", swiftWith("OS_PROJECT_DOMAIN_NAME", "theirs"), goes},
			{"swift:box:/host", swiftWith("OS_PROJECT_DOMAIN_ID", "0a"), goes},
			{"swift:box:/host", swiftWith("OS_USERNAME", "evil"), goes},
			{"swift:box:/host", swiftWith("OS_USERNAME", "backup OS_TENANT_NAME=ours"), goes},
			{"swift:box:/host", swiftWith("OS_USER_ID", "0a"), goes},
			{"swift:box:/host", swiftWith("OS_USER_DOMAIN_NAME", "theirs"), goes},
			{"swift:box:/host", swiftWith("OS_USER_DOMAIN_ID", "0a"), goes},
			{"swift:box:/host", swiftWith("OS_REGION_NAME", "us"), goes},
			{"swift:box:/host", swiftWith("OS_TRUST_ID", "0a"), goes},
			{"swift:box:/host", swiftWith("OS_APPLICATION_CREDENTIAL_ID", "0a"), goes},
			{"swift:box:/host", swiftWith("OS_APPLICATION_CREDENTIAL_NAME", "a"), goes},
			{"swift:box:/host", swiftWith("OS_AUTH_URL", "https://evil/v3"), goes},
			{"swift:box:/host", swiftWith("OS_STORAGE_URL", "https://evil/v1"), goes},
			{"swift:box:/host", swiftWith("ST_AUTH", "https://evil/v1"), goes},
			{"swift:box:/host OS_AUTH_URL=https://id.example.org/v3", swiftWith("OS_AUTH_URL", ""), "variables"},
			{"swift:box:/host", nil, goes},
			{"swift:box2:/host", swift, goes},
		}},
		{"swift:box:/host", v1, []c{
			{"swift:box:/host", v1, ""},
			{"swift:box:/host", slices.Concat(v1, []string{"ST_USER", "theirs:backup"}), goes},
			{"swift:box:/host", slices.Concat(v1, []string{"OS_TENANT_NAME", "theirs"}), goes},
		}},
		{"azure:box:/host", []string{"AZURE_ACCOUNT_NAME", "ours", "AZURE_ACCOUNT_KEY", "x"}, []c{
			{"azure:box:/host", []string{"AZURE_ACCOUNT_NAME", "ours", "AZURE_ACCOUNT_SAS", "y"}, ""},
			{"azure:box:/host", []string{"AZURE_ACCOUNT_NAME", "theirs"}, goes},
			{"azure:box:/host", []string{"AZURE_ACCOUNT_NAME", "ours", "AZURE_ENDPOINT_SUFFIX", "evil.example"}, goes},
			{"azure:box:/host", nil, goes},
			{"azure:box:/host AZURE_ACCOUNT_NAME=ours", nil, "variables"},
		}},
		{"s3:s3.amazonaws.com/bucket", []string{"AWS_ACCESS_KEY_ID", "a", "AWS_DEFAULT_REGION", "eu-central-1"}, []c{
			{"s3:s3.amazonaws.com/bucket", []string{"AWS_ACCESS_KEY_ID", "b", "AWS_DEFAULT_REGION", "us-east-1"}, ""}, // one bucket in all of these
			{"s3:https://s3.amazonaws.com/bucket", nil, ""},
			{"s3:s3.amazonaws.com/bucket", []string{"AWS_DEFAULT_REGION", "cn-north-1"}, goes},
			{"s3:s3.amazonaws.com/bucket", []string{"AWS_DEFAULT_REGION", "CN-north-1"}, goes},
			{"s3:s3.amazonaws.com/bucket", []string{"AWS_DEFAULT_REGION", "us-gov-west-1"}, goes},
			{"s3:http://s3.amazonaws.com/bucket", nil, goes},
			{"s3:evil.example/bucket", nil, goes},
		}},
		{"b2:bucket:host", []string{"B2_ACCOUNT_ID", "a", "B2_ACCOUNT_KEY", "x"}, []c{
			{"b2:bucket:host", []string{"B2_ACCOUNT_ID", "b", "B2_ACCOUNT_KEY", "y"}, ""}, // a new key for the one bucket of this name
			{"b2:evil:host", nil, goes},
		}},
		{"gs:bucket:/host", []string{"GOOGLE_PROJECT_ID", "1"}, []c{
			{"gs:bucket:/host", []string{"GOOGLE_PROJECT_ID", "2"}, ""},
			{"gs:bucket:/host", []string{"GOOGLE_APPLICATION_CREDENTIALS", "/tmp/evil.json"}, "GOOGLE_APPLICATION_CREDENTIALS"},
		}},
		{"rest:https://nas:8000/host", []string{"RESTIC_REST_USERNAME", "host"}, []c{
			{"rest:https://keeper:y@nas:8000/host/", nil, ""},
			{"rest:https://nas:8000/host", []string{"RESTIC_CACERT", "/home/evil/ca.pem"}, "RESTIC_CACERT"},
			{"rest:https://nas:8000/host", []string{"RESTIC_CACERT", "/etc/ssl/../../home/evil/ca.pem"}, "RESTIC_CACERT"},
			{"rest:https://nas:8000/host", []string{"RESTIC_CACERT", "/etc/ssl/our-ca.pem"}, ""},
			{"rest:https://nas:8000/host", []string{"RESTIC_CACERT", "/etc/ssl//our-ca.pem"}, ""},
			{"rest:https://nas:8000/host", []string{"RESTIC_TLS_CLIENT_CERT", "/root/key.pem"}, "RESTIC_TLS_CLIENT_CERT"},
			{"rest:https://nas:8000/host", []string{"RESTIC_KEY_HINT", "abcd"}, ""},
			{"rest:https://nas:8000/other", nil, goes},
		}},
		{"rclone:box:host", nil, []c{
			{"rclone:box:host", nil, ""},
			{"rclone:box:host", []string{"RCLONE_CONFIG", "/tmp/evil.conf"}, "RCLONE_CONFIG"},
			{"rclone:box:host", []string{"RCLONE_CONFIG_PASS", "x"}, ""},
			{"rclone:evil:host", nil, goes},
		}},
	} {
		state := t.TempDir()
		p := preset(t, PolicyBackup, state)
		p.RepositoryFiles = []string{"/etc/ssl/our-ca.pem"}
		if err := p.Save(state); err != nil {
			t.Fatal(err)
		}
		first := repositoryAt(pinned.url, pinned.env...)
		if _, err := pin(state, topics.BackupJob, first); err != nil {
			t.Fatal(err)
		}
		p, err := LoadPolicy(state)
		if err != nil || len(p.Repositories) != 1 {
			t.Fatalf("%s: %+v, %v", pinned.url, p, err)
		}
		// By hand, as the words of a refusal say, it comes to the same.
		byHand := preset(t, PolicyBackup, state)
		byHand.RepositoryFiles = p.RepositoryFiles
		if err := byHand.Narrow([]string{location.Described(first.URL, first.Env, first.Files)}, nil, nil); err != nil {
			t.Fatal(err)
		}
		for _, ask := range pinned.asks {
			r := repositoryAt(ask.url, ask.env...)
			for _, kind := range []topics.JobKind{topics.BackupJob, topics.SnapshotsJob} {
				for by, p := range map[string]Policy{"": p, " (by hand)": byHand} {
					err := p.decideRepository(state, topics.Run{Kind: kind, Repository: r})
					if (err == nil) != (ask.says == "") || err != nil && !strings.Contains(err.Error(), ask.says) {
						t.Errorf("%s%s, %s of %s %q: %v, want %q", pinned.url, by, kind, ask.url, ask.env, err, ask.says)
					}
				}
			}
			// An administrator who does what the refusal says lets it through, and nothing else.
			if ask.says != goes {
				continue
			}
			also := p
			if err := also.Narrow([]string{location.Described(r.URL, r.Env, r.Files)}, nil, nil); err != nil {
				t.Errorf("%s: %v", ask.url, err)
			} else if err := also.decideRepository(state, topics.Run{Kind: topics.BackupJob, Repository: r}); err != nil {
				t.Errorf("%s: allowed, and then %v", ask.url, err)
			} else if err := also.decideRepository(state, topics.Run{Kind: topics.BackupJob, Repository: first}); err != nil {
				t.Errorf("%s: allowed, and then the first is not: %v", ask.url, err)
			}
		}
	}
}

// TestAPastedCertificateIsTrustedWhereThePinSaysSo: the first pin takes the certificate that
// it worked with; another is the host's to allow, by the command of the refusal.
func TestAPastedCertificateIsTrustedWhereThePinSaysSo(t *testing.T) {
	ours, theirs := pastedCA(t, "our CA"), pastedCA(t, "somebody")
	at := func(ca topics.Secret) topics.Repository {
		r := repositoryAt("rest:https://nas:8000/attic")
		if ca != "" {
			r.Files = map[string]topics.Secret{location.CACert: ca}
		}
		return r
	}
	state := t.TempDir()
	if err := preset(t, PolicyBackup, state).Save(state); err != nil {
		t.Fatal(err)
	}
	if _, err := pin(state, topics.BackupJob, at(ours)); err != nil {
		t.Fatal(err)
	}
	decide := func(r topics.Repository) string {
		p, err := LoadPolicy(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.decideRepository(state, topics.Run{Kind: topics.BackupJob, Repository: r}); err != nil {
			return err.Error()
		}
		return ""
	}
	if said := decide(at(ours)) + decide(at("")); said != "" {
		t.Errorf("what worked is refused: %s", said)
	}
	said := decide(at(theirs))
	_, command, found := strings.Cut(said, "run on the host: restic-manager-agent policy allow-repository '")
	what, rest, quoted := strings.Cut(command, "'")
	if !found || !quoted || rest != " --state "+state || !strings.Contains(said, location.Trust(at(theirs).Files)[0]) {
		t.Fatalf("another certificate: %q", said)
	}
	if decide(at(theirs+ours)) == "" {
		t.Error("a strange certificate beside ours is trusted")
	}
	if _, err := AllowRepository(state, what, false); err != nil {
		t.Fatal(err)
	}
	if said := decide(at(theirs)) + decide(at(ours)) + decide(at(theirs+ours)); said != "" {
		t.Errorf("allowed, and then: %s", said)
	}
	// One that was pinned without any goes on to trust the system's alone.
	if _, err := AllowRepository(state, "rest:https://other/", false); err != nil {
		t.Fatal(err)
	}
	r := repositoryAt("rest:https://other/")
	r.Files = map[string]topics.Secret{location.CACert: ours}
	if decide(r) == "" {
		t.Error("a certificate of another pin is trusted")
	}
	managed := preset(t, PolicyManaged, t.TempDir())
	if err := managed.decide(state, topics.Run{Kind: topics.BackupJob, Repository: at(theirs)}); err != nil {
		t.Errorf("where the control plane decides everything: %v", err)
	}
}

func pastedCA(t *testing.T, name string) topics.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
	der, err := x509.CreateCertificate(rand.Reader, is, is, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return topics.Secret(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestAKeeperMayHaveAllBelowAPlace: and no more.
func TestAKeeperMayHaveAllBelowAPlace(t *testing.T) {
	state, disk := t.TempDir(), t.TempDir()
	if err := preset(t, PolicyKeeper, state).Save(state); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"rest:https://nas:8000/ab", disk} {
		if _, err := AllowRepository(state, place, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AllowRepository(state, "rest:https://nas:8000/{host}", true); err == nil {
		t.Error("all below {host} can be allowed")
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(disk, "out")); err != nil {
		t.Fatal(err)
	}
	p, err := LoadPolicy(state)
	if err != nil {
		t.Fatal(err)
	}
	for url, allowed := range map[string]bool{
		"rest:https://nas:8000/ab":      true,
		"rest:https://nas:8000/ab/c":    true,
		"rest:https://nas:8000/abc":     false,
		"rest:https://nas:8000/":        false,
		"rest:https://nas:8000/ab/../c": false,
		filepath.Join(disk, "attic"):    true,
		filepath.Join(disk, "out"):      false,
		filepath.Join(disk, "out/x"):    false,
		disk + "x":                      false,
	} {
		err := p.decideRepository(state, topics.Run{Kind: topics.PruneJob, Repository: repositoryAt(url)})
		if (err == nil) != allowed {
			t.Errorf("%s: %v", url, err)
		}
	}
	if said := p.Words(); !strings.Contains(said, "rest:https://nas:8000/ab (and everything below)") {
		t.Errorf("it says %s", said)
	}
	// An agent of before takes what is new for somebody, and holds the place itself.
	for _, pinned := range p.Repositories {
		if as := p.As[pinned]; !slices.Contains(as, "") || !slices.Contains(as, location.Below) {
			t.Errorf("%s is pinned as %q", pinned, as)
		}
	}
}

// TestAnOlderPinIsCompleted: what an older agent wrote goes on as it was, whoever this host
// was there, until the next success, and holds everything from then on.
func TestAnOlderPinIsCompleted(t *testing.T) {
	for _, c := range []struct {
		pin         string // as it was written
		first, evil topics.Repository
	}{
		{"sftp:nas:backups", repositoryAt("sftp:anna@nas:backups"), repositoryAt("sftp:evil@nas:backups")},
		{"sftp:nas:/srv/x", repositoryAt("sftp:anna@nas:/srv/x"), repositoryAt("sftp://evil@nas/srv/x")},
		{"swift:c:/x OS_AUTH_URL=https://id", repositoryAt("swift:c:/x", "OS_AUTH_URL", "https://id", "OS_TENANT_NAME", "ours"),
			repositoryAt("swift:c:/x", "OS_AUTH_URL", "https://id", "OS_TENANT_NAME", "theirs")},
		{"rest:https://nas/", repositoryAt("rest:https://nas/", "RESTIC_CACERT", "/etc/ca.pem"),
			repositoryAt("rest:https://nas/", "RESTIC_CACERT", "/tmp/ca.pem")},
		{"/srv/vault", repositoryAt("/srv/vault"), repositoryAt("/srv/other")}, // a path stays, though no directory is named
	} {
		state := t.TempDir()
		text, err := json.Marshal(map[string]any{"policy": "backup", "repositories": []string{c.pin}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(state, policyFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		may := func(r topics.Repository) error {
			p, err := LoadPolicy(state)
			if err != nil {
				t.Fatal(err)
			}
			return p.decideRepository(state, topics.Run{Kind: topics.BackupJob, Repository: r})
		}
		if err := may(c.first); err != nil {
			t.Errorf("%s: after the upgrade %v", c.pin, err)
		}
		for _, kind := range []topics.JobKind{topics.SnapshotsJob, topics.RestoreJob, topics.StatsJob} {
			if got, err := pin(state, kind, c.evil); got != "" || err != nil {
				t.Errorf("%s: a %s completes it, %q, %v", c.pin, kind, got, err)
			}
		}
		if _, err := pin(state, topics.BackupJob, c.first); err != nil {
			t.Fatal(err)
		}
		if err := may(c.first); err != nil {
			t.Errorf("%s: once completed %v", c.pin, err)
		}
		if err := may(c.evil); err == nil {
			t.Errorf("%s: once completed, the data goes to %s with %v", c.pin, c.evil.URL.Reveal(), c.evil.Env)
		}
		if _, err := pin(state, topics.BackupJob, c.evil); err != nil {
			t.Fatal(err)
		}
		if err := may(c.evil); err == nil {
			t.Errorf("%s: it is completed twice", c.pin)
		}
	}
	// What is allowed besides leaves open who succeeds first.
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, policyFile), []byte(`{"policy":"backup","repositories":["sftp:nas:x"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := AllowRepository(state, "sftp:bert@nas:x", false); err != nil {
		t.Fatal(err)
	}
	if _, err := pin(state, topics.BackupJob, repositoryAt("sftp:anna@nas:x")); err != nil {
		t.Fatal(err)
	}
	p, err := LoadPolicy(state)
	for url, want := range map[string]bool{"sftp:anna@nas:x": true, "sftp:bert@nas:x": true, "sftp:evil@nas:x": false} {
		got := p.decideRepository(state, topics.Run{Kind: topics.BackupJob, Repository: repositoryAt(url)})
		if err != nil || (got == nil) != want {
			t.Errorf("%s: %v, %v", url, got, err)
		}
	}
}

// TestWhatGoesBeforeTheFirstPin is a host that was just let in.
func TestWhatGoesBeforeTheFirstPin(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(top, name) }
	for _, dir := range []string{"disk/vault", "diskette", "home"} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"disk/out": "home", "way": "disk"} {
		if err := os.Symlink(at(to), at(link)); err != nil {
			t.Fatal(err)
		}
	}
	none, rooted, keeper := preset(t, PolicyBackup, at("state")), preset(t, PolicyRestore, at("state")), preset(t, PolicyKeeper, at("state"))
	rooted.RepositoryRoots = []string{at("disk")}
	old := none // by an older agent, of a path
	old.Repositories = []string{at("home")}
	const nas = "rest:https://nas/x"
	for _, c := range []struct {
		policy Policy
		kind   topics.JobKind
		url    string
		says   string
	}{
		{none, topics.BackupJob, nas, ""},
		{none, topics.InitJob, nas, ""},
		{none, topics.SnapshotsJob, nas, "backed up to no repository yet"},
		{none, topics.RestoreJob, nas, "backed up to no repository yet"},
		{none, topics.StatsJob, nas, "backed up to no repository yet"},
		{none, topics.FindJob, nas, "backed up to no repository yet"},
		{none, topics.DiffJob, nas, "backed up to no repository yet"},
		{none, topics.KeyJob, nas, "backed up to no repository yet"},
		{none, topics.LocksJob, nas, "backed up to no repository yet"},
		{none, topics.UnlockJob, nas, "backed up to no repository yet"},
		{keeper, topics.CheckJob, nas, ""},
		{keeper, topics.ForgetJob, nas, ""},
		{keeper, topics.PruneJob, nas, ""},
		{keeper, topics.SnapshotsJob, nas, ""}, // before it forgets
		{keeper, topics.KeyJob, nas, ""},
		{keeper, topics.LocksJob, nas, ""},
		{keeper, topics.RestoreJob, nas, "backed up to no repository yet"},
		{keeper, topics.StatsJob, nas, "backed up to no repository yet"},
		{keeper, topics.SnapshotsJob, at("disk/vault"), "own disks"},
		{none, topics.BackupJob, at("disk/vault"), "own disks"},
		{none, topics.InitJob, "local:" + at("disk/vault"), "own disks"},
		{keeper, topics.PruneJob, at("disk/vault"), "own disks"},
		{rooted, topics.BackupJob, at("disk/vault"), ""},
		{rooted, topics.InitJob, at("disk/new/vault"), ""},
		{rooted, topics.BackupJob, "local:" + at("disk/vault"), ""},
		{rooted, topics.BackupJob, at("disk"), ""},
		{rooted, topics.SnapshotsJob, at("disk/vault"), "backed up to no repository yet"},
		{rooted, topics.BackupJob, at("diskette"), "own disks"},
		{rooted, topics.BackupJob, at("home"), "own disks"},
		{rooted, topics.BackupJob, at("disk/out"), "own disks"},
		{rooted, topics.BackupJob, at("disk/out/x"), "own disks"},
		{rooted, topics.BackupJob, at("disk/../home"), "own disks"},
		{rooted, topics.BackupJob, at("way/vault"), "own disks"}, // by a link that leads there today
		{old, topics.BackupJob, at("home"), ""},
		{old, topics.RestoreJob, at("home"), ""},
		{preset(t, PolicyManaged, at("state")), topics.SnapshotsJob, at("home"), ""},
	} {
		var err error
		if !c.policy.managed() {
			err = c.policy.decideRepository(at("state"), topics.Run{Kind: c.kind, Repository: repositoryAt(c.url)})
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s of %s: %v, want %q", c.policy.Name, c.kind, c.url, err, c.says)
		}
		if err != nil && !strings.Contains(err.Error(), "restic-manager-agent policy allow-repository ") {
			t.Errorf("%v: it does not say what allows it", err)
		}
	}
	// Only what goes to a repository before it is pinned pins one.
	for _, kind := range topics.Kinds {
		state := t.TempDir()
		p := preset(t, PolicyBackup, state)
		p.Kinds = topics.Kinds
		if err := p.Save(state); err != nil {
			t.Fatal(err)
		}
		got, err := pin(state, kind, repositoryAt(nas))
		if err != nil || (got != "") != slices.Contains(topics.Pinning, kind) {
			t.Errorf("a %s pins %q, %v", kind, got, err)
		}
	}
}

// A path that is pasted from a refusal is one argument, whatever a control plane writes
// into an address.
func TestTheCommandOfARefusalIsOneCommand(t *testing.T) {
	p := preset(t, PolicyBackup, "/state")
	p.Repositories = []string{"rest:https://nas/"}
	err := p.decideRepository("/state", topics.Run{Kind: topics.BackupJob, Repository: repositoryAt("/x'; touch /evil; '")})
	if err == nil || !strings.Contains(err.Error(), `allow-repository '/x'\''; touch /evil; '\''' --state /state`) {
		t.Errorf("%v", err)
	}
}
