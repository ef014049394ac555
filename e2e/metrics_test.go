package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to make a backup older than it is

	"github.com/restic-manager/restic-manager/e2e/world"
)

// A prometheus is Debian's, at work.
type prometheus struct {
	t       *testing.T
	address string
}

// startPrometheus runs it with the configuration and the rules that are shipped, but for
// addresses and how long things take.
func startPrometheus(t *testing.T, plane, tokenFile string) prometheus {
	t.Helper()
	dir, p := t.TempDir(), prometheus{t, world.FreeAddress(t)}
	shipped := func(name string) string {
		b, err := os.ReadFile(filepath.Join("../deploy/prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	config := "global: {evaluation_interval: 1s}\n" + strings.NewReplacer("scrape_interval: 30s", "scrape_interval: 1s",
		"scheme: https", "scheme: http", "/etc/prometheus/restic-manager-token", tokenFile, "backup.example.net:443", plane).
		Replace(shipped("prometheus.yml"))
	rules := regexp.MustCompile(`for: \w+`).ReplaceAllString(shipped("rules.yml"), "for: 1s")
	for name, text := range map[string]string{"prometheus.yml": config, "restic-manager.rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	world.Start(t, "prometheus", exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address, "--log.level=warn"))
	return p
}

// get asks Prometheus, and fails the attempt if it does not answer.
func (p prometheus) get(path string, into any) error {
	r, err := http.Get("http://" + p.address + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("prometheus answers %s with %s", path, r.Status)
	}
	return json.NewDecoder(r.Body).Decode(into)
}

// value is that of a query with one answer.
func (p prometheus) value(query string) (string, error) {
	var said struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := p.get("/api/v1/query?query="+url.QueryEscape(query), &said); err != nil {
		return "", err
	}
	if len(said.Data.Result) != 1 {
		return "", fmt.Errorf("%s has %d answers", query, len(said.Data.Result))
	}
	return fmt.Sprint(said.Data.Result[0].Value[1]), nil
}

// firing lists the alerts that fire, each with its host.
func (p prometheus) firing() (map[string]string, error) {
	var said struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string `json:"labels"`
				State  string            `json:"state"`
			} `json:"alerts"`
		} `json:"data"`
	}
	err, list := p.get("/api/v1/alerts", &said), map[string]string{}
	for _, a := range said.Data.Alerts {
		if a.State == "firing" {
			list[a.Labels["alertname"]] = a.Labels["name"]
		}
	}
	return list, err
}

func (p prometheus) await(query, want string) {
	p.t.Helper()
	world.Await(p.t, query+" to be "+want, func() error {
		if got, err := p.value(query); err != nil || got != want {
			return fmt.Errorf("it is %q: %w", got, err)
		}
		return nil
	})
}

func (p prometheus) awaitAlert(name, host string) {
	p.t.Helper()
	world.Await(p.t, "the alert "+name, func() error {
		list, err := p.firing()
		if got, fires := list[name]; err != nil || !fires || got != host {
			return fmt.Errorf("what fires is %v: %w", list, err)
		}
		return nil
	})
}

// TestPrometheusAlertsAboutAnOverdueHost: Debian's Prometheus scrapes the program with the
// configuration that is shipped, its rules load, and an alert fires once a host's last backup
// is older than its limit, and another when the control plane is gone.
func TestPrometheusAlertsAboutAnOverdueHost(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("5e", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := NewWorld(t, "--metrics-token-file", token, "--metrics-allow", "127.0.0.0/8")
	attic := w.StartAgent("attic")
	attic.Write("letters/1.txt", "dear reader")
	attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")

	p := startPrometheus(t, w.HTTP, token)
	host := `{host="` + attic.ID + `"}`
	p.await(`up{job="restic-manager"}`, "1")
	p.await("restic_manager_host_online"+host, "1")
	p.await("restic_manager_host_overdue"+host, "0")
	p.await(`restic_manager_host_last_backup_result{result="succeeded",host="`+attic.ID+`"}`, "1")
	p.await(`restic_manager_jobs_ended_total{kind="backup",result="succeeded"}`, "1")
	p.await("restic_manager_broker_connections{broker=\"agents\"}", "1")
	p.await("count(restic_manager_repository_health)", "1")
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string } `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	world.Await(t, "every rule to be evaluated", func() error {
		if err := p.get("/api/v1/rules", &rules); err != nil {
			return err
		}
		n := 0
		for _, g := range rules.Data.Groups {
			for _, r := range g.Rules {
				if n++; r.Health != "ok" {
					return fmt.Errorf("%+v", r)
				}
			}
		}
		if n < 15 {
			return fmt.Errorf("there are %d rules", n)
		}
		return nil
	})
	if list, err := p.firing(); err != nil || list["ResticHostOverdue"] != "" || list["ResticManagerDown"] != "" {
		t.Errorf("all is well, and what fires is %v, %v", list, err)
	}

	// Forty days go by for the backup while nobody looks.
	w.plane.MustStop(time.Minute)
	p.awaitAlert("ResticManagerDown", "")
	older(t, filepath.Join(w.Data, "restic-manager.db"), 40*24*time.Hour)
	w.StartPlane()
	p.await("restic_manager_host_overdue"+host, "1")
	p.awaitAlert("ResticHostOverdue", "attic")
	p.await(`restic_manager_jobs_ended_total{kind="backup",result="succeeded"}`, "1") // a restart keeps the count
	// A new backup, and all is well.
	w.AwaitState(attic.Backup("all"), "succeeded")
	p.await("restic_manager_host_overdue"+host, "0")
	p.await(`restic_manager_jobs_ended_total{kind="backup",result="succeeded"}`, "2")
	if r, err := http.Get("http://" + w.HTTP + "/metrics"); err != nil || r.StatusCode != http.StatusNotFound {
		t.Errorf("without the token: %v, %v", r, err)
	}
}

// older makes everything that was backed up older than it is. Nobody has the database open.
func older(t *testing.T, file string, by time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{
		`UPDATE jobs SET queued_at = queued_at - $1, started_at = started_at - $1, finished_at = finished_at - $1 WHERE finished_at > 0`,
		`UPDATE snapshots SET time = time - $1, begun_at = begun_at - $1, ended_at = ended_at - $1`,
		`UPDATE source_groups SET created_at = created_at - $1`,
		`UPDATE group_facts SET newest_begun = newest_begun - $1, newest_ended = newest_ended - $1, whole_begun = whole_begun - $1,
			whole_ended = whole_ended - $1, good_begun = good_begun - $1, good_ended = good_ended - $1, last_ended_at = last_ended_at - $1`,
	} {
		if _, err := db.Exec(query, by.Milliseconds()); err != nil {
			t.Fatal(query, err)
		}
	}
}
