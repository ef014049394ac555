package words

// IfLost says what gets at the files of a host whose machine does not come back: restic
// alone, or another machine in its place.
func IfLost(host string) string {
	name := Quoted(Visible(host))
	return "If the machine of " + Visible(host) + " is lost: restic alone gets its files on any computer by the emergency kit " +
		"(restic-manager kit --host " + name + "), and another machine takes its place with restic-manager host replace " + name + "."
}
