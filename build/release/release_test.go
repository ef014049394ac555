package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/restic-manager/restic-manager/controlplane/handout"
)

// version is of the packages that the tests make.
const version = "v1.2.3"

// made are the packages, with programs that only look like some.
func made(t *testing.T) (dir string) {
	t.Helper()
	dir, programs := t.TempDir(), t.TempDir()
	for _, name := range []string{"linux-amd64/restic-manager", "linux-amd64/restic-manager-agent", "windows-amd64/restic-manager.exe",
		"windows-amd64/restic-manager-agent.exe"} {
		path := filepath.Join(programs, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("the program "+name), 0o755))
	}
	make := exec.CommandContext(t.Context(), "../packages/make", dir)
	make.Env = append(os.Environ(), "PROGRAMS="+programs, "ARCHES=amd64", "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v; it needs dpkg, rpm, msitools and wixl: %s", err, out)
	}
	return dir
}

// TestPackages looks into everything that make packages makes.
func TestPackages(t *testing.T) {
	dir := made(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, p := range []struct{ name, state string }{
		{"restic-manager", ""}, {"restic-manager-agent", "drwx------ /var/lib/restic-manager-agent/"},
	} {
		t.Run(p.name, func(t *testing.T) {
			deb := file(p.name + "_1.2.3_amd64.deb")
			for field, want := range map[string]string{"Package": p.name, "Version": "1.2.3-1", "Architecture": "amd64", "Section": "admin"} {
				if got := output(t, "dpkg-deb", "--field", deb, field); got != want {
					t.Errorf("%s is %q, want %q", field, got, want)
				}
			}
			if got := output(t, "dpkg-deb", "--field", deb, "Recommends"); strings.Contains(got, "restic,") != (p.state != "") ||
				strings.Contains(got, "restic-manager-agents") != (p.state == "") {
				t.Errorf("it recommends %q", got)
			}
			has := map[string]string{}
			for line := range strings.Lines(output(t, "dpkg-deb", "--contents", deb)) {
				f := strings.Fields(line)
				has[strings.TrimPrefix(f[5], ".")] = f[0] + " " + f[1]
			}
			unit := "/usr/lib/systemd/system/" + p.name + ".service"
			for path, want := range map[string]string{
				"/usr/bin/" + p.name:              "-rwxr-xr-x root/root",
				unit:                              "-rw-r--r-- root/root",
				"/etc/" + p.name + "/":            "drwx------ root/root",
				"/etc/" + p.name + "/environment": "-rw------- root/root",
			} {
				if has[path] != want {
					t.Errorf("%s is %q, want %q", path, has[path], want)
				}
			}
			if mode, path, ok := strings.Cut(p.state, " "); ok && has[path] != mode+" root/root" {
				t.Errorf("%s is %q", path, has[path])
			}
			says := output(t, "sh", "-c", "dpkg-deb --fsys-tarfile "+deb+" | tar xO ."+unit)
			run := regexp.MustCompile(`(?m)^ExecStart=(\S+) `).FindStringSubmatch(says)
			if run == nil || has[run[1]] == "" {
				t.Errorf("the unit runs what is not in the package: %q", run)
			}
			if !strings.Contains(says, "EnvironmentFile=-/etc/"+p.name+"/environment\n") {
				t.Error("the unit does not read the file of settings")
			}
			if got := output(t, "dpkg-deb", "--info", deb, "conffiles"); got != "/etc/"+p.name+"/environment" {
				t.Errorf("conffiles are %q", got)
			}
			scripts := output(t, "rpm", "-qp", "--scripts", file(p.name+"_1.2.3_amd64.rpm"))
			for _, s := range []string{"postinst", "prerm", "postrm"} {
				scripts += "\n" + output(t, "dpkg-deb", "--info", deb, s)
			}
			if enables := regexp.MustCompile(`(?m)^\s*(deb-systemd-helper|systemctl) .*(enable|\bstart\b).*`).FindString(
				strings.ReplaceAll(heredocs.ReplaceAllString(scripts, ""), "disable", "")); enables != "" {
				t.Errorf("a script starts what nobody asked for: %s", enables)
			}
			rpm := output(t, "rpm", "-qp", "--queryformat",
				`%{VERSION} %{ARCH} [%{FILENAMES} %{FILEMODES:perms}\n]`, file(p.name+"_1.2.3_amd64.rpm"))
			for _, want := range []string{"1.2.3 x86_64 ", "/usr/bin/" + p.name + " -rwxr-xr-x", unit + " -rw-r--r--",
				"/etc/" + p.name + "/environment -rw-------"} {
				if !strings.Contains(rpm, want) {
					t.Errorf("the rpm lacks %q: %s", want, rpm)
				}
			}
			apk := output(t, "sh", "-c", "tar tzf "+file(p.name+"_1.2.3_amd64.apk")+" 2>/dev/null")
			for _, want := range []string{"usr/bin/" + p.name + "\n", "etc/init.d/" + p.name + "\n", ".post-install\n"} {
				if !strings.Contains(apk+"\n", want) {
					t.Errorf("the apk lacks %q: %s", want, apk)
				}
			}
		})
	}
	t.Run("msi", func(t *testing.T) { installer(t, file("restic-manager-agent_1.2.3_windows_amd64.msi")) })
	root := t.TempDir()
	output(t, "dpkg-deb", "--extract", file("restic-manager-agents_1.2.3_all.deb"), root)
	agents := filepath.Join(root, handout.Packaged)
	t.Run("agents", func(t *testing.T) { handedOut(t, dir, agents) })
	t.Run("image", func(t *testing.T) { archive(t, file("restic-manager_1.2.3_image.tar"), agents) })
	t.Run("again", func(t *testing.T) {
		one, two := contents(t, file(sumsFile)), contents(t, filepath.Join(made(t), sumsFile))
		if one != two || strings.Count(one, "\n") != 16 {
			t.Errorf("the same made twice is\n%s\nand\n%s", one, two)
		}
	})
}

// handedOut looks at the agents in their package as a control plane would that hands them
// out.
func handedOut(t *testing.T, dir, agents string) {
	deb := filepath.Join(dir, "restic-manager-agents_1.2.3_all.deb")
	for field, want := range map[string]string{"Package": "restic-manager-agents", "Version": "1.2.3-1", "Architecture": "all"} {
		if got := output(t, "dpkg-deb", "--field", deb, field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	stock := handout.New(handout.Config{Dirs: []string{agents}}).Stock()
	for _, want := range []struct{ system, kind, name string }{
		{handout.Linux, handout.Deb, "restic-manager-agent_1.2.3_amd64.deb"},
		{handout.Linux, handout.RPM, "restic-manager-agent_1.2.3_amd64.rpm"},
		{handout.Linux, handout.APK, "restic-manager-agent_1.2.3_amd64.apk"},
		{handout.Linux, handout.Binary, "restic-manager-agent_1.2.3_linux_amd64"},
		{handout.Windows, handout.MSI, "restic-manager-agent_1.2.3_windows_amd64.msi"},
		{handout.Windows, handout.Zip, "restic-manager-agent_1.2.3_windows_amd64.zip"},
		{handout.Windows, handout.Binary, "restic-manager-agent_1.2.3_windows_amd64.exe"},
	} {
		f, ok := stock.Find(want.system, "amd64", want.kind)
		if !ok || f.Name != want.name || f.Version != "1.2.3" {
			t.Errorf("of the %s for %s there is %+v", want.kind, want.system, f)
		} else if contents(t, filepath.Join(agents, f.Name)) != contents(t, filepath.Join(dir, f.Name)) {
			t.Errorf("%s is another than the one that is released", f.Name)
		}
	}
	if len(stock.Files) != 7 || stock.Missing != "" {
		t.Errorf("there is more or less than that: %+v", stock)
	}
	entries, err := os.ReadDir(agents)
	must(t, err)
	list := ""
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Mode() != 0o644 {
			t.Errorf("%s is %s, and the control plane's user has to read it", e.Name(), info.Mode())
		}
		list += "/" + e.Name() + "\n"
	}
	if info, err := os.Stat(agents); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}
	is, err := summed(agents)
	must(t, err)
	if got := contents(t, filepath.Join(agents, sumsFile)); is == "" || got != is {
		t.Errorf("the checksums beside them are %q, want %q", got, is)
	}
	rpm := output(t, "rpm", "-qp", "--queryformat", `%{VERSION} %{ARCH}\n[%{FILENAMES} %{FILEMODES:perms}\n]`,
		filepath.Join(dir, "restic-manager-agents_1.2.3_all.rpm"))
	apk := output(t, "sh", "-c", "tar tzf "+filepath.Join(dir, "restic-manager-agents_1.2.3_all.apk")+" 2>/dev/null") + "\n"
	if !strings.HasPrefix(rpm, "1.2.3 noarch\n") {
		t.Errorf("the rpm is %s", rpm)
	}
	for name := range strings.Lines(list) {
		if want := handout.Packaged + strings.TrimSpace(name) + " -rw-r--r--"; !strings.Contains(rpm, want) {
			t.Errorf("the rpm lacks %q: %s", want, rpm)
		}
		if !strings.Contains(apk, handout.Packaged[1:]+name) {
			t.Errorf("the apk lacks %q: %s", name, apk)
		}
	}
}

var heredocs = regexp.MustCompile(`(?s)<<'END'\n.*?\nEND\n`)

// installer looks into the tables of the one for Windows.
func installer(t *testing.T, msi string) {
	rows := func(table string) map[string][]string {
		found := map[string][]string{}
		for line := range strings.Lines(output(t, "msiinfo", "export", msi, table)) {
			f := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
			found[f[0]] = f[1:]
		}
		return found
	}
	properties := rows("Property")
	for name, want := range map[string]string{
		"ProductVersion":         "1.2.3",
		"UpgradeCode":            "{6A1A2E0B-5F0C-4C41-9C0E-0A1B6E3C7D52}", // never another, or upgrades stand beside each other
		"ALLUSERS":               "1",
		"SecureCustomProperties": "NEWERFOUND;OLDERFOUND;POLICY;SERVER;TOKEN;TOKENFILE",
		"POLICY":                 "backup",
	} {
		if got := strings.Join(properties[name], ""); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(strings.Join(properties["MsiHiddenProperties"], ""), "TOKEN;") {
		t.Errorf("hidden are %q", properties["MsiHiddenProperties"])
	}
	// 18: a program that is installed; 1024: later, when it is; 2048: as SYSTEM; 8192: its
	// command line is in no log; 64: its failure does not matter.
	sequence := rows("InstallExecuteSequence")
	for name, want := range map[string]struct{ kind, when, at string }{
		"Complete":   {"3154", "NOT REMOVE", "5810"},
		"EnrolToken": {"11282", "TOKEN AND NOT Installed", "5820"},
		"EnrolFile":  {"11282", "TOKENFILE AND NOT TOKEN AND NOT Installed", "5830"},
		"Begin":      {"3154", "NOT REMOVE", "5840"},
		"Unlist":     {"3154", `REMOVE="ALL" AND NOT UPGRADINGPRODUCTCODE`, "1890"},
	} {
		action := rows("CustomAction")[name]
		if len(action) < 3 || action[0] != want.kind || action[1] != "AgentProgram" {
			t.Errorf("%s is %q", name, action)
		}
		if strings.HasPrefix(name, "Enrol") && !strings.Contains(strings.Join(action, " "), "enroll --if-needed ") {
			t.Errorf("%s undoes an upgrade by the line that it was installed with: %q", name, action)
		}
		if at := sequence[name]; len(at) != 2 || at[0] != want.when || at[1] != want.at {
			t.Errorf("%s comes %q, want %+v", name, at, want)
		}
	}
	if at := sequence["RemoveExistingProducts"]; len(at) != 2 || at[1] != "1501" {
		t.Errorf("what was there is removed %q", at)
	}
	service := strings.Join(rows("ServiceInstall")["AgentService"], "\t")
	if !strings.Contains(service, "restic-manager-agent\trestic-manager agent\t16\t2\t1\t") ||
		!strings.Contains(service, `run --service --state "[CommonAppDataFolder]restic-manager-agent"`) {
		t.Errorf("the service is %q", service)
	}
	if control := strings.Join(rows("ServiceControl")["AgentServiceControl"], " "); !strings.HasPrefix(control, "restic-manager-agent 162 ") {
		t.Errorf("it is stopped and removed by %q", control) // 2 and 32: stopped, before and after; 128: removed
	}
	for table, rest := range map[string]string{"Directory": "Data", "CreateFolder": "Data"} {
		if text := output(t, "msiinfo", "export", msi, table); strings.Contains(text, rest) {
			t.Errorf("the state directory is a component, which a removal takes along: %s", text)
		}
	}
	if old := rows("RemoveFile")["AgentOld"]; len(old) != 4 || old[3] != "2" {
		t.Errorf("what an update puts aside stays: %q", old)
	}
	upgrades := output(t, "msiinfo", "export", msi, "Upgrade")
	if !strings.Contains(upgrades, "\t0.0.0\t1.2.3\t\t768\t\tOLDERFOUND") || !strings.Contains(upgrades, "\t1.2.3\t\t\t2\t\tNEWERFOUND") {
		t.Errorf("what it is installed over is %s", upgrades)
	}
}

// archive looks into the image as an engine would: agents has what it hands out.
func archive(t *testing.T, path, agents string) {
	blobs := map[string][]byte{}
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		blobs[h.Name], err = io.ReadAll(r)
		must(t, err)
		if name, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok {
			if sum := sha256.Sum256(blobs[h.Name]); hex.EncodeToString(sum[:]) != name {
				t.Errorf("%s is not what its name says", h.Name)
			}
		}
	}
	type index struct{ Manifests, Layers []descriptor }
	read := func(d descriptor, into any) []byte {
		b := blobs["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		if int64(len(b)) != d.Size || d.Size == 0 {
			t.Fatalf("%s has %d bytes, and should have %d", d.Digest, len(b), d.Size)
		}
		if into != nil {
			must(t, json.Unmarshal(b, into))
		}
		return b
	}
	var top, all, manifest index
	must(t, json.Unmarshal(blobs["index.json"], &top))
	read(top.Manifests[0], &all)
	if p := all.Manifests[0].Platform; p == nil || p.Architecture != "amd64" {
		t.Fatalf("it is for %+v", p)
	}
	b := read(all.Manifests[0], &manifest)
	var of struct{ Config descriptor }
	must(t, json.Unmarshal(b, &of))
	var config struct {
		Config struct{ User string }
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	read(of.Config, &config)
	if config.Config.User != "65532:65532" {
		t.Errorf("it runs as %q", config.Config.User)
	}
	if len(manifest.Layers) != 2 || len(config.RootFS.DiffIDs) != 2 {
		t.Fatalf("its layers are %+v, of %q", manifest.Layers, config.RootFS.DiffIDs)
	}
	owners, handed := map[string]int{}, 0
	for i, l := range manifest.Layers {
		z, err := gzip.NewReader(bytes.NewReader(read(l, nil)))
		must(t, err)
		files, err := io.ReadAll(z)
		must(t, err)
		if sum := sha256.Sum256(files); config.RootFS.DiffIDs[i] != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Errorf("layer %d is not the one that the configuration names", i)
		}
		for r := tar.NewReader(bytes.NewReader(files)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			name, ok := strings.CutPrefix("/"+h.Name, handout.Packaged+"/")
			if !ok || name == "" {
				owners[h.Name] = h.Uid
				continue
			}
			b, err := io.ReadAll(r)
			must(t, err)
			if contents(t, filepath.Join(agents, name)) != string(b) || h.Uid != 0 || h.Mode != 0o644 {
				t.Errorf("%s is another in the image: %o of %d", name, h.Mode, h.Uid)
			}
			handed++
		}
	}
	if owners["var/lib/restic-manager/"] != 65532 || owners["usr/bin/restic-manager"] != 0 || len(owners) != 7 {
		t.Errorf("there is %v", owners)
	}
	if handed != 9 {
		t.Errorf("the image hands out %d files", handed)
	}
}

// TestChecksumsAreSigned signs with a key of its own and verifies, and so does whoever
// has minisign.
func TestChecksumsAreSigned(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "program"), []byte("text"), 0o600))
	public, secret, err := minisign.GenerateKey(rand.Reader)
	must(t, err)
	locked, err := minisign.EncryptKey("correct horse", secret)
	must(t, err)
	keys := t.TempDir()
	known, key := filepath.Join(keys, "key.pub"), filepath.Join(keys, "key")
	text, err := public.MarshalText()
	must(t, err)
	must(t, errors.Join(os.WriteFile(known, text, 0o600), os.WriteFile(key, locked, 0o600), sums(dir)))
	listed := filepath.Join(dir, sumsFile)
	if got := contents(t, listed); got != "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1  program\n" {
		t.Errorf("the checksums are %q", got)
	}
	if sign(listed, key, strings.NewReader("wrong\n")) == nil {
		t.Error("another password opens the key")
	}
	must(t, sign(listed, key, strings.NewReader("correct horse\n")))
	must(t, verify(dir, known))
	other, _, err := minisign.GenerateKey(rand.Reader)
	must(t, err)
	text, err = other.MarshalText()
	must(t, err)
	must(t, os.WriteFile(known+"2", text, 0o600))
	if verify(dir, known+"2") == nil {
		t.Error("it is signed by any key")
	}
	for what, change := range map[string]func(){
		"a file that changed": func() { must(t, os.WriteFile(filepath.Join(dir, "program"), []byte("tex1"), 0o600)) },
		"a file too many":     func() { must(t, os.WriteFile(filepath.Join(dir, "another"), []byte("text"), 0o600)) },
		"a file too few":      func() { must(t, os.Remove(filepath.Join(dir, "program"))) },
		"other checksums":     func() { must(t, sums(dir)) },
	} {
		must(t, errors.Join(os.RemoveAll(filepath.Join(dir, "another")), os.WriteFile(filepath.Join(dir, "program"), []byte("text"), 0o600),
			sums(dir), sign(listed, key, strings.NewReader("correct horse"))))
		must(t, verify(dir, known))
		if change(); what == "other checksums" {
			must(t, os.WriteFile(listed, []byte(strings.Replace(contents(t, listed), "9", "8", 1)), 0o600))
		}
		if verify(dir, known) == nil {
			t.Errorf("%s goes unnoticed", what)
		}
	}
}

func TestModulesAreListed(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	self, err := os.Executable()
	must(t, err)
	out := filepath.Join(t.TempDir(), "sbom.json")
	must(t, listed(out, []string{self}))
	text := contents(t, out)
	for _, want := range []string{
		`"bomFormat": "CycloneDX"`, `"pkg:golang/aead.dev/minisign@v0.3.0"`, `"name": "std"`, `"2023-11-14T22:13:20Z"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s", want)
		}
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
