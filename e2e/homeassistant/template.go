package homeassistant

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// The forms of templates that are known; a template of another form is an error, so that
// whoever uses one teaches it here first.
var (
	plainForm     = regexp.MustCompile(`^\{\{ value_json\.([a-z_.]+) \}\}$`)
	defaultForm   = regexp.MustCompile(`^\{\{ value_json\.([a-z_.]+) \| default\(([^,()]+)(, true)?\) \}\}$`)
	conditionForm = regexp.MustCompile(`^\{\{ '([^'{}]*)' if value_json\.([a-z_.]+) else '([^'{}]*)' \}\}$`)
)

// Render evaluates a value template as Jinja does. It is stricter in one thing: a field that
// the payload does not have at its root is an error, though a default would hide it.
func Render(template string, payload []byte) (string, error) {
	var root map[string]any
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		return "", fmt.Errorf("%q of a payload that is no JSON object: %w", template, err)
	}
	if m := plainForm.FindStringSubmatch(template); m != nil {
		v, there, err := field(root, m[1])
		if err == nil && !there {
			err = fmt.Errorf("there is no %s", m[1])
		}
		return shown(v), err
	}
	if m := defaultForm.FindStringSubmatch(template); m != nil {
		v, there, err := field(root, m[1])
		if !there || m[3] != "" && !truth(v) {
			return strings.Trim(m[2], "'"), err
		}
		return shown(v), err
	}
	if m := conditionForm.FindStringSubmatch(template); m != nil {
		v, _, err := field(root, m[2])
		if truth(v) {
			return m[1], err
		}
		return m[3], err
	}
	return "", fmt.Errorf("%q is a template of a form that nobody taught", template)
}

// field is what is at a path. Levels below the root may be missing.
func field(root map[string]any, path string) (v any, there bool, err error) {
	levels := strings.Split(path, ".")
	v, there = root[levels[0]]
	if !there {
		return nil, false, fmt.Errorf("the payload has no field %s: it has %v", levels[0], keys(root))
	}
	for _, l := range levels[1:] {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false, fmt.Errorf("%s is below what is no object", path)
		}
		if v, there = m[l]; !there {
			return nil, false, nil
		}
	}
	return v, true, nil
}

func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case json.Number:
		f, err := v.Float64()
		return err != nil || f != 0
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}

func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	}
	return fmt.Sprint(v)
}
