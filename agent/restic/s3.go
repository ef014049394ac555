package restic

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// An s3Bucket is a place in S3 that is looked at without restic, which tries again for minutes
// what is refused. Requests are signed by Signature Version 4.
type s3Bucket struct {
	client *http.Client
	base   url.URL // of the bucket, without a slash at its end
	region string
	prefix string // of objects, "" or with a slash at its end
	first  bool   // objects are listed by version 1

	key, secret, token string
}

// bucket returns a repository's, false if its login is not known here: one of the host's own,
// or none.
func (r Repository) bucket(at location.Address) (*s3Bucket, bool) {
	env := func(name string) string { return r.Env[name].Reveal() }
	b := &s3Bucket{client: r.client(), region: env("AWS_DEFAULT_REGION"), key: env("AWS_ACCESS_KEY_ID"), secret: env("AWS_SECRET_ACCESS_KEY"),
		token: env("AWS_SESSION_TOKEN")}
	if b.client == nil || b.key == "" || b.secret == "" {
		return nil, false
	}
	var path string
	if u := at.URL(); u != nil {
		b.base, path = url.URL{Scheme: u.Scheme, Host: u.Host}, strings.TrimPrefix(u.Path, "/")
	} else {
		b.base.Scheme = "https"
		b.base.Host, path, _ = strings.Cut(strings.TrimPrefix(at.Rest(), "//"), "/")
	}
	name, prefix, _ := strings.Cut(path, "/")
	if name == "" {
		return nil, false
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		b.prefix = prefix + "/"
	}
	// These take buckets as a part of their name, and some of them no other way; so does restic,
	// unless it is told.
	host := strings.ToLower(b.base.Hostname())
	dns := (strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".aliyuncs.com")) && !strings.Contains(name, ".")
	switch r.Options["s3.bucket-lookup"] {
	case "dns":
		dns = true
	case "path":
		dns = false
	}
	b.first = r.Options["s3.list-objects-v1"] == "true"
	if dns {
		b.base.Host = name + "." + b.base.Host
	} else {
		b.base.Path = "/" + name
	}
	if b.region == "" {
		b.region = "us-east-1"
	}
	return b, true
}

// An s3Answer is what S3 says in place of an answer.
type s3Answer struct {
	Status  int    `xml:"-"`
	Code    string `xml:"Code"`
	Message string `xml:"Message"`
	Region  string `xml:"Region"`

	plain bool // it wants TLS, and was asked without
}

func (r *s3Answer) Error() string {
	if r.Code == "" {
		return fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status))
	}
	return fmt.Sprintf("%s (%s)", strings.TrimSuffix(r.Message, "."), r.Code)
}

// ask sends a request and returns what comes back, up to 1 MiB. The error is a *s3Answer for
// any status but 2xx. A bucket of another region than the one that is asked says so, and is
// asked again there.
func (b *s3Bucket) ask(ctx context.Context, method, object string, query url.Values) (body []byte, head http.Header, err error) {
	for range 2 {
		u := b.base
		u.Path += "/" + object
		u.RawPath = escapedS3(u.Path, "/")
		u.RawQuery = querySigned(query)
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return nil, nil, errors.New("the repository's address is no URL")
		}
		b.sign(req, time.Now().UTC())
		answer, err := b.client.Do(req)
		if err != nil {
			if outer := (*url.Error)(nil); errors.As(err, &outer) {
				err = outer.Err // without the URL
			}
			return nil, nil, err
		}
		body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		answer.Body.Close()
		if err != nil {
			return nil, nil, err
		}
		if answer.StatusCode/100 == 2 {
			return body, answer.Header, nil
		}
		no := &s3Answer{}
		if xml.Unmarshal(body, no) != nil {
			*no = s3Answer{plain: answer.StatusCode == http.StatusBadRequest && wantsTLS(body)}
		}
		no.Status = answer.StatusCode
		region := or(no.Region, answer.Header.Get("x-amz-bucket-region"))
		if region == "" || region == b.region || no.Code == "NoSuchBucket" {
			return nil, answer.Header, no
		}
		b.region = region
	}
	return nil, nil, &s3Answer{Status: http.StatusMovedPermanently, Code: "PermanentRedirect",
		Message: "the bucket is in the region " + b.region}
}

// sign signs a request without a body.
func (b *s3Bucket) sign(req *http.Request, now time.Time) {
	const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	req.Header.Set("x-amz-date", now.Format("20060102T150405Z"))
	req.Header.Set("x-amz-content-sha256", nothing)
	names := []string{"host", "x-amz-content-sha256", "x-amz-date"}
	if b.token != "" {
		req.Header.Set("x-amz-security-token", b.token)
		names = append(names, "x-amz-security-token")
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", req.Method, req.URL.EscapedPath(), req.URL.RawQuery)
	for _, name := range names {
		value := req.Header.Get(name)
		if name == "host" {
			value = req.URL.Host
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, value)
	}
	signed := strings.Join(names, ";")
	fmt.Fprintf(&canonical, "\n%s\n%s", signed, nothing)
	sum := sha256.Sum256([]byte(canonical.String()))
	scope := now.Format("20060102") + "/" + b.region + "/s3/aws4_request"
	key := []byte("AWS4" + b.secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = hashed(key, part)
	}
	text := "AWS4-HMAC-SHA256\n" + now.Format("20060102T150405Z") + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+b.key+"/"+scope+", SignedHeaders="+signed+", Signature="+
		hex.EncodeToString(hashed(key, text)))
}

func hashed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// querySigned is a query as it is signed and sent: sorted, a space as %20.
func querySigned(q url.Values) string {
	var parts []string
	for name, values := range q {
		for _, v := range values {
			parts = append(parts, escapedS3(name, "")+"="+escapedS3(v, ""))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// escapedS3 escapes every byte but letters, digits, "-._~" and what else is said.
func escapedS3(text, but string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~"+but, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// s3 looks at a bucket.
func (x *examination) s3(ctx context.Context) {
	b, ok := x.r.bucket(x.at)
	if !ok {
		return
	}
	defer b.client.CloseIdleConnections()
	body, _, err := b.ask(ctx, http.MethodGet, b.prefix+"config", nil)
	var no *s3Answer
	switch {
	case err == nil && isPage(body):
		x.ends(other(topics.CauseUnreachable, "A web page answers, and not S3. Look at the endpoint: it is not the address of the console."))
		return
	case err == nil:
	case !errors.As(err, &no):
		x.ends(other(topics.CauseUnreachable, "%s", unanswered(ctx, err)))
		return
	case no.Code == "NoSuchBucket":
		x.found.Entered = true
		x.ends(topics.Finding{State: topics.FindingMissing, Message: "There is no such bucket. restic makes it together with the " +
			"repository, if the key may make buckets."})
		return
	case no.Status == http.StatusNotFound:
		if !x.listed(ctx, b) {
			return
		}
	default:
		x.refusedByS3(no)
		return
	}
	x.found.Entered = true
	x.mayDeleteInBucket(ctx, b)
}

// listed looks what there is beside a repository's config, which is not there. It returns
// false if S3 does not say.
func (x *examination) listed(ctx context.Context, b *s3Bucket) bool {
	query := url.Values{"prefix": {b.prefix}, "max-keys": {"2"}}
	if !b.first {
		query.Set("list-type", "2")
	}
	body, _, err := b.ask(ctx, http.MethodGet, "", query)
	var no *s3Answer
	if errors.As(err, &no) {
		x.refusedByS3(no)
		return false
	} else if err != nil {
		x.ends(other(topics.CauseUnreachable, "%s", unanswered(ctx, err)))
		return false
	}
	var list struct {
		Contents []struct {
			Key string `xml:"Key"`
		} `xml:"Contents"`
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		x.ends(other(topics.CauseUnknown, "Somebody answers, and not as S3 does. Look at the endpoint."))
		return false
	}
	for _, o := range list.Contents {
		if o.Key != b.prefix { // a folder, as some tools make them
			x.ends(noRepository(o.Key))
			return true
		}
	}
	x.ends(topics.Finding{State: topics.FindingEmpty, Message: "The bucket is there, and nothing is at this path."})
	return true
}

func (x *examination) refusedByS3(no *s3Answer) {
	switch {
	case no.Code == "InvalidAccessKeyId":
		x.ends(other(topics.CauseCredentials, "The server does not know this access key ID: %v.", no))
	case no.Code == "SignatureDoesNotMatch":
		x.ends(other(topics.CauseCredentials, "The secret access key is not the one of this access key ID: %v.", no))
	case no.Code == "RequestTimeTooSkewed":
		x.ends(other(topics.CauseCredentials, "The clock of this host differs from the server's, which takes no request then: %v.", no))
	case no.Status == http.StatusForbidden, no.Status == http.StatusUnauthorized:
		x.ends(other(topics.CauseCredentials, "The server does not let this key in here: %v.", no))
	case no.Status >= 500 || no.Status == http.StatusTooManyRequests:
		x.ends(other(topics.CauseUnreachable, "The server answers that it cannot: %v.", no))
	case no.plain:
		x.ends(withoutTLS)
	default:
		x.ends(other(topics.CauseUnknown, "The server refuses: %v. Look at endpoint, bucket and region.", no))
	}
}

// mayDeleteInBucket deletes an object that is not there. A bucket that keeps versions notes
// that it was deleted; that note is taken back.
func (x *examination) mayDeleteInBucket(ctx context.Context, b *s3Bucket) {
	object := b.prefix + "data/" + nobody()
	_, head, err := b.ask(ctx, http.MethodDelete, object, nil)
	var no *s3Answer
	switch {
	case err == nil:
		x.found.MayDelete = new(true)
		if version := head.Get("x-amz-version-id"); version != "" && head.Get("x-amz-delete-marker") == "true" {
			_, _, _ = b.ask(ctx, http.MethodDelete, object, url.Values{"versionId": {version}})
		}
	case errors.As(err, &no) && (no.Status == http.StatusForbidden || no.Status == http.StatusMethodNotAllowed):
		x.found.MayDelete = new(false)
	}
}
