package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
)

// An enrolKey is a key for many hosts as somebody wants it. Its life is in whole days.
type enrolKey struct{ enroll.KeyInput }

const aDay = 24 * time.Hour

var enrollKeys = subject[enrolKey]{
	service: func(t *testing.T, h *house, in enrolKey) error {
		_, _, err := deskOf(t, h).OfferKey(t.Context(), "test", in.KeyInput)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in enrolKey) (bool, string){
		theForm: func(_ *testing.T, h *house, in enrolKey) (bool, string) {
			form := url.Values{"name": {in.Name}, "uses": {strconv.Itoa(in.Uses)}, "days": {strconv.Itoa(int(in.Life / aDay))},
				"policy": {in.Policy}, "approve": {strconv.FormatBool(in.Approve)}, "drill": {strconv.FormatBool(in.Drill)}}
			for _, tag := range in.Tags {
				form.Set("tags", form.Get("tags")+" "+tag)
			}
			status, text := h.ask("POST", "/hosts/keys", form)
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in enrolKey) (bool, string) {
			body := map[string]any{"name": in.Name, "uses": in.Uses, "hours": in.Life.Hours(), "policy": in.Policy, "approve": in.Approve,
				"drill": in.Drill}
			if len(in.Tags) > 0 {
				body["tags"] = in.Tags
			}
			status, text := h.ask("POST", "/api/enroll-keys", body)
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in enrolKey) (bool, string) {
			args := []string{"enroll-key", "create", in.Name, fmt.Sprintf("--uses=%d", in.Uses),
				"--ttl=" + in.Life.String(), "--policy=" + in.Policy}
			for _, tag := range in.Tags {
				args = append(args, "--tag="+tag)
			}
			if in.Approve {
				args = append(args, "--approve")
			}
			if !in.Drill {
				args = append(args, "--no-drill")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		keys, err := h.store.Admission().Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if k.WithdrawnAt > 0 {
				continue
			}
			all = append(all, fmt.Sprintf("%q for %d, %d s, %q %q %t %t", k.Name, k.Uses, (k.ExpiresAt-k.CreatedAt)/1000, k.Tags, k.Policy,
				k.Approve, k.Drill))
			if err := deskOf(t, h).WithdrawKey(t.Context(), "test", k.ID); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: map[string]doorCase[enrolKey]{
		"plain": {in: enrolKey{enroll.KeyInput{Name: "rack 7", Uses: 50, Life: 30 * aDay, Policy: "backup", Drill: true}}},
		"all": {in: enrolKey{enroll.KeyInput{Name: "laptops", Uses: 500, Life: 366 * aDay, Tags: []string{"Site=berlin", "web"},
			Policy: "managed", Approve: true}}},
		"no name":        {in: enrolKey{enroll.KeyInput{Name: "..", Uses: 1, Life: aDay, Policy: "backup"}}, bad: "name"},
		"an escape":      {in: enrolKey{enroll.KeyInput{Name: "a\x1b[31mb", Uses: 1, Life: aDay, Policy: "backup"}}, bad: "name"},
		"no hosts":       {in: enrolKey{enroll.KeyInput{Name: "a", Life: aDay, Policy: "backup"}}, bad: "uses"},
		"too many":       {in: enrolKey{enroll.KeyInput{Name: "a", Uses: 20_001, Life: aDay, Policy: "backup"}}, bad: "uses"},
		"for no time":    {in: enrolKey{enroll.KeyInput{Name: "a", Uses: 1, Policy: "backup"}}, bad: "ttl"},
		"for too long":   {in: enrolKey{enroll.KeyInput{Name: "a", Uses: 1, Life: 367 * aDay, Policy: "backup"}}, bad: "ttl"},
		"no such policy": {in: enrolKey{enroll.KeyInput{Name: "a", Uses: 1, Life: aDay, Policy: "generous"}}, bad: "policy"},
		"a tag that is none": {in: enrolKey{enroll.KeyInput{Name: "a", Uses: 1, Life: aDay, Policy: "backup", Tags: []string{"a=b=c"}}},
			bad: "tags"},
	},
}
