package private

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// On Windows everybody who may use a file stands in its security descriptor. The system
// writes one down in its own language, SDDL, and this reads that.

// A descriptor is whom a file belongs to and what others may do with it.
type descriptor struct {
	owner  string // a SID as text
	open   bool   // there is no list, and everybody may do everything
	grants []grant
}

// A grant lets somebody do something.
type grant struct {
	sid       string
	mask      uint32
	inherited bool // it came from the directory above
}

// What may be done with a file.
const (
	readData    = 0x1        // of a directory, list it
	writeData   = 0x2        // of a directory, add a file
	appendData  = 0x4        // of a directory, add a directory
	deleteChild = 0x40       // of a directory, remove what is in it
	deleteIt    = 0x10000    // or rename it
	writeDAC    = 0x40000    // change this list
	writeOwner  = 0x80000    // take it
	genericAll  = 0x10000000 // all of it
	genericW    = 0x40000000
	genericR    = 0x80000000

	changes = writeData | appendData | deleteChild | deleteIt | writeDAC | writeOwner | genericAll | genericW
	uses    = changes | readData | genericR
)

// rights are the words of SDDL for what may be done.
var rights = map[string]uint32{
	"GA": genericAll, "GR": genericR, "GW": genericW, "GX": 0x20000000,
	"RC": 0x20000, "SD": deleteIt, "WD": writeDAC, "WO": writeOwner,
	"FA": 0x1f01ff, "FR": 0x120089, "FW": 0x120116, "FX": 0x1200a0,
	"CC": 0x1, "DC": 0x2, "LC": 0x4, "SW": 0x8, "RP": 0x10, "WP": 0x20, "DT": 0x40, "LO": 0x80, "CR": 0x100,
}

// The SIDs that this system trusts anyway, and those that mean nobody of their own.
const (
	systemSID        = "S-1-5-18"
	administratorSID = "S-1-5-32-544"
	installerSID     = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464" // TrustedInstaller
	creatorSID       = "S-1-3-0"                                                        // whoever makes a file below, which is asked there
	ownerSID         = "S-1-3-4"                                                        // whoever owns the file
)

// names are the words of SDDL for SIDs, and how people know them.
var names = []struct{ word, sid, name string }{
	{"SY", systemSID, "SYSTEM"}, {"BA", administratorSID, "Administrators"}, {"CO", creatorSID, "the one who makes a file"},
	{"OW", ownerSID, "its owner"}, {"WD", "S-1-1-0", "Everyone"}, {"AU", "S-1-5-11", "all users who are signed in"},
	{"BU", "S-1-5-32-545", "Users"}, {"BG", "S-1-5-32-546", "Guests"}, {"PU", "S-1-5-32-547", "Power Users"},
	{"IU", "S-1-5-4", "whoever sits at the machine"}, {"NU", "S-1-5-2", "whoever comes over the network"}, {"SU", "S-1-5-6", "services"},
	{"AN", "S-1-5-7", "Anonymous"}, {"LS", "S-1-5-19", "Local Service"}, {"NS", "S-1-5-20", "Network Service"},
	{"BO", "S-1-5-32-551", "Backup Operators"}, {"SO", "S-1-5-32-549", "Server Operators"}, {"CG", "S-1-3-1", "the group of who makes a file"},
	{"AC", "S-1-15-2-1", "all apps"},
}

// sidOf is a SID as SDDL has it.
func sidOf(text string) string {
	for _, n := range names {
		if n.word == text {
			return n.sid
		}
	}
	return text
}

// nameOf is how people know a SID.
func nameOf(sid string) string {
	for _, n := range names {
		if n.sid == sid {
			return n.name
		}
	}
	return sid
}

// parse reads a security descriptor. What only holds for files that are made below is
// left out: each of those has its own.
func parse(sddl string) (d descriptor, err error) {
	d.open = true
	rest := sddl
	for rest != "" {
		if len(rest) < 2 || rest[1] != ':' {
			return d, fmt.Errorf("%.300q is no security descriptor", sddl)
		}
		part := rest[0]
		rest = rest[2:]
		value := rest
		for i := 0; i+1 < len(rest); i++ { // up to the next part, whose letter no value ends with outside of parentheses
			if rest[i] == '(' {
				end := strings.IndexByte(rest[i:], ')')
				if end < 0 {
					return d, fmt.Errorf("%.300q ends early", sddl)
				}
				i += end
				continue
			}
			if strings.IndexByte("OGDS", rest[i]) >= 0 && rest[i+1] == ':' {
				value = rest[:i]
				break
			}
		}
		rest = rest[len(value):]
		switch part {
		case 'O':
			d.owner = sidOf(value)
		case 'D':
			flags, entries, _ := strings.Cut(value, "(")
			d.open = strings.Contains(flags, "NO_ACCESS_CONTROL")
			for _, e := range strings.Split(strings.TrimSuffix(entries, ")"), ")(") {
				if e == "" {
					continue
				}
				g, ok, err := grantOf(e)
				if err != nil {
					return d, err
				}
				if ok {
					d.grants = append(d.grants, g)
				}
			}
		}
	}
	return d, nil
}

// grantOf reads an entry, TYPE;FLAGS;RIGHTS;OBJECT;INHERITED;SID. ok is false for one that
// lets nobody do anything.
func grantOf(entry string) (g grant, ok bool, err error) {
	f := strings.Split(entry, ";")
	if len(f) < 6 {
		return g, false, fmt.Errorf("%.200q is no entry of an access list", entry)
	}
	var flags []string
	for i := 0; i+1 < len(f[1]); i += 2 {
		flags = append(flags, f[1][i:i+2])
	}
	g.sid, g.inherited = sidOf(f[5]), slices.Contains(flags, "ID")
	if strings.HasPrefix(f[2], "0") {
		n, err := strconv.ParseUint(f[2], 0, 32)
		if err != nil {
			return g, false, fmt.Errorf("%.200q: %w", entry, err)
		}
		g.mask = uint32(n)
	} else {
		for i := 0; i+1 < len(f[2]); i += 2 {
			right, known := rights[f[2][i:i+2]]
			if !known {
				right = genericAll // whatever it is, it is much
			}
			g.mask |= right
		}
	}
	allows := f[0] == "A" || f[0] == "OA" || f[0] == "XA" || f[0] == "ZA"
	return g, allows && !slices.Contains(flags, "IO"), nil
}

// others are who may do something of this with a file, beside the system, its
// administrators and self, by their names.
func (d descriptor) others(mask uint32, self string) (who []string) {
	trusted := []string{systemSID, administratorSID, installerSID, creatorSID, ownerSID, self}
	add := func(sid string) {
		if sid != "" && !slices.Contains(trusted, sid) && !slices.Contains(who, nameOf(sid)) {
			who = append(who, nameOf(sid))
		}
	}
	if d.open {
		add("S-1-1-0")
	}
	for _, g := range d.grants {
		if g.mask&mask != 0 {
			add(g.sid)
		}
	}
	return who
}

// foreign is whom a file belongs to, if that is neither the system, nor its
// administrators, nor self.
func (d descriptor) foreign(self string) string {
	if d.owner == "" || slices.Contains([]string{systemSID, administratorSID, installerSID, self}, d.owner) {
		return ""
	}
	return nameOf(d.owner)
}

// ownList is the list of a directory that is for the system and the administrators alone,
// and for self, if that is somebody else; what is made below has it, too.
func ownList(self string) string {
	list := "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
	if self != "" && self != systemSID {
		list += "(A;OICI;FA;;;" + self + ")"
	}
	return list
}
