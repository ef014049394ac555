package agent

import "golang.org/x/sys/windows/registry"

// platform is what the system calls itself.
func platform() string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Windows NT\CurrentVersion`, registry.QUERY_VALUE)
	if err != nil {
		return "Windows"
	}
	defer k.Close()
	text := func(name string) string {
		s, _, _ := k.GetStringValue(name) // what is not there is ""
		return s
	}
	return windowsName(text("ProductName"), text("DisplayVersion"), text("CurrentBuildNumber"))
}
