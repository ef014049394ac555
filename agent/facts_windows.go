package agent

import "golang.org/x/sys/windows/registry"

// platform is what the system calls itself.
func platform() string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Windows NT\CurrentVersion`, registry.QUERY_VALUE)
	if err != nil {
		return "Windows"
	}
	defer k.Close()
	name, _, err := k.GetStringValue("ProductName")
	if err != nil {
		return "Windows"
	}
	if version, _, err := k.GetStringValue("DisplayVersion"); err == nil {
		name += " " + version
	}
	return name[:min(len(name), 100)]
}
