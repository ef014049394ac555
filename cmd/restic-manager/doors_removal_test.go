package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// A hostName is what a host is to be called.
type hostName struct{ Name string }

var hostNames = subject[hostName]{
	service: func(t *testing.T, h *house, in hostName) error {
		_, err := (&hosts.Settings{Store: h.store}).Put(t.Context(), "test", h.host, hosts.Input{Name: &in.Name})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in hostName) (bool, string){
		theForm: func(_ *testing.T, h *house, in hostName) (bool, string) {
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/rename", url.Values{"name": {in.Name}})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in hostName) (bool, string) {
			status, text := h.ask("PATCH", "/api/hosts/"+string(h.host), map[string]any{"name": in.Name})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in hostName) (bool, string) {
			text, code := h.tell("host", "rename", string(h.host), in.Name)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		row, err := h.store.Host(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		name := "attic"
		if _, err := (&hosts.Settings{Store: h.store}).Put(t.Context(), "test", h.host, hosts.Input{Name: &name}); err != nil {
			t.Fatal(err)
		}
		return []string{row.Name}
	},
	cases: map[string]doorCase[hostName]{
		"another one":    {in: hostName{"loft"}},
		"its own":        {in: hostName{"attic"}},
		"spaces around":  {in: hostName{"  loft "}},
		"100 characters": {in: hostName{strings.Repeat("ü", 100)}},
		"101 characters": {in: hostName{strings.Repeat("ü", 101)}, bad: "name"},
		"nothing":        {in: hostName{""}, bad: "name"},
		"an escape":      {in: hostName{"lo\x1bft"}, bad: "name"},
	},
}

// A removedGroup is how a source group is removed.
type removedGroup struct{ Snapshots string }

var removedGroups = subject[removedGroup]{
	service: func(t *testing.T, h *house, in removedGroup) error {
		how := removal.Input{Snapshots: in.Snapshots}
		_, _, err := (&removal.Service{Store: h.store}).RemoveGroup(t.Context(), "test", h.host, groupOf(t, h), how)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in removedGroup) (bool, string){
		theForm: func(t *testing.T, h *house, in removedGroup) (bool, string) {
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/source-groups/"+groupOf(t, h)+"/remove",
				url.Values{"snapshots": {in.Snapshots}})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in removedGroup) (bool, string) {
			status, text := h.ask("DELETE", "/api/hosts/"+string(h.host)+"/source-groups/"+groupOf(t, h)+"?snapshots="+
				url.QueryEscape(in.Snapshots), nil)
			return status == http.StatusOK, text
		},
		theCommandLine: func(t *testing.T, h *house, in removedGroup) (bool, string) {
			text, code := h.tell("group", "remove", string(h.host), groupOf(t, h), "--snapshots="+in.Snapshots)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		list, err := h.store.RemovedGroups(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			all = append(all, r.Name+" "+r.Snapshots)
			if _, err := h.store.Restore(t.Context(), "test", removal.Group, r.ID, ""); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: map[string]doorCase[removedGroup]{
		"keep":      {in: removedGroup{"keep"}},
		"retention": {in: removedGroup{"retention"}},
		"the rest":  {in: removedGroup{"some"}, bad: "snapshots"},
	},
}

// groupOf is the name of the host's source group.
func groupOf(t *testing.T, h *house) string {
	t.Helper()
	list, err := h.store.SourceGroups(t.Context(), topics.HostID(h.host))
	if err != nil || len(list) == 0 {
		t.Fatalf("the host has the groups %v, %v", list, err)
	}
	return list[0].Name
}
