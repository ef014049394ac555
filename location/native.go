package location

import "strings"

// Native is a path as its host's own system spells it, so that one place has one spelling.
// On Windows these are the same: C:\Data, c:/Data, \\?\C:\Data, and /C/Data, which is how
// snapshots name it. Any other path, and any of another system, is left as it is.
func Native(os, path string) string {
	if os != "windows" {
		return path
	}
	p := strings.ReplaceAll(path, "/", `\`)
	if n := len(unc); len(p) > n && strings.EqualFold(p[:n], unc) {
		return `\\` + p[n:]
	}
	if rest, ok := strings.CutPrefix(p, `\\?\`); ok && hasDrive(rest) {
		p = rest
	}
	switch {
	case hasDrive(p):
		if len(p) == 2 {
			p += `\`
		}
		return strings.ToUpper(p[:1]) + p[1:]
	case len(p) >= 2 && p[0] == '\\' && isLetter(p[1]) && (len(p) == 2 || p[2] == '\\'):
		return strings.ToUpper(p[1:2]) + `:\` + strings.TrimPrefix(p[2:], `\`)
	case strings.HasPrefix(p, `\\`):
		return p
	}
	return path
}

// unc begins the path of a share that the rules of Windows are turned off for.
const unc = `\\?\UNC\`

// hasDrive reports whether a path begins with a drive and goes on from its root.
func hasDrive(p string) bool {
	return len(p) >= 2 && isLetter(p[0]) && p[1] == ':' && (len(p) == 2 || p[2] == '\\')
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
