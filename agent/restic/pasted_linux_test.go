package restic

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// An issuer is an authority that issues certificates.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  string
}

func newIssuer(t *testing.T, name string) *issuer {
	t.Helper()
	i := &issuer{t: t}
	var err error
	if i.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	is := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, is, is, &i.key.PublicKey, i.key)
	if err != nil {
		t.Fatal(err)
	}
	if i.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	i.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return i
}

// issue is a certificate for this machine, and its key.
func (i *issuer) issue(name string, use x509.ExtKeyUsage) (cert, key string) {
	i.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	is := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{use}}
	der, err := x509.CreateCertificate(rand.Reader, is, i.cert, &k.PublicKey, i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// serveTLS starts a REST server whose clients need a certificate of an authority.
func serveTLS(t *testing.T, server, clients *issuer) topics.Secret {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := server.issue("the NAS", x509.ExtKeyUsageServerAuth)
	address := e2e.FreeAddress(t)
	cmd := exec.Command("rclone", "serve", "restic", "--addr", address, "--cert", put("cert", cert+server.PEM), "--key", put("key", key),
		"--client-ca", put("clients", clients.PEM), t.TempDir())
	cmd.Env = append(process.Inherited(), "RCLONE_CONFIG=/dev/null")
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: install rclone", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	await(t, func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	return topics.Secret("rest:https://" + address + "/attic/")
}

func TestPastedCertificatesOpenARealServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, clients, stranger := newIssuer(t, "our CA"), newIssuer(t, "our clients"), newIssuer(t, "somebody")
	w.repo.URL = serveTLS(t, ca, clients)
	mine, key := clients.issue("attic", x509.ExtKeyUsageClientAuth)
	theirs, theirKey := stranger.issue("attic", x509.ExtKeyUsageClientAuth)
	// Files are there while restic runs, for nobody else, and the key is in no argument.
	seen := 0
	w.sink.onStart = func(p process.ID) {
		err := filepath.WalkDir(w.place.TempDir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(d.Name(), "cert") {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %o", path, info.Mode().Perm())
			}
			seen++
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for what, c := range map[string]struct {
		files map[string]topics.Secret
		cause topics.Cause
	}{
		"nothing is trusted": {nil, topics.CauseCertificate},
		"another authority":  {map[string]topics.Secret{location.CACert: topics.Secret(stranger.PEM)}, topics.CauseCertificate},
		"ours": {map[string]topics.Secret{location.CACert: topics.Secret(ca.PEM),
			location.ClientCert: topics.Secret(mine + key)}, topics.CauseNoRepository},
		"ours, and others": {map[string]topics.Secret{location.CACert: topics.Secret(stranger.PEM + ca.PEM),
			location.ClientCert: topics.Secret(key + mine)}, topics.CauseNoRepository},
	} {
		w.repo.Files = c.files
		if e := w.b.Exists(t.Context(), w.place, w.repo, w.sink); e.Cause != c.cause {
			t.Errorf("%s: %s %q, want %s", what, e.Cause, e.Message, c.cause)
		}
	}
	for what, login := range map[string]string{"no certificate of ours": "", "somebody's": theirs + theirKey} {
		w.repo.Files = map[string]topics.Secret{location.CACert: topics.Secret(ca.PEM)}
		if login != "" {
			w.repo.Files[location.ClientCert] = topics.Secret(login)
		}
		if e := w.b.Exists(t.Context(), w.place, w.repo, w.sink); e.State != topics.Failed || e.Cause == topics.CauseNoRepository {
			t.Errorf("%s: %s %s %q", what, e.State, e.Cause, e.Message)
		}
	}
	w.repo.Files = map[string]topics.Secret{location.CACert: topics.Secret(ca.PEM), location.ClientCert: topics.Secret(mine + key)}
	w.repo.Options = map[string]string{"rest.connections": "3"}
	w.ensure()
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	// Our own knock goes by the same certificates.
	knocking := w.b
	knocking.Version = Version{Minor: 19}
	w.want(knocking.Reach(t.Context(), w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	w.repo.Files = map[string]topics.Secret{location.CACert: topics.Secret(stranger.PEM)}
	w.want(knocking.Reach(t.Context(), w.repo, w.sink), topics.Failed, topics.CauseCertificate)
	if seen == 0 {
		t.Error("no file was there while restic ran")
	}
	left, err := os.ReadDir(w.place.TempDir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	for _, said := range w.sink.lines {
		line := said.Text
		if strings.Contains(line, "PRIVATE KEY") || strings.Contains(line, strings.Split(key, "\n")[1]) {
			t.Errorf("the log tells the key: %q", line)
		}
	}
}

func TestPastedFilesReachEveryVersion(t *testing.T) {
	ca := newIssuer(t, "our CA")
	cert, key := ca.issue("attic", x509.ExtKeyUsageClientAuth)
	r := Repository{URL: "rest:https://nas/", Password: "pw", Files: map[string]topics.Secret{
		location.CACert: topics.Secret(ca.PEM), location.ClientCert: topics.Secret(cert + key)}}
	for _, c := range []struct {
		v          Version
		env, flags string
	}{
		{Version{Minor: 14}, "", "--cacert D/restic_cacert --tls-client-cert D/restic_tls_client_cert"},
		{Version{Minor: 15, Patch: 2}, "", "--cacert D/restic_cacert --tls-client-cert D/restic_tls_client_cert"},
		{Version{Minor: 16}, "RESTIC_CACERT=D/restic_cacert RESTIC_TLS_CLIENT_CERT=D/restic_tls_client_cert", ""},
		{Version{Minor: 19, Patch: 1}, "RESTIC_CACERT=D/restic_cacert RESTIC_TLS_CLIENT_CERT=D/restic_tls_client_cert", ""},
	} {
		dir := t.TempDir()
		env, flags, err := r.paste(c.v, dir)
		said := func(words []string) string { return strings.ReplaceAll(strings.Join(words, " "), dir, "D") }
		if err != nil || said(env) != c.env || said(flags) != c.flags {
			t.Errorf("%s: %q %q, %v; want %q %q", c.v, said(env), said(flags), err, c.env, c.flags)
		}
	}
}

func TestWhatResticDoesNotKnowIsLeftOutAndSaid(t *testing.T) {
	for what, c := range map[string]struct {
		v       Version
		url     string
		options map[string]string
		tuning  topics.Tuning
		flags   string   // of both
		says    []string // in each sentence
	}{
		"nothing": {v: Version{Minor: 14}, url: "/srv/x"},
		"all that 0.14 knows": {v: Version{Minor: 14}, url: "/srv/x", options: map[string]string{"local.connections": "4"},
			tuning: topics.Tuning{Compression: "max", PackSizeMiB: 64, ExcludeCaches: true, ExcludeLarger: "2G",
				ExcludeIfPresent: []string{".nobackup"},
				WithATime:        true},
			flags: "-o local.connections=4 --compression max --pack-size 64 --exclude-caches --exclude-larger-than 2G " +
				"--exclude-if-present .nobackup --with-atime"},
		"what came with 0.15": {v: Version{Minor: 14}, url: "/srv/x", tuning: topics.Tuning{ReadConcurrency: 4, NoScan: true},
			says: []string{"how many files to read at once", "without looking how much"}},
		"in 0.15": {v: Version{Minor: 15}, url: "/srv/x", tuning: topics.Tuning{ReadConcurrency: 4,
			NoScan: true}, flags: "--read-concurrency 4 --no-scan"},
		"a compression of 0.19": {v: Version{Minor: 18, Patch: 1}, url: "/srv/x", tuning: topics.Tuning{Compression: "fastest"},
			says: []string{"the compression fastest"}},
		"in 0.19": {v: Version{Minor: 19}, url: "/srv/x", tuning: topics.Tuning{Compression: "fastest"},
			flags: "--compression fastest"},
		"without a login, before": {v: Version{Minor: 16, Patch: 5}, url: "s3:nas/b",
			options: map[string]string{"s3.unsafe-anonymous-auth": "true"}, says: []string{"0.17.0 does"}},
		"without a login": {v: Version{Minor: 17}, url: "s3:nas/b",
			options: map[string]string{"s3.unsafe-anonymous-auth": "true"}, flags: "-o s3.unsafe-anonymous-auth=true"},
		"of a newer control plane": {v: Version{Minor: 19}, url: "s3:nas/b", options: map[string]string{"s3.news": "1",
			"s3.retries": "5"}, flags: "-o s3.retries=5", says: []string{"s3.news"}},
		"of a control plane gone bad": {v: Version{Minor: 19}, url: "sftp:nas:/x",
			options: map[string]string{"sftp.command": "/bin/sh", "sftp.connections": "2,x=y"}, says: []string{"sftp.command",
				"sftp.connections"}},
		"of another kind of storage": {v: Version{Minor: 19}, url: "/srv/x", options: map[string]string{"rest.connections": "9"}},
	} {
		r := Repository{URL: topics.Secret(c.url), Password: "pw", Options: c.options}
		a, err := r.access(c.v)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		tuned, _ := tuning(c.v, c.tuning)
		if got := strings.Join(append(a.flags, tuned...), " "); got != c.flags {
			t.Errorf("%s: %q, want %q", what, got, c.flags)
		}
		said := Foregone(c.v, r, c.tuning)
		if len(said) != len(c.says) {
			t.Errorf("%s: it says %q, want %q", what, said, c.says)
			continue
		}
		for i, want := range c.says {
			if !strings.Contains(said[i], want) {
				t.Errorf("%s: it says %q, want %q", what, said[i], want)
			}
		}
	}
}

func TestABackupIsMadeAsItsGroupSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	w.write("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55")
	w.write("cache/thing", "again and again")
	w.write("left/.nobackup", "")
	w.write("left/thing", "nobody's")
	w.write("large", strings.Repeat("x", 3<<10))
	backup := Backup{Host: "attic", Paths: []string{w.source}, Tuning: topics.Tuning{Compression: "max", PackSizeMiB: 16, ReadConcurrency: 2,
		ExcludeCaches: true, ExcludeLarger: "2k", ExcludeIfPresent: []string{".nobackup"}, WithATime: true, NoScan: true}}
	e := w.b.Backup(t.Context(), w.place, w.repo, backup, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	nodes, _, list, err := w.b.Files(t.Context(), w.place, w.repo, e.Snapshot.ID, w.source, 100, nil, w.sink)
	if err != nil {
		t.Fatal(err)
	}
	w.want(list, topics.Succeeded, topics.CauseNone)
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	if got := strings.Join(names, " "); got != "cache left letters" {
		t.Errorf("it holds %q", got)
	}
	if s := e.Summary; s == nil || s.TotalFiles != 3 { // the letter, and what says why two folders are empty
		t.Errorf("%+v", s)
	}
	backup.Tuning.ExcludeLarger = "2k --password-command=x"
	w.want(w.b.Backup(t.Context(), w.place, w.repo, backup, w.sink), topics.Failed, topics.CauseUsage)
}
