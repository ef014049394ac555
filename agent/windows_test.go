package agent

import "testing"

func TestWindowsIsCalledByItsName(t *testing.T) {
	for _, c := range [][4]string{
		{"Windows 10 Pro", "22H2", "19045", "Windows 10 Pro 22H2"},
		{"Windows 10 Pro", "24H2", "26100", "Windows 11 Pro 24H2"},
		{"Windows 10 Enterprise", "21H2", "22000", "Windows 11 Enterprise 21H2"},
		{"Windows Server 2022 Datacenter", "21H2", "20348", "Windows Server 2022 Datacenter 21H2"},
		{"Windows Server 2025 Standard", "24H2", "26100", "Windows Server 2025 Standard 24H2"},
		{"Windows 11 Home", "25H2", "26200", "Windows 11 Home 25H2"},
		{"Windows 7 Professional", "", "7601", "Windows 7 Professional"},
		{"", "", "26100", "Windows"},
	} {
		if got := windowsName(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%q %q build %s is called %q, want %q", c[0], c[1], c[2], got, c[3])
		}
	}
}
