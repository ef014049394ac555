package restic

import (
	"regexp"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// A sign tells a cause from the words of one line. All of its words are in the line, in
// lower case; one that begins with "!" is not. http holds status codes of which the line
// names one, if any are given. from says who writes such lines and where they were seen:
//
//	restic/FILE     restic's own source, of all versions since 0.14 if none is named
//	recorded        testdata/recordings
//	go              Go's standard library, in restic or in rclone
//	os              the text of a system error: Linux, Windows or both
//	ssh             OpenSSH's client, in lines that begin with "subprocess"
//	sftp            github.com/pkg/sftp and the servers behind it
//	minio           github.com/minio/minio-go, restic's S3 client
//	s3, b2, azure,  what such a service answers
//	gcs, swift
//	rclone          rclone itself
//	rclone/BACKEND  what the services of rclone's backends answer
//	proxy           what stands between restic and its server
type sign struct {
	cause topics.Cause
	words string // separated by " & "
	http  string
	from  string
}

// These stand in a line for a path, and for whatever follows it: a path can say anything.
const (
	atRepository = "‹repository›" // below the repository's location
	atHost       = "‹host›"       // below the host's own temporary, cache or state directory
	atSource     = "‹source›"     // below what is saved, or what is restored to
	atItem       = "‹item›"       // before what the system said of one file, of a source or a target
)

const passing = "408 425 429 498 500 502 503 504 509 511 520 521 522 523 524 525 526 527 529 530"

// senseless are the answers to a request that no server would take from anybody. To a
// request without an answer's body S3 says 400 of a wrong region and of a token that has expired.
const senseless = "400 405 411 414 421 451 501"

// telling are the signs of what happened, asked in this order. What the network or the
// server says comes before the missing repository, since restic calls every failure to
// open one "unable to open config file", and up to 0.18 asks "Is there a repository?"
// after each.
var telling = []sign{
	// The host's own disk. restic names its temporary packs, whatever the directory.
	{topics.CauseHostDisk, "no space left & ‹host›", "", "os: Linux"},
	{topics.CauseHostDisk, "disk quota exceeded & ‹host›", "", "os: Linux"},
	{topics.CauseHostDisk, "not enough space on the disk & ‹host›", "", "os: Windows"},
	{topics.CauseHostDisk, "no space left & restic-temp-", "", "restic/repository/packer_manager.go"},
	{topics.CauseHostDisk, "disk quota exceeded & restic-temp-", "", "restic/repository/packer_manager.go"},
	{topics.CauseHostDisk, "no space left & ‹item›", "", "recorded: restore-disk-full-json"},
	{topics.CauseHostDisk, "disk quota exceeded & ‹item›", "", "os: Linux"},
	{topics.CauseHostDisk, "not enough space on the disk & ‹item›", "", "os: Windows"},

	{topics.CauseLocked, "already locked", "", "restic/restic/lock.go"},
	{topics.CauseLocked, "invalid lock file", "", "restic/repository/lock.go"}, // blocks as a lock does, and unlock --remove-all helps
	{topics.CausePassword, "wrong password or no key found", "", "restic/repository/key.go"},
	{topics.CausePassword, "an empty password is not", "", "restic/global.go"},
	{topics.CausePassword, "maximum number of keys reached", "", "restic/repository/key.go"},
	{topics.CauseSourceMissing, "all target directories/files do not exist", "", "restic/cmd_backup.go to 0.18"},
	{topics.CauseSourceMissing, "all source directories/files do not exist", "", "restic/cmd_backup.go since 0.19"},

	// Shadow copies of volumes.
	{topics.CauseShadowCopy, "vss error: ", "", "restic/fs/vss_windows.go"},
	{topics.CauseShadowCopy, "failed to load vssapi.dll", "", "os: Windows, of a system without the service"},

	// Memory.
	{topics.CauseKilled, "runtime: out of memory", "", "go: runtime"},
	{topics.CauseKilled, "runtime: cannot allocate memory", "", "go: runtime"},
	{topics.CauseKilled, "cannot allocate memory & !‹source›", "", "os: Linux"},
	{topics.CauseKilled, "not enough memory resources", "", "os: Windows"},
	{topics.CauseKilled, "signal: killed", "", "go: os/exec, of ssh or rclone"},

	// The helper program, and what it is told.
	{topics.CauseUsage, "executable file not found", "", "go: os/exec"},
	{topics.CauseUsage, "fork/exec & no such file or directory", "", "go: os/exec"},
	{topics.CauseUsage, "fork/exec & permission denied", "", "go: os/exec"},
	{topics.CauseUsage, "exec format error", "", "go: os/exec"},
	{topics.CauseUsage, "cannot implicitly run relative executable", "", "restic/backend/sftp, rclone"},
	{topics.CauseUsage, "didn't find section in config file", "", "rclone/fs/fs.go"},
	{topics.CauseUsage, "didn't find backend called", "", "rclone/fs/registry.go"},
	{topics.CauseUsage, "unable to decrypt configuration", "", "rclone/fs/config/crypt.go"},
	{topics.CauseUsage, "couldn't decrypt configuration", "", "rclone/fs/config/crypt.go"},
	{topics.CauseUsage, "unsupported configuration encryption", "", "rclone/fs/config/crypt.go"},
	{topics.CauseUsage, "failed to load config file", "", "rclone/fs/config/config.go"},
	{topics.CauseUsage, "password not set in config file", "", "rclone/backend/crypt"},
	{topics.CauseUsage, "bad configuration option", "", "ssh: readconf.c"},
	{topics.CauseUsage, "terminating, & bad configuration options", "", "ssh: readconf.c"},
	{topics.CauseUsage, "bad owner or permissions on", "", "ssh: readconf.c"},
	{topics.CauseUsage, "unable to negotiate with", "", "ssh: packet.c"},
	{topics.CauseUsage, "subsystem request failed", "", "ssh: clientloop.c"},
	{topics.CauseUsage, "receiving version packet from server: packet too long", "", "sftp: packet.go"},

	// What is called a quota or a limit, and is over in a moment.
	{topics.CauseUnreachable, "quota exceeded for quota metric", "", "gcs"},
	{topics.CauseUnreachable, "quota exceeded & per minute", "", "gcs"},
	{topics.CauseUnreachable, "ratelimitexceeded", "", "gcs, rclone/drive"},
	{topics.CauseUnreachable, "rate limit exceeded", "", "gcs, rclone/drive"},
	{topics.CauseUnreachable, "dailylimitexceeded", "", "rclone/drive"},
	{topics.CauseUnreachable, "downloadquotaexceeded", "", "rclone/drive"},

	// No space for the repository.
	{topics.CauseDiskFull, "no space left & !‹source›", "", "os: Linux; restic/backend/sftp/sftp.go"},
	{topics.CauseDiskFull, "disk quota exceeded & !‹source›", "", "os: Linux"},
	{topics.CauseDiskFull, "not enough space on the disk & !‹source›", "", "os: Windows"},
	{topics.CauseDiskFull, "file too big for remaining disk space & !‹source›", "", "rclone/backend/local"},
	{topics.CauseDiskFull, "ssh_fx_quota_exceeded", "", "sftp"},
	{topics.CauseDiskFull, "ssh_fx_no_space_on_filesystem", "", "sftp"},
	{topics.CauseDiskFull, "507 insufficient storage", "", "recorded: rest-quota-exceeded-backup-json"},
	{topics.CauseDiskFull, "", "507", "restic/backend/rest since 0.17; rclone/webdav"},
	{topics.CauseDiskFull, "cap exceeded", "", "b2"},
	{topics.CauseDiskFull, "storage cap", "", "b2"},
	{topics.CauseDiskFull, "quota exceeded & !‹source› & !‹item›", "", "s3: MinIO, Ceph; swift; rclone/*"},
	{topics.CauseDiskFull, "quotaexceeded", "", "s3: Ceph, Scaleway; rclone/drive, dropbox"},
	{topics.CauseDiskFull, "quota has been exceeded", "", "rclone/drive"},
	{topics.CauseDiskFull, "quotalimitreached", "", "rclone/onedrive"},
	{topics.CauseDiskFull, "exceeded & storage quota", "", "rclone/*"},
	{topics.CauseDiskFull, "over quota", "", "rclone/mega, pcloud"},
	{topics.CauseDiskFull, "insufficient_space", "", "rclone/dropbox"},
	{topics.CauseDiskFull, "insufficientstorage", "", "rclone/webdav: Nextcloud"},
	{topics.CauseDiskFull, "insufficient space available", "", "rclone/onedrive"},
	{topics.CauseDiskFull, "storage_limit_exceeded", "", "rclone/box"},
	{topics.CauseDiskFull, "accountquotaexceeded", "", "azure"},
	{topics.CauseDiskFull, "account being over its capacity", "", "azure"},
	{topics.CauseDiskFull, "exceeded storage allocation", "", "rclone/ftp"},
	{topics.CauseDiskFull, "too big for remaining disk space", "", "rclone/local: lib/file/preallocate"},
	{topics.CauseDiskFull, "minimum free drive threshold", "", "s3: MinIO"},
	{topics.CauseDiskFull, "minimum free disk threshold", "", "s3: MinIO"},
	{topics.CauseDiskFull, "xminiostoragefull", "", "s3: MinIO"},

	// Whoever may write but not delete.
	{topics.CauseAppendOnly, "client.removeobject & access denied", "", "minio"},
	{topics.CauseAppendOnly, "remove(< & access denied", "", "minio"},
	{topics.CauseAppendOnly, "storage.objects.delete", "", "gcs"},
	{topics.CauseAppendOnly, "b2_delete_file_version", "401 403", "b2"},
	{topics.CauseAppendOnly, "b2_hide_file", "401 403", "b2"},

	// Whom the server does not know, or does not let in.
	{topics.CauseCredentials, "401 unauthorized", "", "recorded: rest-wrong-http-password-json"},
	{topics.CauseCredentials, "unable to open config file & 403 forbidden", "", "recorded: rclone-other-users-repo-json"}, // nothing deleted
	{topics.CauseCredentials, "create repository at & 403 forbidden", "", "recorded"},
	{topics.CauseCredentials, "", "401 407", "restic/backend/rest, b2, azure, gcs, swift, rclone"},
	{topics.CauseCredentials, "b2_", "403", "b2"},
	{topics.CauseCredentials, "googleapi", "403", "gcs"},
	{topics.CauseCredentials, "response 403", "", "azure"},
	{topics.CauseCredentials, "https response error", "403", "rclone/s3"},
	{topics.CauseKeyRefused, "permission denied (", "", "ssh: sshconnect2.c, which names its methods"},
	{topics.CauseKeyRefused, "permission denied, please try again", "", "ssh: sshconnect2.c"},
	{topics.CauseKeyRefused, "too many authentication failures", "", "ssh"},
	{topics.CauseKeyRefused, "no supported authentication methods", "", "ssh"},
	{topics.CauseKeyRefused, "unprotected private key file", "", "ssh: authfile.c"},
	{topics.CauseKeyRefused, `load key "`, "", "ssh: sshconnect2.c"},
	{topics.CauseCredentials, "this account is currently not available", "", "ssh: the server's nologin"},
	{topics.CauseCredentials, "ssh: unable to authenticate", "", "rclone/sftp"},
	{topics.CauseCredentials, "login incorrect", "", "rclone/ftp"},
	{topics.CauseCredentials, "access denied & !‹source› & !‹item›", "", "minio: s3-error.go"},
	{topics.CauseCredentials, "accessdenied", "", "s3, rclone/onedrive"},
	{topics.CauseCredentials, "signaturedoesnotmatch", "", "s3"},
	{topics.CauseCredentials, "request signature we calculated does not match", "", "minio: s3-error.go"},
	{topics.CauseCredentials, "invalidaccesskeyid", "", "s3"},
	{topics.CauseCredentials, "access key id you provided does not exist", "", "minio: s3-error.go"},
	{topics.CauseCredentials, "malformed access key id", "", "s3: Wasabi, B2"},
	{topics.CauseCredentials, "expiredtoken", "", "s3"},
	{topics.CauseCredentials, "token has expired", "", "s3, rclone"},
	{topics.CauseCredentials, "token included in the request is", "", "s3"}, // expired, invalid
	{topics.CauseCredentials, "request time and the server's time is too large", "", "minio: s3-error.go"},
	{topics.CauseCredentials, "requesttimetooskewed", "", "s3"},
	{topics.CauseCredentials, "access to this bucket has been disabled", "", "minio: s3-error.go"},
	{topics.CauseCredentials, "nocredentialproviders", "", "s3"},
	{topics.CauseCredentials, "no credentials found", "", "restic/backend/s3 since 0.17"},
	{topics.CauseCredentials, "no valid providers in chain", "", "s3"},
	{topics.CauseCredentials, "backend: account & is empty", "", "restic/backend/b2, azure"},
	{topics.CauseCredentials, "backend: key & is empty", "", "restic/backend/b2"},
	{topics.CauseCredentials, "authenticationfailed", "", "azure"},
	{topics.CauseCredentials, "server failed to authenticate the request", "", "azure"},
	{topics.CauseCredentials, "authorizationfailure", "", "azure"},
	{topics.CauseCredentials, "authorizationpermissionmismatch", "", "azure"},
	{topics.CauseCredentials, "not authorized to perform this operation", "", "azure, s3"},
	{topics.CauseCredentials, "accountisdisabled", "", "azure"},
	{topics.CauseCredentials, "illegal base64 data at input", "", "azure: a key that is none"},
	{topics.CauseCredentials, "could not find default credentials", "", "gcs"},
	{topics.CauseCredentials, "cannot fetch token", "400 401 403", "gcs, rclone: golang.org/x/oauth2"},
	{topics.CauseCredentials, "invalid_grant", "", "gcs, rclone: golang.org/x/oauth2"},
	{topics.CauseCredentials, "empty token found", "", "rclone/lib/oauthutil"},
	{topics.CauseCredentials, "token expired and there's no refresh token", "", "rclone/lib/oauthutil"},
	{topics.CauseCredentials, "does not have storage.", "", "gcs"},
	{topics.CauseCredentials, "authorization failed", "", "swift: ncw/swift"},
	{topics.CauseCredentials, "operation forbidden", "", "swift: ncw/swift"},
	{topics.CauseCredentials, "unauthenticated", "", "rclone/onedrive"},
	{topics.CauseCredentials, "invalid_access_token", "", "rclone/dropbox"},
	{topics.CauseCredentials, "expired_access_token", "", "rclone/dropbox"},

	// A TLS connection that was cut is nobody's lack of trust.
	{topics.CauseUnreachable, "tls handshake timeout", "", "go: net/http"},
	{topics.CauseUnreachable, "tls: use of closed connection", "", "go: crypto/tls"},
	{topics.CauseUnreachable, "bad record mac", "", "go: crypto/tls"},
	{topics.CauseUnreachable, "tls: internal error", "", "go: crypto/tls"},
	{topics.CauseUnreachable, "tls: unexpected message", "", "go: crypto/tls"},
	{topics.CauseUnreachable, "tls: first record does not look like a tls handshake", "", "go: crypto/tls; proxy"},
	{topics.CauseUnreachable, "tls: user canceled", "", "go: crypto/tls"},
	{topics.CauseCertificate, "x509:", "", "go: crypto/x509"},
	{topics.CauseCertificate, "unable to read root certificate", "", "restic/backend/http_transport.go"},
	{topics.CauseCertificate, "tls: ", "", "go: crypto/tls"},

	// Whom ssh takes the server for.
	{topics.CauseHostKeyOther, "remote host identification has changed", "", "ssh: sshconnect.c"},
	{topics.CauseHostKeyOther, "warning: & key found for host", "", "ssh: sshconnect.c, of a key of another type"},
	{topics.CauseHostKeyOther, "revoked host key detected", "", "ssh: sshconnect.c"},
	{topics.CauseHostKeyOther, "marked as revoked", "", "ssh: sshconnect.c"},
	{topics.CauseHostKeyOther, "knownhosts: key mismatch", "", "rclone/sftp: golang.org/x/crypto/ssh/knownhosts"},
	{topics.CauseHostKeyOther, "host key mismatch", "", "rclone/sftp"},
	{topics.CauseHostKey, "knownhosts: key is unknown", "", "rclone/sftp: golang.org/x/crypto/ssh/knownhosts"},
	{topics.CauseHostKey, "host key is known for", "", "ssh: sshconnect.c"},
	{topics.CauseHostKey, "host key verification failed", "", "ssh: sshconnect.c"},

	// The way there.
	{topics.CauseUnreachable, "could not resolve host", "", "ssh: ssh.c"},
	{topics.CauseUnreachable, "name resolution", "", "os: glibc"},
	{topics.CauseUnreachable, "name or service not known", "", "os: glibc"},
	{topics.CauseUnreachable, "nodename nor servname provided", "", "os: BSD's resolver, musl"},
	{topics.CauseUnreachable, "no address associated with", "", "os: glibc, Windows"},
	{topics.CauseUnreachable, "no such host", "", "go: net"},
	{topics.CauseUnreachable, "server misbehaving", "", "go: net"},
	{topics.CauseUnreachable, "getaddrinfow: ", "", "go: net, Windows"},
	{topics.CauseUnreachable, "connect to host", "", "ssh: sshconnect.c"},
	{topics.CauseUnreachable, "kex_exchange_identification", "", "ssh: kex.c"},
	{topics.CauseUnreachable, "ssh_exchange_identification", "", "ssh: of the years before 2020"},
	{topics.CauseUnreachable, "banner exchange", "", "ssh: kex.c"},
	{topics.CauseUnreachable, "connection closed by", "", "ssh: packet.c"},
	{topics.CauseUnreachable, "closed by remote host", "", "ssh: clientloop.c"},
	{topics.CauseUnreachable, "disconnected from", "", "ssh: packet.c"},
	{topics.CauseUnreachable, "client_loop: send disconnect", "", "ssh: clientloop.c"},
	{topics.CauseUnreachable, "packet_write_", "", "ssh: packet.c"},
	{topics.CauseUnreachable, "write failed: broken pipe", "", "ssh: of the years before 2016"},
	{topics.CauseUnreachable, "timeout, server", "", "ssh: clientloop.c"},
	{topics.CauseUnreachable, "connection to & timed out", "", "ssh: packet.c"},
	{topics.CauseUnreachable, "lost connection", "", "ssh: sftp.c"},
	{topics.CauseUnreachable, "ssh_fx_connection_lost", "", "sftp"},
	{topics.CauseUnreachable, "ssh_fx_no_connection", "", "sftp"},
	{topics.CauseUnreachable, "connection lost", "", "sftp; go: net/http's HTTP/2"},
	{topics.CauseUnreachable, "couldn't connect ssh", "", "rclone/sftp"},
	{topics.CauseUnreachable, "couldn't connect smb", "", "rclone/smb"},
	{topics.CauseUnreachable, "failed to make ftp connection", "", "rclone/ftp"},
	{topics.CauseUnreachable, "connection refused", "", "os: Linux"},
	{topics.CauseUnreachable, "actively refused it", "", "os: Windows"},
	{topics.CauseUnreachable, "connected party did not properly respond", "", "os: Windows"},
	{topics.CauseUnreachable, "forcibly closed by the remote host", "", "os: Windows"},
	{topics.CauseUnreachable, "connection was aborted", "", "os: Windows"},
	{topics.CauseUnreachable, "unreachable host", "", "os: Windows"},
	{topics.CauseUnreachable, "unreachable network", "", "os: Windows"},
	{topics.CauseUnreachable, "i/o timeout", "", "go: net"},
	{topics.CauseUnreachable, "dial tcp", "", "go: net"},
	{topics.CauseUnreachable, "dial unix", "", "go: net"},
	{topics.CauseUnreachable, "proxyconnect", "", "go: net/http"},
	{topics.CauseUnreachable, "network is unreachable", "", "os: Linux"},
	{topics.CauseUnreachable, "network is down", "", "os: Linux"},
	{topics.CauseUnreachable, "no route to host & !‹source› & !‹item›", "", "os: Linux"},
	{topics.CauseUnreachable, "connection timed out & !‹source› & !‹item›", "", "os: Linux"},
	{topics.CauseUnreachable, "connection reset by", "", "os: Linux; ssh: packet.c"},
	{topics.CauseUnreachable, "connection abort & !‹source› & !‹item›", "", "os: Linux"},
	{topics.CauseUnreachable, "use of closed network connection", "", "go: net"},
	{topics.CauseUnreachable, "handshake timeout", "", "go: net/http"},
	{topics.CauseUnreachable, "client.timeout", "", "go: net/http"},
	{topics.CauseUnreachable, "timeout awaiting response headers", "", "go: net/http"},
	{topics.CauseUnreachable, "server gave http response to https client", "", "go: net/http"},
	{topics.CauseUnreachable, "malformed http", "", "go: net/http; proxy"},
	{topics.CauseUnreachable, "transport connection broken", "", "go: net/http"},
	{topics.CauseUnreachable, "server closed idle connection", "", "go: net/http"},
	{topics.CauseUnreachable, "server sent goaway", "", "go: net/http's HTTP/2"},
	{topics.CauseUnreachable, "stream error: stream id", "", "go: net/http's HTTP/2"},
	{topics.CauseUnreachable, "connection to b2 failed", "", "restic/backend/b2"},

	// The server is there, and has no time.
	{topics.CauseUnreachable, "encountered an internal error", "", "minio: s3-error.go"},
	{topics.CauseUnreachable, "an internal error occurred", "", "s3: B2, Wasabi"},
	{topics.CauseUnreachable, "internalerror", "", "s3, azure"},
	{topics.CauseUnreachable, "slowdown", "", "s3"},
	{topics.CauseUnreachable, "slow down", "", "s3"},
	{topics.CauseUnreachable, "reduce your request", "", "s3"},
	{topics.CauseUnreachable, "reduce your concurrent request", "", "s3"},
	{topics.CauseUnreachable, "requesttimeout", "", "s3"},
	{topics.CauseUnreachable, "not read from or written to within the timeout", "", "s3"},
	{topics.CauseUnreachable, "serviceunavailable", "", "s3, rclone/onedrive"},
	{topics.CauseUnreachable, "service unavailable", "", "proxy"},
	{topics.CauseUnreachable, "server not initialized", "", "s3: MinIO"},
	{topics.CauseUnreachable, "timeout occurred while trying to lock", "", "s3: MinIO"},
	{topics.CauseUnreachable, "too many requests", "", "proxy"},
	{topics.CauseUnreachable, "toomanyrequests", "", "swift: ncw/swift"},
	{topics.CauseUnreachable, "too_many_requests", "", "rclone/dropbox"},
	{topics.CauseUnreachable, "too_many_write_operations", "", "rclone/dropbox"},
	{topics.CauseUnreachable, "throttl", "", "s3, rclone/onedrive"},
	{topics.CauseUnreachable, "no tomes available", "", "b2"},
	{topics.CauseUnreachable, "more than one upload using auth token", "", "b2"},
	{topics.CauseUnreachable, "service_unavailable", "", "b2"},
	{topics.CauseUnreachable, "incident id", "", "b2"},
	{topics.CauseUnreachable, "serverbusy", "", "azure"},
	{topics.CauseUnreachable, "server is busy", "", "azure"},
	{topics.CauseUnreachable, "operationtimedout", "", "azure"},
	{topics.CauseUnreachable, "operation could not be completed within the specified time", "", "azure"},
	{topics.CauseUnreachable, "backenderror", "", "gcs, rclone/drive"},
	{topics.CauseUnreachable, "timeout when reading or writing data", "", "swift: ncw/swift"},
	{topics.CauseUnreachable, "too many connections", "", "rclone/ftp"},

	// A page for people in place of an answer.
	{topics.CauseUnreachable, "invalid character '<'", "", "proxy, read by restic/backend/rest, gcs or rclone"},
	{topics.CauseUnreachable, "have <html>", "", "proxy, read by minio"},
	{topics.CauseUnreachable, "<html", "", "proxy, read by minio, gcs or rclone"},
	{topics.CauseUnreachable, "<!doctype html", "", "proxy, read by minio, gcs or rclone"},
	{topics.CauseUnreachable, "text/html", "", "proxy, read by azure or rclone"},

	// A share that is gone. An input or output error is here as well: it is what a share
	// mounted soft, a FUSE file system and an unplugged disk answer when their other side
	// is gone. A failing disk says the same; then the next tries fail as well, and nothing
	// has shown that data is damaged, which is for a check to find. Of a file of the source
	// or of a restore's target it says nothing of the repository.
	{topics.CauseUnreachable, "stale nfs file handle & !‹source› & !‹host› & !‹item›", "", "os: ESTALE as Go words it, of NFS and SMB"},
	{topics.CauseUnreachable, "stale file handle & !‹source› & !‹host› & !‹item›", "", "os: ESTALE as glibc words it"},
	{topics.CauseUnreachable, "transport endpoint is not connected & !‹source› & !‹host› & !‹item›", "", "os: Linux, of FUSE"},
	{topics.CauseUnreachable, "host is down & !‹source› & !‹host› & !‹item›", "", "os: Linux, of SMB"},
	{topics.CauseUnreachable, "input/output error & !‹source› & !‹host› & !‹item›", "", "os: Linux"},
	{topics.CauseUnreachable, "remote i/o error & !‹source› & !‹host› & !‹item›", "", "os: Linux"},
	{topics.CauseUnreachable, "no such device & !‹source› & !‹host› & !‹item›", "", "os: Linux"},
	{topics.CauseUnreachable, "resource temporarily unavailable & ‹repository›", "", "os: Linux, of SMB"},
	{topics.CauseUnreachable, "network path was not found & !‹source› & !‹item›", "", "os: Windows"},
	{topics.CauseUnreachable, "network name is no longer available & !‹source› & !‹item›", "", "os: Windows"},
	{topics.CauseUnreachable, "network name cannot be found & !‹source› & !‹item›", "", "os: Windows"},
	{topics.CauseUnreachable, "unexpected network error occurred & !‹source› & !‹item›", "", "os: Windows"},
	{topics.CauseUnreachable, "semaphore timeout period has expired & !‹source› & !‹item›", "", "os: Windows"},
	{topics.CauseUnreachable, "device is not ready & !‹source› & !‹item›", "", "os: Windows"},

	{topics.CauseNoRepository, "repository does not exist", "", "restic/global.go since 0.17"},
	{topics.CauseNoRepository, "unable to open config file & does not exist", "", "restic/global.go"},
	{topics.CauseNoRepository, "unable to open config file & no such file or directory", "", "restic/global.go"},
	{topics.CauseNoRepository, "unable to open config file & cannot find the", "", "os: Windows, of file and path"},
	{topics.CauseNoRepository, "unable to open config file & object not found", "", "swift: ncw/swift"},
	{topics.CauseNoRepository, "unable to open config file & object doesn't exist", "", "gcs"},
	{topics.CauseNoRepository, "specified bucket does not exist", "", "minio: s3-error.go"},
	{topics.CauseNoRepository, "nosuchbucket", "", "s3"},
	{topics.CauseNoRepository, "bucket not found", "", "b2"},
	{topics.CauseNoRepository, "containernotfound", "", "azure"},
	{topics.CauseNoRepository, "specified container does not exist", "", "azure"},
	{topics.CauseNoRepository, "container not found", "", "swift: ncw/swift"},
	{topics.CauseAppendOnly, "403 forbidden", "", "recorded: rest-appendonly-*"},
	{topics.CauseAppendOnly, "(403)", "", "recorded: rest-appendonly-*"},
	{topics.CausePermission, "permission denied & !‹source›", "", "os: Linux; sftp"},
	{topics.CausePermission, "operation not permitted & !‹source›", "", "os: Linux"},
	{topics.CausePermission, "access is denied & !‹source›", "", "os: Windows"},
	{topics.CausePermission, "read-only file system & !‹source›", "", "os: Linux"},
	{topics.CausePermission, "media is write protected & !‹source›", "", "os: Windows"},
	{topics.CauseDamaged, "is damaged", "", "restic/repository"},
	{topics.CauseDamaged, "ciphertext verification failed", "", "restic/crypto"},
	{topics.CauseDamaged, "invalid data returned", "", "restic/repository"},
	{topics.CauseDamaged, "unmarshal: ", "", "restic/restic/json.go"},
	{topics.CauseDamaged, "not found in index", "", "restic/repository"},
	{topics.CauseDamaged, "not found in repository", "", "restic/repository"},
	{topics.CauseDamaged, "packs from index missing in repo", "", "restic/repository/prune.go"},
	{topics.CauseUsage, "unknown flag", "", "restic, rclone: spf13/cobra"},
	{topics.CauseUsage, "unknown shorthand flag", "", "restic, rclone: spf13/cobra"},
	{topics.CauseUsage, "unknown command", "", "restic, rclone: spf13/cobra"},
	{topics.CauseUsage, "invalid pattern", "", "restic/cmd_backup.go"},
	{topics.CauseUsage, "parsing repository location failed", "", "restic/global.go"},
	{topics.CauseUsage, "invalid backend", "", "restic/global.go"},
	{topics.CauseUsage, "please specify repository location", "", "restic/global.go"},
	{topics.CauseUsage, "nothing to backup, please specify", "", "restic/cmd_backup.go"},
	{topics.CauseUsage, "invalid value for restic_", "", "restic/cmd_backup.go, global.go"},
	{topics.CauseUsage, "not supported on windows", "", "restic/cmd_backup.go"},
	{topics.CauseUsage, "authorization header is malformed", "", "minio: s3-error.go; another region's bucket"},
	{topics.CauseUsage, "specified bucket is not valid", "", "minio: s3-error.go"},
	{topics.CauseUsage, "", senseless, "restic/backend/rest, minio; proxy"},
	{topics.CauseUsage, "", "413", "proxy, whose limit of a request's body is below a pack"},
	{topics.CauseUsage, "301 moved permanently", "", "minio; another region's bucket"},
	{topics.CauseUsage, "must be addressed using the specified endpoint", "", "s3; another region's bucket"},
}

// vague are the signs that say only that something broke off. They count if no line of
// the run tells why: the reason is often an earlier one, of ssh or rclone.
var vague = []sign{
	{topics.CauseUnreachable, "", passing, "restic/backend/rest, minio, b2, azure, gcs, swift, rclone; proxy"},
	{topics.CauseUnreachable, "context deadline exceeded", "", "go: context"},
	{topics.CauseUnreachable, "request timeout", "", "restic/backend/watchdog_roundtriper.go since 0.17"},
	{topics.CauseUnreachable, "ssh command exited: exit status 255", "", "restic/backend/sftp"},
	{topics.CauseUnreachable, "ssh command exited: <nil>", "", "restic/backend/sftp"},
	{topics.CauseUnreachable, "unable to start the sftp session & eof", "", "restic/backend/sftp; sftp: packet.go"},
	{topics.CauseUnreachable, "unable to start the sftp session & file already closed", "", "restic/backend/sftp; go: os"},
	{topics.CauseUnreachable, "talking http to rclone & file already closed", "", "restic/backend/rclone; go: os"},
	{topics.CauseUnreachable, "server unexpectedly closed connection", "", "sftp: client.go"},
	{topics.CauseUnreachable, "failed to send packet", "", "sftp: packet.go"},
	{topics.CauseUnreachable, "broken pipe & !‹source›", "", "os: Linux; ssh; go: net"},
	{topics.CauseUnreachable, "pipe is being closed", "", "os: Windows"},
	{topics.CauseUnreachable, "pipe has been ended", "", "os: Windows"},
	{topics.CauseUnreachable, "talking http to rclone & eof", "", "restic/backend/rclone"},
	{topics.CauseUnreachable, "rclone stdio connection already closed", "", "restic/backend/rclone"},
	{topics.CauseUnreachable, "unexpected eof & http", "", "go: net/http"},
	{topics.CauseUnreachable, `": eof`, "", "go: net/http, after a URL"},
	{topics.CauseUnreachable, `": unexpected eof`, "", "go: net/http, after a URL"},
	{topics.CauseUnreachable, "client. & eof", "", "minio"},
	{topics.CauseUnreachable, "decode: eof", "", "restic/backend/rest"},
	{topics.CauseUnreachable, "decode: unexpected eof", "", "restic/backend/rest"},
	{topics.CauseUnreachable, "unexpected end of json input & decode", "", "restic/backend/rest"},
	{topics.CauseUnreachable, "circuit breaker open for file", "", "restic/backend/retry since 0.18"},
}

// status finds the HTTP status codes in the forms that restic, its libraries and rclone
// write them in: after words for it, or after a colon and before another or what servers
// call it. A bare number is none.
var status = regexp.MustCompile(`(?:response unexpected: |http response \(|server response: |response code:? |\bresponse |` +
	`status code:? ?|statuscode[:=]? ?|http code |http error:? |http status:? |googleapi: error )([45]\d\d)\b|` +
	`(?:: |^)([45]\d\d)(?:: |:?$| (?:<none>|bad |gateway |internal |service |too |request |web |origin |a timeout|connection |ssl |` +
	`invalid ssl|railgun|unauthorized|forbidden|insufficient|proxy |slow ?down|site |network |rate ))`)

func statuses(line string) (codes []string) {
	for _, m := range status.FindAllStringSubmatch(line, 4) {
		codes = append(codes, m[1]+m[2])
	}
	return codes
}

func (s sign) in(line string, codes []string) bool {
	if s.http != "" && !slices.ContainsFunc(codes, func(c string) bool { return strings.Contains(s.http, c) }) {
		return false
	}
	for w := range strings.SplitSeq(s.words, " & ") {
		if absent, not := strings.CutPrefix(w, "!"); not {
			if strings.Contains(line, absent) {
				return false
			}
		} else if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}
