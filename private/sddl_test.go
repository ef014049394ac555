package private

import (
	"slices"
	"testing"
)

func TestWhoMayUseAFileOfWindows(t *testing.T) {
	const anna = "S-1-5-21-1-2-3-1001"
	for _, c := range []struct {
		is, sddl string
		use      []string // who may read or write it
		change   []string // who may write it
		belongs  string   // whom it belongs to, if that is a stranger
	}{
		{"what the agent makes", "O:SYG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", nil, nil, ""},
		{"the same in numbers", "O:BAG:SYD:PAI(A;OICI;0x1f01ff;;;SY)(A;OICI;0x1f01ff;;;BA)", nil, nil, ""},
		{"a directory below C:", "O:BAG:SYD:AI(A;OICIID;FA;;;BA)(A;OICIID;FA;;;SY)(A;OICIID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)" +
			"(A;OICIIOID;SDGXGWGR;;;AU)", []string{"Users", "all users who are signed in"}, []string{"all users who are signed in"}, ""},
		{"only what is made below is everybody's", "O:BAG:BAD:P(A;OICIIO;FA;;;WD)(A;;FA;;;BA)", nil, nil, ""},
		{"a program of the system", "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464G:SYD:PAI(A;;FA;;;S-1-5-80-956008885-" +
			"3418522649-1831038044-1853292631-2271478464)(A;;0x1200a9;;;SY)(A;;0x1200a9;;;BU)(A;;0x1200a9;;;AC)",
			[]string{"Users", "all apps"}, nil, ""},
		{"Anna's own", "O:" + anna + "G:SYD:(A;;FA;;;" + anna + ")(A;;FR;;;WD)", []string{anna, "Everyone"}, []string{anna}, anna},
		{"somebody may take it", "O:BAD:(A;;WO;;;BU)", []string{"Users"}, []string{"Users"}, ""},
		{"somebody may change the list", "O:BAD:(A;;RCWD;;;BU)", []string{"Users"}, []string{"Users"}, ""},
		{"attributes alone", "O:BAD:(A;;0x120080;;;WD)", nil, nil, ""},
		{"a refusal is no grant", "O:BAD:(D;;FA;;;WD)(A;;FA;;;BA)", nil, nil, ""},
		{"no list", "O:BAG:BA", []string{"Everyone"}, []string{"Everyone"}, ""},
		{"no list, said", "O:BAD:NO_ACCESS_CONTROL", []string{"Everyone"}, []string{"Everyone"}, ""},
		{"an empty list", "O:BAD:P", nil, nil, ""},
		{"with what is audited", "O:BAD:P(A;;FA;;;BA)S:AI(AU;SAFA;FA;;;WD)", nil, nil, ""},
		{"by a condition", `O:BAD:(XA;;FA;;;WD;(@User.Title=="x"))`, []string{"Everyone"}, []string{"Everyone"}, ""},
	} {
		d, err := parse(c.sddl)
		if err != nil {
			t.Errorf("%s: %v", c.is, err)
			continue
		}
		if got := d.others(uses, systemSID); !slices.Equal(got, c.use) {
			t.Errorf("%s may be used by %q, want %q", c.is, got, c.use)
		}
		if got := d.others(changes, systemSID); !slices.Equal(got, c.change) {
			t.Errorf("%s may be changed by %q, want %q", c.is, got, c.change)
		}
		if got := d.foreign(systemSID); got != c.belongs {
			t.Errorf("%s belongs to %q, want %q", c.is, got, c.belongs)
		}
	}
	d, err := parse("O:" + anna + "G:SYD:(A;;FA;;;" + anna + ")")
	if err != nil || len(d.others(uses, anna)) != 0 || d.foreign(anna) != "" {
		t.Errorf("to Anna herself it is a stranger's: %+v, %v", d, err)
	}
	for _, bad := range []string{"x", "O", "D:(A;;FA)", "D:(A;;0xzz;;;WD)", "D:(A;;FA;;;WD"} {
		if d, err := parse(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, d)
		}
	}
	for self, want := range map[string]string{systemSID: "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)",
		anna: "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" + anna + ")"} {
		if got := ownList(self); got != want {
			t.Errorf("the list for %s is %s", self, got)
		}
	}
}
