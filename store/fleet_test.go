package store

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Columns of which the board of the fleet has nothing: they change with every
// message of an agent, or no list of hosts shows them.
var (
	unkeptOfHost = []string{"id", "makes", "seal_key", "serial", "next_serial",
		"refused", "refused_there", "renew_for", "received_epoch", "received_seq",
		"received_mark", "birth_epoch", "birth_n", "death_epoch", "death_n", "hello_epoch", "hello_n", "last_seen", "back_at", "config_digest",
		"generation", "restoring", "paused_until"}
	unkeptOfJob = []string{"id", "host", "sent_at", "behalf", "attempts", "next_send", "lines", "pids", "last_took", "log_bytes", "cut",
		"log_dropped_at", "restic_version", "cause",
		"message", "exit_code", "snapshot_id", "operation", "result", "host_keys", "heard_at", "place", "given_by", "recalled", "other"}
)

// Whoever adds a column decides whether lists of the fleet show it; and each change
// of one that they show is noted, if it is the only one. A board that misses one
// would show what was for as long as the control plane runs.
func TestEveryChangeThatListsOfTheFleetShowIsNoted(t *testing.T) {
	s := open(t)
	g := grouped(t, s, enrolled(t, s, "attic"))
	job := asked(t, s, g)
	for _, c := range []struct {
		table, id    string
		row          any
		kept, unkept []string
	}{
		{"hosts", string(g.Host), Host{}, fleetHostColumns, unkeptOfHost},
		{"jobs", string(job.ID), Job{}, append(slices.Clone(fleetJobColumns), "summary"), unkeptOfJob},
	} {
		for i := range reflect.TypeOf(c.row).NumField() {
			column := reflect.TypeOf(c.row).Field(i).Tag.Get("db")
			if column == "-" { // no column
				continue
			}
			kept := slices.Contains(c.kept, column)
			if kept == slices.Contains(c.unkept, column) {
				t.Errorf("say of %s.%s whether lists of the fleet show it: in fleet.go, or here", c.table, column)
				continue
			}
			// other rows refer to them, or they to others
			if column == "id" || column == "host" || column == "repository" || column == "source_group" {
				continue
			}
			before := must(s.FleetMark(t.Context()))
			value := "'other'"
			if is := must(get[string](t.Context(), s.w, fmt.Sprintf(`SELECT typeof(%s) FROM %s WHERE id = $1`, column, c.table),
				c.id)); is == "integer" {
				value = "7"
			}
			if column == "can" {
				value = `'["x"]'`
			}
			if column == "updates" {
				value = `'{"os":"x"}'`
			}
			if column == "permits" || column == "operation" || column == "summary" || column == "result" {
				value = `'{"x":1}'`
			}
			must(s.w.Exec(strings.NewReplacer("TABLE", c.table, "COLUMN", column, "VALUE", value).Replace(
				`UPDATE TABLE SET COLUMN = VALUE WHERE id = $1`), c.id))
			if noted := must(s.FleetMark(t.Context())) > before; noted != kept {
				t.Errorf("a change of %s.%s is noted: %t, want %t", c.table, column, noted, kept)
			}
		}
	}
}
