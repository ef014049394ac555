package private

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// everybody lets everybody do everything with a file.
func everybody(t *testing.T, path string) {
	t.Helper()
	sd, err := built("D:(A;OICI;FA;;;WD)(A;OICI;FA;;;BA)(A;OICI;FA;;;" + who() + ")")
	if err != nil {
		t.Fatal(err)
	}
	defer free(sd)
	var list uintptr
	var present, defaulted int32
	if ok, _, err := getList.Call(sd, uintptr(unsafe.Pointer(&present)), uintptr(unsafe.Pointer(&list)),
		uintptr(unsafe.Pointer(&defaulted))); ok == 0 {
		t.Fatal(err)
	}
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, _ := setInfo.Call(uintptr(unsafe.Pointer(name)), fileObject, ofList, 0, 0, list, 0); code != 0 {
		t.Fatal(syscall.Errno(code))
	}
}

// keeps skips a test where files have no access lists: Wine makes one up of the rights
// that a file has on Linux.
func keeps(t *testing.T) {
	t.Helper()
	probe := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := restrict(probe); err != nil {
		t.Fatal(err)
	}
	if after := listOf(t, probe); len(after.others(uses, who())) > 0 {
		t.Skipf("this system keeps no access lists of files: after everybody was shut out it is %+v", after)
	}
}
