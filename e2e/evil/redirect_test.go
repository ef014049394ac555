package evil

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAnEvilControlPlaneRedirectsNoPinnedRepository has a host that lets its data go to
// one place of each kind, and orders that name another by every variable and spelling
// that restic would follow there.
func TestAnEvilControlPlaneRedirectsNoPinnedRepository(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	m := h.enrol("attic", agent.Policy{})
	// Before the first backup: nothing is listed or restored, and no disk of the host's is a repository.
	m.start()
	m.group()
	run := func(kind topics.JobKind, url string, env ...string) topics.Run {
		r := topics.Repository{ID: "vault-0002", URL: topics.Secret(url), Password: "correct horse", Initialise: true,
			Env: map[string]topics.Secret{}}
		for i := 0; i < len(env); i += 2 {
			r.Env[env[i]] = topics.Secret(env[i+1])
		}
		run := topics.Run{Kind: kind, Repository: r}
		switch kind {
		case topics.BackupJob:
			run.Group = topics.SourceGroup{ID: "group-0001", Name: "x", Paths: []string{m.at("home")}}
		case topics.RestoreJob:
			run.Operation = topics.Operation{Snapshot: strings.Repeat("a", 64), Target: filepath.Join(m.state(), "restored", "x")}
		}
		return run
	}
	refused := func(what string, run topics.Run) {
		t.Helper()
		job := h.ended(h.order(m, run))
		said := strings.Contains(job.Message, "restic-manager-agent policy allow-") || strings.Contains(job.Message, "no data goes there")
		if job.State != topics.Failed || job.Cause != topics.CausePolicy || !said {
			t.Errorf("%s: the job %s of %s: %s", what, job.State, job.Cause, job.Message)
		}
		if ran := strings.ReplaceAll(m.ran(), "arg version", ""); strings.Contains(ran, "arg ") {
			t.Fatalf("%s: restic was run:\n%s", what, ran)
		}
	}
	const evil = "rest:http://127.0.0.1:1/x"
	for _, kind := range []topics.JobKind{topics.SnapshotsJob, topics.RestoreJob} {
		refused("before a backup, "+string(kind), run(kind, evil))
	}
	refused("before a backup, a disk", run(topics.BackupJob, "/var/lib/stolen"))
	refused("before a backup, a disk by a detour", run(topics.InitJob, "local:"+m.at("../../stolen")))

	policy := e2e.Must(agent.LoadPolicy(m.state()))
	if len(policy.Repositories) != 0 {
		t.Fatalf("it is pinned to %v", policy.Repositories)
	}
	swift := []string{"OS_AUTH_URL", "https://id.invalid/v3", "OS_TENANT_NAME", "ours", "OS_PASSWORD", "x"}
	if err := policy.Narrow([]string{"sftp:anna@nas.invalid:backups", "sftp:nas.invalid:/srv/backups", "sftp://anna@nas.invalid:2222/backups",
		"swift:box:/x OS_AUTH_URL=https://id.invalid/v3 OS_TENANT_NAME=ours", "swift:old:/x ST_AUTH=https://id.invalid/v1 ST_USER=ours:a",
		"azure:box:/x AZURE_ACCOUNT_NAME=ours", "s3:s3.amazonaws.com/bucket", "b2:bucket:x", "gs:bucket:/x", "rest:https://nas.invalid/x",
		"rclone:box:x"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := policy.Save(m.state()); err != nil {
		t.Fatal(err)
	}
	with := func(more ...string) []string { return slices.Concat(swift, more) }
	for _, c := range []struct {
		url string
		env []string
	}{
		{"sftp:evil@nas.invalid:backups", nil},
		{"sftp:nas.invalid:backups", nil},
		{"sftp:anna@evil@nas.invalid:backups", nil},
		{`sftp:EVIL\anna@nas.invalid:backups`, nil},
		{"sftp:Anna@nas.invalid:backups", nil},
		{"sftp:anna@nas.invalid:../evil/backups", nil},
		{"sftp:anna@nas.invalid:~evil/backups", nil},
		{"sftp:anna@nas.invalid:/backups", nil},
		{"sftp:anna@evil.invalid:backups", nil},
		{"sftp://evil@nas.invalid/backups", nil},
		{"sftp://evil@nas.invalid/srv/backups", nil}, // in a home, though it reads like the path that is pinned
		{"sftp:evil@nas.invalid:srv/backups", nil},
		{"sftp://evil@nas.invalid:2222/backups", nil},
		{"sftp://anna@nas.invalid:2222//backups", nil},
		{"sftp://nas.invalid:2222/backups", nil},
		{"swift:box:/x", with("OS_TENANT_NAME", "theirs")},
		{"swift:box:/x", with("OS_TENANT_ID", "0a")},
		{"swift:box:/x", with("OS_PROJECT_NAME", "theirs")},
		{"swift:box:/x", with("OS_PROJECT_DOMAIN_NAME", "theirs")},
		{"swift:box:/x", with("OS_PROJECT_DOMAIN_ID", "0a")},
		{"swift:box:/x", with("OS_USERNAME", "evil")},
		{"swift:box:/x", with("OS_USERNAME", "a OS_TENANT_NAME=ours")},
		{"swift:box:/x", with("OS_USER_ID", "0a")},
		{"swift:box:/x", with("OS_USER_DOMAIN_NAME", "theirs")},
		{"swift:box:/x", with("OS_USER_DOMAIN_ID", "0a")},
		{"swift:box:/x", with("OS_REGION_NAME", "theirs")},
		{"swift:box:/x", with("OS_TRUST_ID", "0a")},
		{"swift:box:/x", with("OS_APPLICATION_CREDENTIAL_ID", "0a")},
		{"swift:box:/x", with("OS_APPLICATION_CREDENTIAL_NAME", "a", "OS_APPLICATION_CREDENTIAL_SECRET", "x")},
		{"swift:box:/x", with("OS_AUTH_URL", "https://evil.invalid/v3")},
		{"swift:box:/x", with("OS_STORAGE_URL", "https://evil.invalid/v1")},
		{"swift:box:/x", with("ST_AUTH", "https://evil.invalid/v1")},
		{"swift:box:/x OS_AUTH_URL=https://id.invalid/v3", []string{"OS_TENANT_NAME", "ours"}},
		{"swift:old:/x", []string{"ST_AUTH", "https://id.invalid/v1", "ST_USER", "theirs:a", "ST_KEY", "x"}},
		{"azure:box:/x", []string{"AZURE_ACCOUNT_NAME", "theirs"}},
		{"azure:box:/x", []string{"AZURE_ACCOUNT_NAME", "ours", "AZURE_ENDPOINT_SUFFIX", "evil.invalid"}},
		{"azure:box:/x AZURE_ACCOUNT_NAME=ours", nil},
		{"s3:s3.amazonaws.com/bucket", []string{"AWS_DEFAULT_REGION", "cn-north-1"}},
		{"s3:s3.amazonaws.com/bucket", []string{"AWS_DEFAULT_REGION", "us-gov-east-1"}},
		{"s3:http://s3.amazonaws.com/bucket", nil},
		{"s3:evil.invalid/bucket", nil},
		{"s3:s3.amazonaws.com/evil/../bucket", nil},
		{"b2:bucket:y", nil},
		{"gs:bucket:/x", []string{"GOOGLE_APPLICATION_CREDENTIALS", "/tmp/evil.json"}},
		{"rest:https://nas.invalid/x", []string{"RESTIC_CACERT", m.at("home/evil.pem")}},
		{"rest:https://nas.invalid/x", []string{"RESTIC_TLS_CLIENT_CERT", filepath.Join(m.state(), "identity.json")}},
		{"rest:http://nas.invalid/x", nil},
		{"rest:https://nas.invalid@evil.invalid/x", nil},
		{"rclone:box:x", []string{"RCLONE_CONFIG", m.at("home/evil.conf")}},
		{"rclone:evil:x", nil},
		{m.at("vault"), nil},
	} {
		refused(c.url+" "+strings.Join(c.env, " "), run(topics.BackupJob, c.url, c.env...))
	}
	if after := e2e.Must(agent.LoadPolicy(m.state())); after.Words() != policy.Words() || len(after.As) != len(policy.As) {
		t.Errorf("the policy was changed to %s", after.Words())
	}
}
