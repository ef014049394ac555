package topics

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func bigConfig(groups int) Config {
	c := Config{Revision: 7, Repositories: []Repository{{ID: "vault-00001", URL: "/srv/vault", Password: "hunter2"}}}
	s := Schedule{ID: "nightly-0001", Name: "nightly", Cron: "30 2 * * *", Zone: "Europe/Berlin"}
	for i := range groups {
		id := SourceGroupID(fmt.Sprintf("group-%05d", i))
		c.Groups = append(c.Groups, PlannedGroup{
			SourceGroup: SourceGroup{ID: id, Name: string(id), Paths: []string{"/" + strings.Repeat("x", 900)}},
			Repository:  "vault-00001",
		})
		s.Groups = append(s.Groups, ScheduledGroup{Group: id, After: int64(i)})
	}
	c.Schedules = []Schedule{s}
	return c
}

func TestAConfigIsPutTogetherFromItsPartsInAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, groups := range []int{0, 1, 200, 1000} {
		want := bigConfig(groups)
		parts, err := want.Split()
		if err != nil {
			t.Fatal(err)
		}
		if groups == 1000 && len(parts) < 10 {
			t.Errorf("%d parts only", len(parts))
		}
		stale, _ := bigConfig(groups + 1).Split() // of another sending, cut off
		var a ConfigAssembly
		if len(stale) > 1 {
			if _, whole, err := a.Add(stale[0]); whole || err != nil {
				t.Fatal(whole, err)
			}
		}
		order := rnd.Perm(len(parts))
		for i, n := range order {
			p := parts[n]
			p.Stamp = Stamp{Session: Session{Epoch: 1, N: 1}, N: uint64(i + 1)}
			b := Encode(p)
			if len(b)+64 > MaxPayload {
				t.Fatalf("a part of %d bytes", len(b))
			}
			p, err := Decode[ConfigPart](b)
			if err != nil {
				t.Fatal(err)
			}
			got, whole, err := a.Add(p)
			if err != nil || whole != (i == len(order)-1) {
				t.Fatalf("part %d: whole %v, %v", i, whole, err)
			}
			if whole && !reflect.DeepEqual(got, want) && groups > 0 {
				t.Errorf("%d groups came back as something else", groups)
			}
			if again, twice, err := a.Add(p); !whole && (twice || err != nil) {
				t.Errorf("the same part again: %v %v %v", again, twice, err)
			}
		}
	}
}

func TestAConfigThatDoesNotFitIsRefused(t *testing.T) {
	if _, err := bigConfig(6000).Split(); !errors.Is(err, ErrConfig) {
		t.Errorf("six thousand groups: %v", err)
	}
	parts, _ := bigConfig(100).Split()
	parts[0].Data = bytes.Replace(parts[0].Data, []byte("nightly"), []byte("daily  "), 1)
	var a ConfigAssembly
	var err error
	for _, p := range parts {
		_, _, err = a.Add(p)
	}
	if !errors.Is(err, ErrConfig) {
		t.Errorf("a changed part: %v", err)
	}
	for what, text := range map[string]string{
		"no revision":   `{"schedules":[]}`,
		"bad schedule":  `{"revision":1,"schedules":[{"id":"x"}]}`,
		"bad group":     `{"revision":1,"groups":[{"id":"letters-01","repository":"x"}]}`,
		"no config":     `[]`,
		"bad scheduled": `{"revision":1,"schedules":[{"id":"nightly-01","groups":[{"group":"../x"}]}]}`,
	} {
		if _, _, err := whole([]byte(text)); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
