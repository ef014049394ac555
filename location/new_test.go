package location

import (
	"errors"
	"strings"
	"testing"
)

func TestAPinWithHostCoversTheNamesOfHostsAlone(t *testing.T) {
	for _, c := range []struct {
		allowed, pin string
		covers       bool
	}{
		{"/srv/x", "/srv/x", true},
		{"/srv/x", "/srv/y", false},
		{"/srv/{host}", "/srv/attic", true},
		{"/srv/{host}", "/srv/{host}", true},
		{"/srv/{host}", "/srv/", false},
		{"/srv/{host}", "/srv/..", false},
		{"/srv/{host}", "/srv/a/b", false},
		{"/srv/{host}", "/srv/a b", false},
		{"/srv/{host}/{host}.d", "/srv/attic/attic.d", true},
		{"/srv/{host}/{host}.d", "/srv/attic/cellar.d", false},
		{"rest:https://nas/x-{host}/v", "rest:https://nas/x-attic.lan/v", true},
		{"rest:https://nas/{host}", "rest:https://evil/attic", false},
		{"rest:https://nas/{host}", "rest:https://nas/attic?x", false},
	} {
		if got := Covers(c.allowed, c.pin); got != c.covers {
			t.Errorf("%s covers %s: %t", c.allowed, c.pin, got)
		}
	}
}

func TestAnAddressThatIsTypedSaysWhatItMeans(t *testing.T) {
	for _, c := range []struct{ text, says string }{ // "" is taken; otherwise what the error holds, the right spelling mostly
		{"/srv/vault", ""},
		{"/srv/a:b@c", ""},
		{`D:\vault`, ""},
		{"local:/srv/vault", ""},
		{"file:///srv/vault", "without file:"},

		{"sftp:me@nas:/vault", ""},
		{"sftp:me@example.org@nas:/vault", ""},
		{`sftp:EXAMPLE\me@nas:/vault`, ""},
		{"sftp:me+x@nas:/vault", ""},
		{"sftp:a@b@c@nas:/vault", "neither a full path"}, // restic reads two at most
		{"sftp:-oProxyCommand=x@example.org@nas:/vault", "neither"},
		{"sftp:me@-oProxyCommand=x@nas:/vault", "neither"},
		{"sftp://me@example.org@nas:2222//vault", ""},
		{"sftp://me%40example.org@nas:2222//vault", ""},
		{"sftp:nas:vault", ""},
		{"sftp:nas:2024/vault", ""},
		{"sftp:nas:/2222:/vault", ""},
		{"sftp:nas:/srv/a:b", ""},
		{"sftp:root@nas:2222:/p", "as in sftp://root@nas:2222//p."},
		{"sftp:nas:2222:/p q", "as in sftp://nas:2222//p%20q."},
		{"sftp:nas:22:p", "as in sftp://nas:22/p."},
		{"sftp:me@example.org@nas:22:/p", "as in sftp://me%40example.org@nas:22//p."},
		{"sftp:[::1]:/p", "as in sftp://[::1]//p."},
		{"sftp:me@[fe80::1]:2222:/p", "as in sftp://me@[fe80::1]:2222//p."},
		{"sftp://nas:2222:/p", "sftp://nas:2222//p."},
		{"sftp://10.0.0.1:2222:/p", "sftp://10.0.0.1:2222//p."},
		{"sftp://me@nas:/p", "sftp://me@nas//p."},
		{"sftp://nas:2222//p", ""},
		{"sftp:me:topsecret@nas:/x", "holds no password"},
		{"sftp:me:22:topsecret@nas:/x", "holds no password"},
		{"me@nas:/p", "sftp:me@nas:/p."},
		{"nas:/p", "neither"},
		{"ssh://me@nas:2222/p", "sftp://user@host:2222"},

		{"rest:https://nas:8000/attic/", ""},
		{"rest:https://a:b@nas:8000/attic/", ""},
		{"rest:https://a:p%40s%2Fs@nas:8000/attic/", ""},
		{"rest:https://a:p@s@nas:8000/attic/", ""}, // every parser takes the last @
		{"rest:http+unix:///run/rest.sock:/x/", ""},
		{"rest:https://nas:8000/a@b", ""},
		{"rest:nas:8000/attic", "rest:https://nas:8000/attic,"},
		{"rest://nas:8000/attic", "rest:https://nas:8000/attic,"},
		{"rest:nas/", "rest:https://nas/,"},
		{"rest:https//nas/", "rest:https://nas/,"},
		{"rest:http/nas/", "rest:https://nas/,"},
		{"rest:ftp://nas/", "neither"},
		{"https://nas/attic", "as in rest:https://nas/attic."},
		{"http://nas:8000/", "as in rest:http://nas:8000/."},
		{"https://a:topsecret@nas/attic", "rest:https://nas:8000/."},
		{"rest:https://nas:8000:/x", "rest:https://nas:8000/x."},
		{"rest:https://a:topsecret@nas:/x", "rest:https://nas/x."},
		{"rest:https://a:top secret@nas/", "%20 for a space"},
		{"rest:https://a:top/secret@nas/x", "%2F for /"},
		{"rest:https://a:top?secret@nas/x", "use the fields"},
		{"rest:https://a:top#secret@nas/x", "use the fields"},
		{"rest:https://a:top%secret@nas/x", "%25 for %"},
		{"rest:https://a:top[secret@nas/x", "use the fields"},
		{"rest:https://a:top{secret}@nas/x", "use the fields"},
		{"rest:https://a:top^secret@nas/x", "use the fields"},
		{"rest:https://a:12?secret@nas/x", "use the fields"},
		{"rest:https://a/b:topsecret@nas/x", "use the fields"},

		{"s3:s3.amazonaws.com/bucket", ""},
		{"s3:minio:9000/bucket", ""},
		{"s3:https://minio:9000/bucket", ""},
		{"s3://s3.amazonaws.com/bucket", ""},
		{"s3:minio:9000:/bucket", "s3:minio:9000/bucket,"},
		{"s3:minio:9000:bucket", "s3:minio:9000/bucket,"},
		{"s3:https://minio:9000:/bucket", "s3:https://minio:9000/bucket."},
		{"s3:https://minio:9000", "names the bucket"},
		{"s3:https://minio:9000/", "names the bucket"},
		{"s3:minio:9000", "server and bucket"},
		{"s3:minio:9000/", "server and bucket"},
		{"s3:https://k:top/secret@minio/b", "use the fields"},

		{"b2:bucket:path", ""},
		{"rclone:remote:path", ""},
		{"rclone:remote", "neither"},

		{"/srv/{host}", ""},
		{"/srv/{host}/vault-{host}", ""},
		{"rest:https://nas:8000/{host}/", ""},
		{"sftp:nas:{host}", ""},
		{"sftp://nas//srv/x-{host}.d", ""},
		{"s3:minio:9000/bucket/{host}", ""},
		{"b2:bucket:{host}", ""},
		{"rclone:remote:x/{host}", ""},
		{"rest:https://{host}.example.org/x", "not in the name of a server"},
		{"rest:https://{host}:pw@nas/x", ""},
		{"rest:https://{host}:pw@nas/{host}/", ""},
		{"rest:https://backup-{host}:{host}@nas/{host}/", ""},
		{"rest:https://{hosts}:pw@nas/x", "use the fields"},
		{"rest:https://nas/x?{host}", "not in the name of a server"},
		{"s3:{host}/bucket", "not in the name of a server"},
		{"b2:{host}:path", "not in the name of a server"},
		{"sftp:{host}@nas:/x", ""},
		{"sftp:{host}@nas:x", "another place for each host"},
		{"sftp:{host}@nas:x/{host}", ""},
		{"sftp://{host}@nas//x", ""},
		{"sftp://{host}@nas/x", "another place for each host"},
		{"sftp://{host}@nas/{host}", ""},
		{"/srv/{hostname}", "is written {host}"},
		{"/srv/{Host}", "is written {host}"},
		{"/srv/${host}", "is written {host}"},
		{"/srv/${HOSTNAME}", "is written {host}"},
		{"/srv/{{ .Host }}", "is written {host}"},
		{"/srv/{{host}}", "is written {host}"},
		{"rest:https://nas/{name}", "is written {host}"},
		{"/srv/{a}", "without other braces"},
		{"/srv/{host}/{", "without other braces"},
		{"rest:https://nas/{repo}", "%7B and %7D"},
	} {
		_, err := ParseNew(c.text)
		var said Error
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s is refused: %v", c.text, err)
		case c.says != "" && (!errors.As(err, &said) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q in it", c.text, err, c.says)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error tells a secret: %v", c.text, err)
		}
	}
}

func TestSpellingsOfOnePlaceAreCoarselyTheSame(t *testing.T) {
	for _, same := range [][]string{
		{"rest:https://nas/attic", "rest:https://NAS/attic/", "rest:https://anna:x@nas:443/Attic",
			"rest:http://nas./attic", "rest:http://nas:80//attic"},
		{"s3:https://s3.example.com/bucket/a", "s3:s3.example.com/bucket/a/", "s3:s3.example.com:443/bucket//a"},
		{"sftp:nas:/srv/a", "sftp:anna@NAS:/srv/a/", "sftp://nas:22//srv/a", "sftp://nas//srv/a"},
		{"b2:bucket:a", "b2:bucket:/a", "b2:bucket:a/"},
		{"rclone:cloud:a/b", "rclone:cloud:a//b/"},
		{"/srv/a", "local:/srv/a", "/srv/./a/", "/srv/A"},
		{`C:\backup`, `c:\backup\`, "C:/backup"},
		{"rest:https://nas/{host}/", "rest:https://nas/{host}"},
	} {
		for _, text := range same[1:] {
			if Coarse(text) != Coarse(same[0]) {
				t.Errorf("%q is %q, and %q is %q", same[0], Coarse(same[0]), text, Coarse(text))
			}
		}
	}
	seen := map[string]string{}
	for _, text := range []string{"rest:https://nas/a", "rest:https://nas/b", "rest:https://nas:8000/a", "rest:https://attic/a", "s3:nas/a",
		"sftp:nas:a",
		"b2:nas:a", "/nas/a", "/nas", "rclone:nas:a", "rest:https://nas/{host}", ""} {
		if was, is := seen[Coarse(text)]; is {
			t.Errorf("%q and %q are both %q", was, text, Coarse(text))
		}
		seen[Coarse(text)] = text
	}
}

// TestAURLKeepsItsBraces is about every way in which an address is written anew: how a path is
// escaped beside {host} is as it was typed.
func TestAURLKeepsItsBraces(t *testing.T) {
	for _, c := range []struct{ text, public, shown, split, pin string }{
		{"rest:https://u:p@h/{host}", "rest:https://h/{host}", "rest:https://u@h/{host}", "rest:https://h/{host}", "rest:https://h/{host}"},
		{"rest:https://u:p@h/a%2Fb/{host}/", "rest:https://h/a%2Fb/{host}/", "rest:https://u@h/a%2Fb/{host}/",
			"rest:https://h/a%2Fb/{host}/", "rest:https://h/a%2Fb/{host}"},
		{"rest:https://u:p@h/a%20b/{host}", "rest:https://h/a%20b/{host}", "rest:https://u@h/a%20b/{host}", "rest:https://h/a%20b/{host}",
			"rest:https://h/a b/{host}"},
		{"rest:https://u:p@h/{host}-x/{host}", "rest:https://h/{host}-x/{host}", "rest:https://u@h/{host}-x/{host}",
			"rest:https://h/{host}-x/{host}", "rest:https://h/{host}-x/{host}"},
		// Nobody wrote a {host} here: this is how a folder of that name is written.
		{"rest:https://u:p@h/%7Bx%7D", "rest:https://h/%7Bx%7D", "rest:https://u@h/%7Bx%7D", "rest:https://h/%7Bx%7D", "rest:https://h/{x}"},
		{"s3:https://h/b/{host}", "s3:https://h/b/{host}", "s3:https://h/b/{host}", "s3:https://h/b/{host}", "s3:https://h/b/{host}"},
		{"sftp://u@h:22//srv/{host}", "sftp://h:22//srv/{host}", "sftp://u@h:22//srv/{host}", "sftp://u@h:22//srv/{host}",
			"sftp:h:22:/srv/{host}"},
	} {
		a, err := Parse(c.text)
		if err != nil {
			t.Fatal(c.text, err)
		}
		split, env := SplitLogin[string](c.text, nil)
		pin, _ := Pin[string](c.text, nil)
		if a.Public() != c.public || Shown(c.text) != c.shown || split != c.split || pin != c.pin {
			t.Errorf("%s: public %s, shown %s, split %s, pin %s", c.text, a.Public(), Shown(c.text), split, pin)
		}
		if joined, did := JoinLogin(split, env); did && joined != c.text {
			t.Errorf("%s: taken apart and put together, it is %s", c.text, joined)
		}
	}
	for text, meant := range map[string]string{
		"rest:https://h/%7Bhost%7D/x":   "rest:https://h/{host}/x",
		"rest:https://h/%7bhost%7d":     "rest:https://h/{host}",
		"rest:https://h/%7Bhosts%7D":    "rest:https://h/%7Bhosts%7D",
		"rest:https://h/%257Bhost%257D": "rest:https://h/%257Bhost%257D",
	} {
		if got := Meant(text); got != meant {
			t.Errorf("%s is taken for %s", text, got)
		}
	}
}
