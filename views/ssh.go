package views

// SSHURL is the page with a host's SSH key and the servers it trusts.
func SSHURL(host string) string { return HostURL(host) + "/ssh" }

// SSH is how a host reaches servers by SFTP.
type SSH struct {
	HostID, Host string
	PublicKey    string // one line, "" if the agent has no key
	Servers      []SSHServer
	Problem      *Note // why the host could not be asked; then nothing else is known
}

// An SSHServer is a key of a server, trusted or only shown to the host.
type SSHServer struct {
	HostID, Name, Type, Fingerprint string

	Known    string // where another key of it is known
	Shown    When   // when the host was shown it; never of one that is trusted
	Accepted bool
	Changed  bool   // another key of the server is known
	Command  string // for the host's administrator, where its policy leaves this to them
}
