package uplink

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/topics"
)

// Commands says whose commands are heard at the user's broker.
type Commands string

// The ways of hearing commands.
const (
	Off        Commands = "off"
	External   Commands = "external"    // do/{host}/{action} by whoever the broker lets write it
	ByConsumer Commands = "by-consumer" // do/{consumer}/{host}/{action}; the broker lets each write only its own
)

// AllCommands lists the ways.
func AllCommands() []Commands { return []Commands{Off, External, ByConsumer} }

// Settings are how the user's own broker is reached and what is said there. They never tell
// a secret.
type Settings struct {
	URL         string // with its port and without a user; "" is none
	User        string
	HasPassword bool
	CA          string // PEM; "" is what the system trusts
	Certificate string // PEM, of the client
	HasKey      bool
	Insecure    bool   // in clear beyond this machine
	Prefix      string // of Home Assistant's discovery; "" is the one of its settings
	Root        string
	Commands    Commands
	Version     int64 // rises with each change; whoever changes them gives it back
	// Fixed reports that URL, user, password, CA, certificate, key and insecure are those
	// of the command line, which cannot be changed here.
	Fixed bool
	// Tested reports that a test showed that consumers cannot write for one another there,
	// so that their commands may be heard.
	Tested bool
	// Unread is why the secrets cannot be read, so that they have to be entered again; nil
	// if they can.
	Unread error

	access uplinks.Access // with the secrets, as it is to be used
	tested string         // what the last test that showed so was of
}

// Format implements [fmt.Formatter]: whatever prints settings, prints no secret.
func (set Settings) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "uplink %q as %q, root %q, prefix %q, commands %s, version %d, fixed %t, tested %t", set.URL, set.User, set.Root,
		set.Prefix, set.Commands, set.Version, set.Fixed, set.Tested)
}

// Input is what somebody wants of the settings. What is nil stays as it is, the secrets too
// unless the URL leads to another host.
type Input struct {
	URL         *string // "" is none
	User        *string
	Password    *topics.Secret
	CA          *string
	Certificate *string
	Key         *topics.Secret
	Insecure    *bool
	Prefix      *string
	Root        *string
	Commands    *Commands
	Version     *int64 // refused if it is another; nil does not ask
}

// Settings returns those in force: what somebody set, and above it what the command line says.
func (s *Service) Settings(ctx context.Context) (Settings, error) {
	u, err := s.Store.Uplink(ctx)
	if err != nil {
		return Settings{}, err
	}
	return s.over(settingsOf(u))
}

// inForce is the same from memory while Run keeps it true.
func (s *Service) inForce(ctx context.Context) (Settings, error) {
	s.mu.Lock()
	set, is := s.set, s.isSet
	s.mu.Unlock()
	if is {
		return set, nil
	}
	return s.Settings(ctx)
}

func settingsOf(u uplinks.Uplink) Settings {
	set := Settings{URL: u.URL, User: u.Account, HasPassword: u.Password != "", CA: u.CA, Certificate: u.Certificate, HasKey: u.Key != "",
		Insecure: u.Insecure, Prefix: u.Prefix, Root: u.Root, Commands: Commands(u.Commands), Version: u.Version, access: u.Access}
	set.Unread = u.Unread
	if set.Root == "" {
		set.Root = topics.Root
	}
	if set.Commands == "" {
		set.Commands = Off
	}
	set.tested = u.Tested
	return set.proven()
}

// over puts what the command line says above what somebody set. An error is that a file of it
// cannot be read.
func (s *Service) over(set Settings) (Settings, error) {
	f := s.Flags
	if f.URL == "" {
		return set, nil
	}
	a, user, wrong := addressOf(f.URL)
	if wrong != "" {
		return set, &uplinks.FlagsError{Say: "--mqtt-uplink " + f.URL + ": " + wrong}
	}
	set.URL, set.User, set.Insecure, set.Fixed, set.Unread = a.String(), user, f.Insecure, true, nil
	set.access = uplinks.Access{URL: set.URL, Account: user}
	for _, file := range []struct {
		name string
		put  func(text string)
	}{
		{f.PasswordFile, func(t string) { set.access.Password = topics.Secret(strings.TrimRight(t, "\r\n")) }},
		{f.CAFile, func(t string) { set.access.CA = t }},
		{f.CertFile, func(t string) { set.access.Certificate = t }},
		{f.KeyFile, func(t string) { set.access.Key = topics.Secret(t) }},
	} {
		if file.name == "" {
			continue
		}
		text, err := os.ReadFile(file.name)
		if err != nil {
			return set, &uplinks.FlagsError{Say: "A file of --mqtt-uplink cannot be read: " + err.Error() + ".", Err: err}
		}
		file.put(string(text))
	}
	set.CA, set.Certificate = set.access.CA, set.access.Certificate
	set.HasPassword, set.HasKey = set.access.Password != "", set.access.Key != ""
	set = set.proven()
	wrongs := field.Errors{}
	checkAccess(set, wrongs)
	if err := wrongs.Err(); err != nil {
		return set, &uplinks.FlagsError{Say: "--mqtt-uplink: " + err.Error(), Err: err}
	}
	return set, nil
}

// proof names what a test of the rights of consumers holds for: this broker, our account there
// and this root. With any other, nothing is known.
func (set Settings) proof() string {
	sum := sha256.Sum256([]byte(set.URL + "\x00" + set.User + "\x00" + set.Root))
	return hex.EncodeToString(sum[:])
}

func (set Settings) proven() Settings {
	set.Tested = set.tested != "" && set.tested == set.proof()
	return set
}

// Put changes the settings. [field.Errors] says what is wrong with them; [uplinks.ErrMoved] is
// that somebody changed them since they were read. What is published follows at once.
func (s *Service) Put(ctx context.Context, actor string, in Input) error {
	u, err := s.Store.Uplink(ctx)
	if err != nil {
		return err
	}
	was := settingsOf(u)
	set, err := s.changed(was, in)
	if err != nil {
		return err
	}
	u.Access, u.Insecure, u.Prefix, u.Root, u.Commands = set.access, set.Insecure, set.Prefix, set.Root, string(set.Commands)
	if in.Version != nil {
		u.Version = *in.Version
	}
	if err := s.Store.PutUplink(ctx, actor, detailOf(was, set), u); err != nil {
		return err
	}
	s.stir()
	return nil
}

// detailOf says for the audit log what the settings were changed to, without secrets.
func detailOf(was, set Settings) string {
	said := []string{}
	add := func(differs bool, text string) {
		if differs {
			said = append(said, text)
		}
	}
	add(was.User != set.User, "user "+set.User)
	add(was.access.Password != set.access.Password, "password")
	add(was.CA != set.CA, "CA")
	add(was.Certificate != set.Certificate || was.access.Key != set.access.Key, "client certificate")
	add(was.Insecure != set.Insecure, map[bool]string{true: "in clear", false: "not in clear"}[set.Insecure])
	add(was.Prefix != set.Prefix, "prefix "+set.Prefix)
	add(was.Root != set.Root, "root "+set.Root)
	add(was.Commands != set.Commands, "commands "+string(set.Commands))
	return strings.Join(said, ", ")
}

// changed is what settings become of an input, checked. What the command line fixes cannot be
// changed by it.
func (s *Service) changed(was Settings, in Input) (Settings, error) {
	wrong := field.Errors{}
	set := was
	if s.Flags.URL != "" {
		for name, given := range map[string]bool{"url": in.URL != nil, "user": in.User != nil, "password": in.Password != nil,
			"ca": in.CA != nil, "certificate": in.Certificate != nil, "key": in.Key != nil, "insecure": in.Insecure != nil} {
			if given {
				wrong.Say(name, "The command line says it, with --mqtt-uplink; it cannot be changed here.")
			}
		}
	}
	if in.URL != nil {
		set.URL = field.Clean(*in.URL)
		if set.URL == "" {
			set.User, set.access, set.CA, set.Certificate = "", uplinks.Access{}, "", ""
		} else if a, user, text := addressOf(set.URL); text != "" {
			wrong.Say("url", text)
		} else {
			set.URL = a.String()
			if user != "" {
				set.User = user
			}
			if old, _, _ := addressOf(was.URL); old.host != a.host || old.port != a.port {
				set.access.Password, set.access.Key = "", "" // they are not told to whom they were not meant for
			}
		}
	}
	putIn(&set.User, in.User)
	putIn(&set.access.Password, in.Password)
	putIn(&set.CA, in.CA)
	putIn(&set.Certificate, in.Certificate)
	putIn(&set.access.Key, in.Key)
	putIn(&set.Insecure, in.Insecure)
	putIn(&set.Prefix, in.Prefix)
	putIn(&set.Root, in.Root)
	putIn(&set.Commands, in.Commands)
	if set.Root = field.Clean(set.Root); set.Root == "" {
		set.Root = topics.Root
	}
	for _, text := range []*string{&set.User, &set.Prefix, &set.CA, &set.Certificate} {
		*text = field.Clean(*text)
	}
	set.access.URL, set.access.Account, set.access.Unread = set.URL, set.User, nil
	set.access.CA, set.access.Certificate = set.CA, set.Certificate
	set.HasPassword, set.HasKey = set.access.Password != "", set.access.Key != ""
	if set.Unread != nil && set.URL != "" && in.Password == nil && in.Key == nil && set.URL == was.URL {
		wrong.Say("password", "The password that is kept cannot be read; enter it again.")
	}
	if s.Flags.URL == "" {
		checkAccess(set, wrong)
	}
	wrong.Say("root", checkRoot("root", set.Root))
	prefix, where := s.usual(), "root"
	if set.Prefix != "" {
		prefix, where = set.Prefix, "prefix"
		wrong.Say("prefix", checkRoot("prefix", set.Prefix))
	}
	if strings.HasPrefix(prefix+"/", set.Root+"/") || strings.HasPrefix(set.Root+"/", prefix+"/") {
		wrong.Say(where, "Root and prefix lie within one another; Home Assistant and we would read what is not meant for us.")
	}
	wrong.Say("commands", field.OneOf("ways of hearing commands", set.Commands, AllCommands()...))
	if err := wrong.Err(); err != nil {
		return set, err
	}
	inForce, err := s.over(set)
	if err != nil {
		return set, err
	}
	set.Tested = inForce.proven().Tested
	if set.Commands == ByConsumer && !set.Tested {
		return set, field.Errors{"commands": "Only after a test with a second account has shown, for this broker, user and root, " +
			"that one consumer cannot write another's topic there."}
	}
	return set, nil
}

func putIn[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// Bounds of what is entered.
const (
	maxURL  = 500
	maxName = 200
	maxPEM  = 64 << 10
	maxRoot = 100
)

// checkAccess says what is wrong with how a broker is to be reached.
func checkAccess(set Settings, wrong field.Errors) {
	if set.URL == "" {
		if set.User != "" || set.HasPassword || set.CA != "" || set.Certificate != "" || set.HasKey {
			wrong.Say("url", "Say which broker: mqtts://HOST:PORT.")
		}
		return
	}
	a, _, text := addressOf(set.URL)
	switch {
	case len(set.URL) > maxURL:
		wrong.Say("url", fmt.Sprintf("At most %d characters.", maxURL))
	case text != "":
		wrong.Say("url", text)
	case !a.tls() && !a.local() && !set.Insecure:
		wrong.Say("url", "It would carry the password in clear over the network, and whoever is on the way could command; "+
			"use mqtts://, or allow it in clear (insecure).")
	}
	if len(set.User) > maxName || !field.Visible(set.User) {
		wrong.Say("user", fmt.Sprintf("At most %d characters, none of them invisible.", maxName))
	}
	switch {
	case set.HasPassword && set.User == "":
		wrong.Say("user", "A password takes a user; MQTT knows none without.")
	case set.HasPassword:
		wrong.Say("password", field.Secret(set.access.Password.Reveal(), maxName*5))
	}
	if set.CA != "" {
		if len(set.CA) > maxPEM || !x509.NewCertPool().AppendCertsFromPEM([]byte(set.CA)) {
			wrong.Say("ca", "That is no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----.")
		} else if !a.tls() && text == "" {
			wrong.Say("ca", "A CA says whom to trust over TLS, and this URL is without: use mqtts:// or wss://.")
		}
	}
	switch {
	case set.Certificate == "" && !set.HasKey:
	case set.Certificate == "":
		wrong.Say("certificate", "The key's certificate is missing.")
	case !set.HasKey:
		wrong.Say("key", "The certificate's key is missing.")
	case len(set.Certificate) > maxPEM || len(set.access.Key) > maxPEM:
		wrong.Say("certificate", "At most 64 KiB each.")
	default:
		if _, err := tls.X509KeyPair([]byte(set.Certificate), []byte(set.access.Key.Reveal())); err != nil {
			wrong.Say("certificate", "Certificate and key do not fit together, or are not PEM.")
		}
	}
}

// checkRoot says what is wrong with a root or a prefix.
func checkRoot(what, root string) string {
	switch levels := strings.Split(root, "/"); {
	case len(root) > maxRoot:
		return fmt.Sprintf("A %s has at most %d characters.", what, maxRoot)
	case strings.ContainsAny(root, "+#\x00") || !field.Visible(root):
		return "Without + and #, which mean something in topics, and without invisible characters."
	case strings.HasPrefix(root, "$"):
		return "What begins with $ belongs to the broker itself."
	case len(levels) > 3:
		return "At most three levels, such as site/rm/v1: brokers limit how deep topics are."
	default:
		for _, l := range levels {
			if l == "" {
				return "No / at its beginning or end, and not two in a row."
			}
		}
	}
	return ""
}

// errUnfit is that what was entered cannot be used.
var errUnfit = errors.New("it cannot be used")
