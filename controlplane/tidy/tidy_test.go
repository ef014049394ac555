package tidy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

const hostile = "a\x00b\x1b]0;c\x07\r\nd\u202ee\u200bf"

// fill puts a hostile text wherever a value may hold one, and fails for a kind of field
// that it does not know: [Facts] would not know it either.
func fill(t *testing.T, v reflect.Value) {
	switch long := hostile + strings.Repeat("é", 5000); v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.String:
		v.SetString(long)
	case reflect.Bool, reflect.Int, reflect.Int64: // times: TestWhatEntersHasTimesThatCanBe
	case reflect.Slice:
		for range 1000 {
			v.Set(reflect.Append(v, reflect.ValueOf(long).Convert(v.Type().Elem())))
		}
	case reflect.Map:
		said := map[string][]string{long: {long}}
		for i := range 1000 {
			said[long[:20+i]] = []string{long, long}
		}
		v.Set(reflect.ValueOf(said))
	default:
		t.Fatalf("a fact is a %s", v.Type())
	}
}

func TestEveryFactIsBoundedAndCanBeSeen(t *testing.T) {
	var f topics.Facts
	fill(t, reflect.ValueOf(&f).Elem())
	Facts(&f)
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b); n > 16<<20 {
		t.Errorf("%d bytes of facts are kept", n)
	}
	var back any
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	var look func(any)
	look = func(v any) {
		switch v := v.(type) {
		case string:
			if v != words.Strip(v) || len(v) > MostPath {
				t.Errorf("%d bytes are kept, %.40q", len(v), v)
			}
		case []any:
			if len(v) > mostList {
				t.Errorf("%d entries are kept", len(v))
			}
			for _, e := range v {
				look(e)
			}
		case map[string]any:
			if len(v) > mostList {
				t.Errorf("%d entries are kept", len(v))
			}
			for k, e := range v {
				look(k)
				look(e)
			}
		}
	}
	look(back)
}

func TestAPolicyThatCanBeSeenStaysAsItIs(t *testing.T) {
	was := topics.Permits{Kinds: []topics.JobKind{topics.BackupJob}, Repositories: []string{"sftp:nas:/büro"}, Hooks: []string{},
		As: map[string][]string{"sftp:nas:/büro": {"backup"}}}
	f := topics.Facts{Hostname: "Büro-PC", Policy: "backup", Permits: &topics.Permits{}}
	*f.Permits = was
	Facts(&f)
	if !reflect.DeepEqual(*f.Permits, was) || f.Hostname != "Büro-PC" {
		t.Errorf("it is taken as %+v", f)
	}
}
