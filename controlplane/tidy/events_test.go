package tidy

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// times are the fields of what agents say that hold a time: whoever adds one that is
// called otherwise adds its name.
var times = map[string]bool{"At": true, "Time": true, "Created": true, "ModTime": true, "Keys": true,
	"Since": true, "Until": true}

// planned are times that name a slot: what becomes of one that cannot be, its schedule
// decides.
var planned = map[string]bool{"Slot": true}

// spoil fills every time with one that cannot be and every text with what nobody should
// be shown, and looks calls what there is afterwards with its name.
func spoil(v reflect.Value, ms int64, text string) {
	walk(v, "", func(name string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Int64:
			v.SetInt(ms)
		case reflect.String:
			v.SetString(text)
		}
	})
}

func walk(v reflect.Value, name string, f func(string, reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		walk(v.Elem(), name, f)
	case reflect.Struct:
		for i := range v.NumField() {
			if !planned[v.Type().Field(i).Name] && v.Type().Field(i).Name != "Also" {
				walk(v.Field(i), v.Type().Field(i).Name, f)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			walk(v.Index(i), name, f)
		}
	default:
		f(name, v)
	}
}

func TestWhatEntersHasTimesThatCanBe(t *testing.T) {
	for _, ms := range []int64{math.MinInt64, -1, words.LatestTime + 1, math.MaxInt64} {
		var ev topics.Events
		spoil(reflect.ValueOf(&ev), ms, "x")
		Events(ev)
		met := 0
		walk(reflect.ValueOf(&ev), "", func(name string, v reflect.Value) {
			if v.Kind() != reflect.Int64 || !times[name] {
				return
			}
			if met++; v.Int() != words.Time(ms) {
				t.Errorf("%s of %d is taken as %d", name, ms, v.Int())
			}
		})
		if met < 7 {
			t.Errorf("only %d times were met", met)
		}
		var p topics.Progress
		spoil(reflect.ValueOf(&p), ms, "x")
		Progress(&p)
		met = 0
		walk(reflect.ValueOf(&p), "", func(name string, v reflect.Value) {
			if v.Kind() != reflect.Int64 || !times[name] {
				return
			}
			if met++; v.Int() != words.Time(ms) {
				t.Errorf("%s of a progress of %d is taken as %d", name, ms, v.Int())
			}
		})
		if met != 3 {
			t.Errorf("%d times of a progress were met", met)
		}
		b := topics.Heartbeat{Clock: ms, Disk: &topics.Disk{Since: ms}}
		if Beat(&b); b.Clock != words.Time(ms) || b.Disk.Since != words.Time(ms) {
			t.Errorf("a heartbeat of %d is taken as %d, %d", ms, b.Clock, b.Disk.Since)
		}
	}
}

func TestWhatAHostSaysOfItselfIsBoundedAndCanBeSeen(t *testing.T) {
	hostile := "a\x00b\x1b[31mc\r\nd\u202ee\u200bf" + strings.Repeat("é", 5000)
	var ev topics.Events
	spoil(reflect.ValueOf(&ev), 1, hostile)
	hello := ev.Events[0].Hello
	for range 2000 {
		hello.Facts.Permits.Hooks = append(hello.Facts.Permits.Hooks, hostile)
		hello.Facts.Permits.Kinds = append(hello.Facts.Permits.Kinds, "backup")
		hello.Machine.Addresses = append(hello.Machine.Addresses, hostile)
	}
	Events(ev)
	all := 0
	walk(reflect.ValueOf(hello), "", func(name string, v reflect.Value) {
		if v.Kind() != reflect.String || name == "Jobs" { // IDs, which name jobs or none
			return
		}
		text := v.String()
		all += len(text)
		if name != "Error" && strings.ContainsAny(text, "\x00\x1b\r\n\u202e") || len(text) > MostPath || !utf8.ValidString(text) {
			t.Errorf("%s is taken as %d bytes, %.60q", name, len(text), text)
		}
	})
	if got := ev.Events[0].Started.Restic; len(got) > MostName || strings.ContainsAny(got, "\x00\x1b") { // each job's row has one
		t.Errorf("restic's version is taken as %d bytes", len(got))
	}
	if all > 2<<20 {
		t.Errorf("%d bytes of a host are kept", all)
	}
	if got := hello.Facts.Hostname; len(got) > MostName || !strings.HasPrefix(got, "abcdef") && !strings.HasPrefix(got, "ab[31mcdef") {
		t.Errorf("the host's name is taken as %.40q, %d bytes", got, len(got))
	}
	for _, text := range []string{"attic", "Büro-PC", "日本", "", "Debian GNU/Linux 12 (bookworm)"} {
		if got := Clean(text, MostName); got != text {
			t.Errorf("%q is taken as %q", text, got)
		}
	}
}
