package places

import "testing"

func TestWhichAddressesHostsShare(t *testing.T) {
	for address, shared := range map[string]bool{
		"rest:https://nas/attic/":                 true,
		"rest:https://nas/{host}/":                false,
		"rest:http://127.0.0.1:8000/":             true,
		"rest:http+unix:///run/rest.sock:/attic/": false,
		"s3:https://s3.example.com/bucket":        true,
		"s3:s3.example.com/bucket/{host}":         false,
		"sftp:nas:/backup":                        true,
		"b2:bucket:path":                          true,
		"rclone:cloud:path":                       true,
		"/mnt/backup":                             false,
		"/mnt/rest:https":                         false,
		"local:/mnt/backup":                       false,
		`C:\backup`:                               false,
		`s:\backup`:                               false,
		`\\nas\backup`:                            false,
		"":                                        false,
	} {
		if Shared(address) != shared {
			t.Errorf("%q: shared %v, want %v", address, !shared, shared)
		}
		if got, want := Key(address, "host-0001") == "", shared; got != want {
			t.Errorf("%q: key of all hosts %v, want %v", address, got, want)
		}
	}
}
