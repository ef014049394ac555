package private

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// The calls are made without a library: both programs keep their files with this.
var (
	advapi32  = syscall.NewLazyDLL("advapi32.dll")
	kernel32  = syscall.NewLazyDLL("kernel32.dll")
	fromText  = advapi32.NewProc("ConvertStringSecurityDescriptorToSecurityDescriptorW")
	toText    = advapi32.NewProc("ConvertSecurityDescriptorToStringSecurityDescriptorW")
	getInfo   = advapi32.NewProc("GetNamedSecurityInfoW")
	setInfo   = advapi32.NewProc("SetNamedSecurityInfoW")
	getList   = advapi32.NewProc("GetSecurityDescriptorDacl")
	getOwner  = advapi32.NewProc("GetSecurityDescriptorOwner")
	isMember  = advapi32.NewProc("CheckTokenMembership")
	makeDir   = kernel32.NewProc("CreateDirectoryW")
	localFree = kernel32.NewProc("LocalFree")
)

const (
	fileObject  = 1 // SE_FILE_OBJECT
	ofOwner     = 1 // OWNER_SECURITY_INFORMATION
	ofList      = 4 // DACL_SECURITY_INFORMATION
	ofProtected = 0x80000000
	revision    = 1 // SDDL_REVISION_1
)

// described returns a file's security descriptor.
func described(path string) (descriptor, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return descriptor{}, err
	}
	var sd uintptr
	if code, _, _ := getInfo.Call(uintptr(unsafe.Pointer(name)), fileObject, ofOwner|ofList, 0, 0, 0, 0,
		uintptr(unsafe.Pointer(&sd))); code != 0 {
		return descriptor{}, &os.PathError{Op: "see who may use", Path: path, Err: syscall.Errno(code)}
	}
	defer free(sd)
	var text *uint16
	var n uint32
	if ok, _, err := toText.Call(sd, revision, ofOwner|ofList, uintptr(unsafe.Pointer(&text)), uintptr(unsafe.Pointer(&n))); ok == 0 {
		return descriptor{}, &os.PathError{Op: "see who may use", Path: path, Err: err}
	}
	defer free(uintptr(unsafe.Pointer(text)))
	return parse(syscall.UTF16ToString(unsafe.Slice(text, n)))
}

func free(p uintptr) { _, _, _ = localFree.Call(p) }

// built makes a security descriptor of its text, which is to be freed.
func built(sddl string) (sd uintptr, err error) {
	text, err := syscall.UTF16PtrFromString(sddl)
	if err != nil {
		return 0, err
	}
	if ok, _, err := fromText.Call(uintptr(unsafe.Pointer(text)), revision, uintptr(unsafe.Pointer(&sd)), 0); ok == 0 {
		return 0, fmt.Errorf("%s: %w", sddl, err)
	}
	return sd, nil
}

// self is the user this runs as, "" if that is the system or an administrator with all
// rights: then files are for those alone.
var self = sync.OnceValue(func() string {
	if administers() {
		return ""
	}
	token, err := syscall.OpenCurrentProcessToken()
	if err != nil {
		return ""
	}
	defer token.Close()
	user, err := token.GetTokenUser()
	if err != nil {
		return ""
	}
	sid, err := user.User.Sid.String()
	if err != nil {
		return ""
	}
	return sid
})

func administers() bool {
	sid, err := syscall.StringToSid(administratorSID)
	if err != nil {
		return false
	}
	var is int32
	ok, _, _ := isMember.Call(0, uintptr(unsafe.Pointer(sid)), uintptr(unsafe.Pointer(&is)))
	return ok != 0 && is != 0
}

// who is the user this runs as, whatever its rights.
var who = sync.OnceValue(func() string {
	token, err := syscall.OpenCurrentProcessToken()
	if err != nil {
		return ""
	}
	defer token.Close()
	user, err := token.GetTokenUser()
	if err != nil {
		return ""
	}
	sid, _ := user.User.Sid.String()
	return sid
})

// restrict makes a file or directory the administrators', and for the system and them
// alone; so is what is made below.
func restrict(path string) error {
	sd, err := built("O:BA" + ownList(self()))
	if err != nil {
		return err
	}
	defer free(sd)
	var list, owner uintptr
	var present, defaulted int32
	if ok, _, err := getList.Call(sd, uintptr(unsafe.Pointer(&present)), uintptr(unsafe.Pointer(&list)),
		uintptr(unsafe.Pointer(&defaulted))); ok == 0 {
		return err
	}
	if ok, _, err := getOwner.Call(sd, uintptr(unsafe.Pointer(&owner)), uintptr(unsafe.Pointer(&defaulted))); ok == 0 {
		return err
	}
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	if self() == "" {
		// Whoever made it could give the rights back. It fails for a directory that is ours already.
		_, _, _ = setInfo.Call(uintptr(unsafe.Pointer(name)), fileObject, ofOwner, owner, 0, 0, 0)
	}
	if code, _, _ := setInfo.Call(uintptr(unsafe.Pointer(name)), fileObject, ofList|ofProtected, 0, 0, list, 0); code != 0 {
		return syscall.Errno(code)
	}
	return nil
}

// Hand gives a file that an administrator has made to all of them: a service, which runs
// as the system, trusts no single one.
func Hand(path string) error {
	if self() != "" {
		return nil // nobody's but our own
	}
	if d, err := described(path); err != nil || d.foreign("") == "" {
		return nil //nolint:nilerr // whoever reads it says so
	}
	return restrict(path)
}

// Own does nothing: a file has the rights of its folder.
func Own(string, ...string) error { return nil }

// mend removes the rights of others, and returns what it did.
func mend(path string) string {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return ""
	}
	d, err := described(path)
	if err != nil {
		return fmt.Sprintf("it cannot be seen who may use %s (%v)", path, err)
	}
	list, stranger := d.others(uses, who()), d.foreign(who())
	if len(list) == 0 && stranger == "" {
		_ = Hand(path) // quietly: it was an administrator's
		return ""
	}
	if err := restrict(path); err != nil {
		return fmt.Sprintf("%s can be used by others (%s), and that cannot be changed (%v); see that only the administrators can get there",
			path, strings.Join(with(list, stranger), ", "), err)
	}
	if len(list) == 0 {
		return fmt.Sprintf("%s belonged to %s; it is the administrators' now", path, stranger)
	}
	return fmt.Sprintf("%s could be used by others (%s); it is for the system and its administrators alone now", path,
		strings.Join(list, ", "))
}

func with(list []string, one string) []string {
	if one == "" {
		return list
	}
	return append(list, one)
}

// shared says who beside the system and its administrators may use a file or directory.
func shared(path string) (others []string, stranger string, err error) {
	d, err := described(path)
	if err != nil {
		return nil, "", err
	}
	return d.others(uses, who()), d.foreign(who()), nil
}

// plainDir returns an error for a directory that is a junction or another link: everybody
// may make one where programs keep their data, and whoever made it may have it lead
// elsewhere later.
func plainDir(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil || info.IsDir() {
		return err
	}
	return fmt.Errorf("%s is a link, and whoever made it may have it lead elsewhere later: remove it (rmdir), or name the directory "+
		"that it leads to", dir)
}

// Ours returns an error if one of these files or directories, of those that are there,
// belongs to somebody who is neither the system, nor its administrators, nor the user this
// runs as: then all of it may be of their making. It says what to do.
func Ours(paths ...string) error {
	for _, path := range paths {
		d, err := described(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if stranger := d.foreign(who()); stranger != "" {
			return fmt.Errorf(`%s belongs to %s, who may have put it there: if it is not yours, remove it; if it is, give it to the `+
				`administrators, as in: icacls "%s" /setowner *%s /T`, path, stranger, path, administratorSID)
		}
	}
	return nil
}

// Trusted returns an error for a file that anybody but the system, its administrators and
// the user this runs as may have written. It says what to do.
func Trusted(path string) error {
	d, err := described(path)
	if err != nil {
		return err
	}
	remedy := fmt.Sprintf(`as in: icacls "%s" /setowner *%s, and icacls "%s" /inheritance:r /grant:r *%s:F *%s:F`, path, administratorSID,
		path, systemSID, administratorSID)
	if stranger := d.foreign(who()); stranger != "" {
		return fmt.Errorf("it belongs to %s: give it to the administrators, %s", stranger, remedy)
	}
	if list := d.others(changes, who()); len(list) > 0 {
		return fmt.Errorf("others may write to it (%s): take that away, %s", strings.Join(list, ", "), remedy)
	}
	return nil
}

// Secret returns an error for a file that anybody else may read or may have written.
func Secret(path string) error {
	list, stranger, err := shared(path)
	switch {
	case err != nil:
		return err
	case stranger != "":
		return fmt.Errorf("it belongs to %s; make it the administrators'", stranger)
	case len(list) > 0:
		return fmt.Errorf("others may use it (%s); make it the system's and the administrators' alone", strings.Join(list, ", "))
	}
	return nil
}

// newDir makes one directory with the rights that it is to have: there is no moment in
// which it has others.
func newDir(dir string) error {
	sd, err := built(ownList(self()))
	if err != nil {
		return err
	}
	defer free(sd)
	name, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	attributes := syscall.SecurityAttributes{SecurityDescriptor: sd}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	if ok, _, err := makeDir.Call(uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&attributes))); ok == 0 {
		return &os.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}

// makeOwn makes a directory, and those above it, with the rights that it is to have.
func makeOwn(dir string) error {
	if above := filepath.Dir(dir); above != dir {
		if err := os.MkdirAll(above, 0o700); err != nil {
			return err
		}
	}
	if err := newDir(dir); !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
