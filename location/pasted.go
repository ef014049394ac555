package location

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// MaxPasted is how many bytes the files of a repository may have together: they are part of
// a command, which has to fit one message.
const MaxPasted = 16 << 10

// The variables whose file may be pasted.
const (
	CACert     = "RESTIC_CACERT"
	ClientCert = "RESTIC_TLS_CLIENT_CERT"
	GoogleKey  = "GOOGLE_APPLICATION_CREDENTIALS"
)

// A Pasted is a variable that names a file whose content can be kept with the repository
// instead: the agent writes it where nobody else reads it, for as long as a job runs.
type Pasted struct {
	Name    string   // the variable's
	Label   string   // what it is, as a form says it
	Words   string   // what belongs into it
	Schemes []string // the kinds of storage that have it
}

var overHTTP = []string{"rest", "s3", "b2", "azure", "gs", "swift"}

// Pastes are all there are. RCLONE_CONFIG and AWS_SHARED_CREDENTIALS_FILE are none: both may
// name a program to run, so they come from a file of the host's that its administrator
// allowed.
var Pastes = []Pasted{
	{CACert, "CA certificate", "PEM, of the authority that issued the server's certificate, or that certificate itself. With it, " +
		"no authority that the host's system knows is trusted for this repository.", overHTTP},
	{ClientCert, "Client certificate and its key", "PEM, one after the other, where the server asks for a certificate.", overHTTP},
	{GoogleKey, "Service account key", "The JSON file of a service account, as Google's console gives it.", []string{"gs"}},
}

// FindPasted returns the file that goes by a variable's name, and whether there is one.
func FindPasted(name string) (Pasted, bool) {
	i := slices.IndexFunc(Pastes, func(p Pasted) bool { return p.Name == name })
	if i < 0 {
		return Pasted{}, false
	}
	return Pastes[i], true
}

// PastedFor are those that a kind of storage has.
func PastedFor(scheme string) (all []Pasted) {
	for _, p := range Pastes {
		if slices.Contains(p.Schemes, scheme) {
			all = append(all, p)
		}
	}
	return all
}

// CheckPasted refuses what is none of these files, or one beside a path that is to be read on
// the host. The error is an Error and holds nothing of them.
func CheckPasted[S ~string](files, env map[string]S) error {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p, known := FindPasted(name)
		if !known {
			return Error(fmt.Sprintf("%.60q is no file that can be kept with a repository. These are: %s, %s, %s.", name, CACert,
				ClientCert, GoogleKey))
		}
		if env[name] != "" {
			return Error(p.Label + ": it is pasted, and " + name + " names a file on the host, too. Leave out one of them.")
		}
		text := string(files[name])
		total += len(text)
		var err error
		switch name {
		case CACert:
			_, err = certificates(text)
		case ClientCert:
			_, err = clientCert(text)
		case GoogleKey:
			err = checkGoogle(text)
		}
		if err != nil {
			return Error(p.Label + ": " + err.Error())
		}
	}
	if total > MaxPasted {
		return Error(fmt.Sprintf("The certificates and keys have %d bytes together; at most %d fit into a command.", total, MaxPasted))
	}
	return nil
}

// certificates reads those of an authority.
func certificates(text string) (all []*x509.Certificate, err error) {
	rest := []byte(text)
	for n := 1; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, Error("this is a private key, and has no business here. A certificate begins with -----BEGIN CERTIFICATE-----. If " +
				"it is the key of the server or of its authority, replace it: it was given away by sending it.")
		}
		if block.Type != "CERTIFICATE" {
			return nil, Error(fmt.Sprintf("this is a %.40s, and no certificate.", strings.ToLower(block.Type)))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, Error(fmt.Sprintf("certificate %d of it cannot be read; paste it whole, from -----BEGIN CERTIFICATE----- to "+
				"-----END CERTIFICATE-----.", n))
		}
		all = append(all, c)
	}
	if len(all) == 0 || strings.Contains(string(rest), "-----BEGIN") {
		return nil, Error("there is no whole certificate in it. Paste it as PEM, from -----BEGIN CERTIFICATE----- to " +
			"-----END CERTIFICATE-----.")
	}
	return all, nil
}

// clientCert reads a certificate with its key.
func clientCert(text string) (*x509.Certificate, error) {
	switch {
	case !strings.Contains(text, "-----BEGIN CERTIFICATE-----"):
		return nil, Error("there is no certificate in it. Paste it as PEM, and its key after it.")
	case !strings.Contains(text, "PRIVATE KEY-----"):
		return nil, Error("there is no private key in it. Paste the certificate and its key, one after the other.")
	case strings.Contains(text, "ENCRYPTED"):
		return nil, Error("its key is locked with a passphrase, which nobody is there to type. Paste it without one: openssl pkey -in " +
			"FILE prints it.")
	}
	pair, err := tls.X509KeyPair([]byte(text), []byte(text))
	if err != nil {
		if strings.Contains(err.Error(), "does not match") {
			return nil, Error("the private key is not the one of the certificate. If there are several certificates, the client's own comes first.")
		}
		return nil, Error("certificate or key cannot be read. Paste both as PEM, whole, the certificate first.")
	}
	if pair.Leaf == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	return pair.Leaf, err
}

// checkGoogle takes a key of a service account and nothing else: files of other types may name
// a file to be sent somewhere, or a program to run.
func checkGoogle(text string) error {
	var key struct {
		Type       string `json:"type"`
		Email      string `json:"client_email"`
		PrivateKey string `json:"private_key"`
		TokenURI   string `json:"token_uri"`
	}
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		return Error("this is no JSON. Paste the whole file that Google's console gives for a key of a service account.")
	}
	if key.Type != "service_account" {
		return Error(fmt.Sprintf("it is of the type %.40q, and only service_account is taken: other types may name programs and files of the "+
			"host. For those, put the file on the host and name it.", key.Type))
	}
	if u, err := url.Parse(key.TokenURI); key.TokenURI != "" && (err != nil || u.Scheme != "https" ||
		u.Host != "oauth2.googleapis.com" && u.Host != "accounts.google.com") {
		return Error("its token_uri is none of Google's.")
	}
	if block, _ := pem.Decode([]byte(key.PrivateKey)); block == nil || key.Email == "" {
		return Error("client_email or private_key is missing in it.")
	}
	return nil
}

// Trust is the fingerprints of the certificates that the server's has to be issued by: SHA-256
// in hexadecimal, one for each, sorted; none if no certificate is pasted.
func Trust[S ~string](files map[string]S) []string {
	all, _ := certificates(string(files[CACert]))
	var prints []string
	for _, c := range all {
		sum := sha256.Sum256(c.Raw)
		prints = append(prints, hex.EncodeToString(sum[:]))
	}
	slices.Sort(prints)
	return slices.Compact(prints)
}

// A Dated is a pasted certificate, as people are told of it.
type Dated struct {
	Name    string // the variable's
	Subject string
	SHA256  string // in hexadecimal
	From    time.Time
	Until   time.Time
}

// Certificates are what is known of the pasted certificates, in the order of Pastes.
func Certificates[S ~string](files map[string]S) (all []Dated) {
	add := func(name string, c *x509.Certificate) {
		sum := sha256.Sum256(c.Raw)
		subject := c.Subject.CommonName
		if subject == "" {
			subject = c.Subject.String()
		}
		if subject == "" && len(c.DNSNames) > 0 {
			subject = c.DNSNames[0]
		}
		all = append(all, Dated{Name: name, Subject: subject, SHA256: hex.EncodeToString(sum[:]), From: c.NotBefore, Until: c.NotAfter})
	}
	list, _ := certificates(string(files[CACert]))
	for _, c := range list {
		add(CACert, c)
	}
	if c, err := clientCert(string(files[ClientCert])); err == nil {
		add(ClientCert, c)
	}
	return all
}

// soon is how long before its end a certificate is worth a word.
const soon = 30 * 24 * time.Hour

// Ending says in a sentence that a certificate is over, or will be soon, "" if neither is so.
func (d Dated) Ending(now time.Time) string {
	p, _ := FindPasted(d.Name)
	which := fmt.Sprintf("%s %.100q", p.Label, d.Subject)
	if d.Name == ClientCert {
		which = fmt.Sprintf("Client certificate %.100q", d.Subject)
	}
	switch day := d.Until.UTC().Format("2 January 2006"); {
	case now.After(d.Until):
		return which + " ended on " + day + ": no job reaches the repository with it. Paste the one that replaces it."
	case now.Add(soon).After(d.Until):
		return which + " ends on " + day + ", and from then on no job reaches the repository. Paste the one that replaces it before."
	case now.Before(d.From):
		return which + " begins on " + d.From.UTC().Format("2 January 2006") + " only: until then no job reaches the repository with it."
	}
	return ""
}
