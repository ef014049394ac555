package resticmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path all our packages begin with.
const module = "github.com/restic-manager/restic-manager"

// arrows lists every package of ours, sorted: which of ours it may import itself,
// and what it is for. Whoever adds a package adds its line; whoever needs another
// arrow adds it here, and says in the commit why. Test files may import what they
// like.
var arrows = []struct{ pkg, may, is string }{
	{".", "", "the table of imports"},
	{"agent", "agent/fetched agent/launcher agent/link agent/process agent/restic agent/restoring agent/sftp" +
		" agent/spool doctor failpoint location patterns private protocol release seal since slots topics" +
		" words",
		"one host's side: policy, jobs, enrolment"},
	{"agent/fetched", "agent/launcher private topics", "keeps the restic that the control plane had the agent fetch"},
	{"agent/launcher", "failpoint private release topics",
		"runs the release of the agent that an update brought, and goes back"},
	{"agent/link", "protocol seal topics", "the agent's connection, whatever is said on it"},
	{"agent/process", "private topics words", "runs programs and finds what a crash left of them"},
	{"agent/restic", "agent/process agent/sftp location since topics", "runs restic and reads what it prints, whoever asks"},
	{"agent/restic/standin", "", "a restic for tests that says what a test has it say"},
	{"agent/restoring", "agent/process agent/restic failpoint since topics",
		"a restore as a person means it, whatever the version of restic"},
	{"agent/service", "deploy doctor journal private", "has the system's manager start the agent and look after it"},
	{"agent/sftp", "agent/process location private topics",
		"how this host reaches a server by SFTP, for restic and for a knock"},
	{"agent/sftp/sshd", "", "a real SSH server for tests"},
	{"agent/spool", "agent/process protocol topics", "the agent's journal, whoever sends it"},
	{"broker", "lobby", "the MQTT broker: a pipe that does not know what messages mean"},
	{"build/everywhere", "", "type-checks what is here for other systems"},
	{"build/meeting", "", "finds where goroutines meet, for the race detector"},
	{"build/release", "release", "makes what is released beside packages: image, zip files, checksums"},
	{"build/rules", "", "it checks how code is written, and uses none of it"},
	{"build/testrun", "", "runs the tests and prints the slowest"},
	{"cmd/restic-manager", "controlplane controlplane/alerts controlplane/alerts/asked controlplane/alerts/delivery" +
		" controlplane/channels controlplane/checkup controlplane/consumers controlplane/discovery" +
		" controlplane/drills controlplane/enroll controlplane/field controlplane/fleet controlplane/handout" +
		" controlplane/health controlplane/heartbeat controlplane/hosts controlplane/importing controlplane/jobs controlplane/kit" +
		" controlplane/maintenance controlplane/metrics controlplane/mirroring controlplane/outcome" +
		" controlplane/password controlplane/pause controlplane/people controlplane/problem" +
		" controlplane/queries controlplane/reach controlplane/removal controlplane/replace" +
		" controlplane/repositories controlplane/restics controlplane/restores controlplane/retention" +
		" controlplane/rollout controlplane/schedule controlplane/search controlplane/self controlplane/shelf" +
		" controlplane/sources controlplane/space controlplane/support controlplane/uplink doctor journal" +
		" location manual protocol release since slots store store/alerts store/chain store/channels store/copies" +
		" store/drills store/heartbeats store/imports store/keyring store/kits store/slotlog topics words",
		"the control plane's main and the operator's command line, which has no page in it"},
	{"cmd/restic-manager-agent", "agent agent/launcher agent/service doctor journal manual release", "the agent's main"},
	{"controlplane", "broker controlplane/alerts controlplane/alerts/conditions controlplane/alerts/delivery" +
		" controlplane/alerts/gather controlplane/asking controlplane/audience controlplane/channels" +
		" controlplane/checkup controlplane/discovery controlplane/drills controlplane/enroll" +
		" controlplane/explorer controlplane/fleet controlplane/handout controlplane/heartbeat" +
		" controlplane/hosts controlplane/jobs controlplane/maintenance controlplane/metrics" +
		" controlplane/mirroring controlplane/notices controlplane/outbox controlplane/password" +
		" controlplane/pause controlplane/people controlplane/public controlplane/queries controlplane/reach" +
		" controlplane/rekey controlplane/removal controlplane/replace controlplane/restics" +
		" controlplane/rights controlplane/rollout controlplane/schedule controlplane/self controlplane/shelf" +
		" controlplane/space controlplane/support controlplane/upkeep controlplane/uplink controlplane/web" +
		" controlplane/web/base controlplane/zone doctor failpoint lobby private protocol release seal store" +
		" store/access store/alerts store/copies store/keyring store/room store/sweep topics words",
		"composes the control plane into one Run"},
	{"controlplane/alerts", "controlplane/alerts/conditions controlplane/alerts/life controlplane/alerts/routing" +
		" controlplane/channels controlplane/field controlplane/notices store store/alerts store/channels topics" +
		" words",
		"alerts from when they begin until they are over, and what people do about them"},
	{"controlplane/alerts/asked", "controlplane/alerts/conditions controlplane/alerts/routing store topics",
		"how programs write down who is told of what, with names for IDs"},
	{"controlplane/alerts/conditions", "controlplane/health controlplane/protection store/alerts store/drills store/facts" +
		" store/pauses topics words",
		"which conditions hold, from facts; pure"},
	{"controlplane/alerts/delivery", "controlplane/alerts/conditions controlplane/alerts/routing" +
		" controlplane/channels controlplane/fleet" +
		" controlplane/hosts controlplane/protection failpoint store store/alerts store/channels store/drills topics words",
		"tells channels what they are to hear, at least once and in order"},
	{"controlplane/alerts/gather", "controlplane/alerts/conditions controlplane/drills controlplane/fleet controlplane/health" +
		" controlplane/hosts controlplane/jobs controlplane/maintenance controlplane/notices controlplane/protection" +
		" controlplane/schedule store store/alerts store/column store/drills store/endings store/facts store/intake" +
		" store/looks store/places topics words",
		"reads the facts that conditions are found in"},
	{"controlplane/alerts/life", "controlplane/alerts/conditions controlplane/alerts/routing store/alerts store/channels",
		"how alerts begin, go on and end; pure"},
	{"controlplane/alerts/routing", "controlplane/alerts/conditions controlplane/field slots store/alerts store/channels topics words",
		"who hears of which alert, and when; pure"},
	{"controlplane/asking", "controlplane/field controlplane/jobs controlplane/outbox controlplane/pause controlplane/permits" +
		" controlplane/problem controlplane/rights location protocol store topics words",
		"carries out what MQTT consumers ask for, whichever broker it came by"},
	{"controlplane/audience", "store/access topics", "which of the public topics a consumer hears of; pure"},
	{"controlplane/channels", "controlplane/alerts/conditions controlplane/field store store/alerts" +
		" store/channels store/column topics words",
		"tells people outside, whatever there is to tell"},
	{"controlplane/checkup", "controlplane/knock controlplane/space doctor store/copies store/inspect store/keyring",
		"what doctor looks at of a control plane, beside it"},
	{"controlplane/consumers", "controlplane/field controlplane/hosts controlplane/password controlplane/rights store",
		"credentials of MQTT consumers"},
	{"controlplane/difference", "topics", "what changed between two snapshots, by folder; pure"},
	{"controlplane/discovery", "controlplane/field controlplane/fleet controlplane/health controlplane/hosts controlplane/outbox" +
		" controlplane/protection store store/column store/discoveries store/drills topics",
		"tells Home Assistant which hosts and repositories there are"},
	{"controlplane/drills", "controlplane/field controlplane/hosts controlplane/jobs controlplane/rights slots store" +
		" store/drills topics",
		"has hosts prove that what they saved can be restored, when asked and when due"},
	{"controlplane/enroll", "controlplane/field controlplane/hosts controlplane/succession controlplane/tidy" +
		" failpoint protocol seal store" +
		" store/admission topics words",
		"lets hosts in"},
	{"controlplane/explorer", "", "what consumers can read at our broker: topics by level, and what goes by"},
	{"controlplane/field", "words", "checks what people type, and knows no subject"},
	{"controlplane/firststeps", "controlplane/fleet controlplane/hosts controlplane/knock controlplane/reach store/drills" +
		" store/firststeps topics words", "how far the first steps are; pure"},
	{"controlplane/fleet", "controlplane/health controlplane/hosts controlplane/jobs controlplane/protection slots store" +
		" store/drills store/facts store/promise topics",
		"what is true of the fleet, whoever shows it"},
	{"controlplane/handout", "controlplane/field controlplane/reach controlplane/shelf release topics words",
		"hands the agent out to hosts, and what installs it"},
	{"controlplane/health", "slots store/facts store/looks store/places topics words",
		"how a repository is, from what hosts last found there"},
	{"controlplane/heartbeat", "controlplane/field controlplane/notices failpoint store store/heartbeats topics words",
		"tells other services that the control plane works, and of good backups"},
	{"controlplane/hosts", "controlplane/field store store/removal store/twins topics", "what is known of connected hosts"},
	{"controlplane/importing", "controlplane/field controlplane/repositories controlplane/retention store store/imports topics words",
		"whose the snapshots are that no job of ours made, once a person has confirmed"},
	{"controlplane/jobs", "controlplane/hosts controlplane/outcome controlplane/permits controlplane/progress controlplane/restores" +
		" controlplane/rights controlplane/tidy failpoint location protocol seal since store store/keyring store/places" +
		" topics words",
		"asks hosts for jobs and follows them"},
	{"controlplane/kit", "location store store/kits store/places topics words", "emergency kits"},
	{"controlplane/knock", "topics", "dials an address to see whether it leads here"},
	{"controlplane/maintenance", "controlplane/field controlplane/jobs controlplane/repositories controlplane/retention" +
		" controlplane/rights controlplane/schedule failpoint location store store/replacing store/reviews topics words",
		"forgets, prunes and checks when it is time"},
	{"controlplane/mend", "controlplane/outcome store store/looks topics words",
		"how a damaged repository is put in order, step by step"},
	{"controlplane/metrics", "broker controlplane/fleet controlplane/health controlplane/hosts controlplane/jobs controlplane/notices" +
		" controlplane/protection controlplane/space location store store/alerts store/gauges store/looks topics",
		"what programs that watch read: one page of text"},
	{"controlplane/mirroring", "controlplane/field controlplane/jobs controlplane/permits controlplane/repositories" +
		" controlplane/schedule location slots store store/mirrors topics",
		"copies repositories into their mirrors when it is time"},
	{"controlplane/moments", "controlplane/protection store store/moments topics words",
		"the moments somebody may want to go back to, whoever lists them"},
	{"controlplane/notices", "",
		"what people should know about the control plane itself, whoever says it and whoever shows it"},
	{"controlplane/outbox", "failpoint store/outbox topics", "what is said to brokers that others listen to"},
	{"controlplane/outcome", "store topics words", "says in a line what a job did"},
	{"controlplane/password", "", "hashes passwords and keys"},
	{"controlplane/pause", "controlplane/field controlplane/hosts store store/pauses topics",
		"pauses a host's schedules, whoever asks"},
	{"controlplane/people", "controlplane/field controlplane/password controlplane/rights" +
		" controlplane/zone store store/access topics words",
		"who may sign in; no page"},
	{"controlplane/permits", "location store topics words",
		"what a host's policy forbids, and the command that permits it"},
	{"controlplane/plain", "controlplane/kit location patterns topics", "commands that bring files back with restic alone"},
	{"controlplane/problem", "controlplane/alerts/conditions controlplane/consumers controlplane/drills controlplane/enroll" +
		" controlplane/field controlplane/hosts controlplane/importing controlplane/jobs controlplane/maintenance" +
		" controlplane/mirroring controlplane/pause controlplane/people controlplane/permits" +
		" controlplane/queries controlplane/rekey controlplane/removal controlplane/repositories" +
		" controlplane/restics controlplane/restores controlplane/retention controlplane/rollout" +
		" controlplane/schedule controlplane/sources controlplane/succession store store/admission" +
		" store/alerts store/channels store/discoveries store/heartbeats store/imports store/places store/replacing" +
		" store/room store/uplinks topics words",
		"words the errors of all others, which never import it"},
	{"controlplane/progress", "store topics words",
		"says how far a running job is, to whoever asks"},
	{"controlplane/protection", "controlplane/health slots store/facts store/pauses topics words",
		"how well a group is protected; pure, whoever shows it"},
	{"controlplane/public", "controlplane/fleet controlplane/health controlplane/hosts controlplane/jobs controlplane/outbox" +
		" controlplane/outcome controlplane/progress controlplane/protection store store/looks topics words",
		"publishes what consumers read"},
	{"controlplane/queries", "controlplane/hosts controlplane/jobs controlplane/permits controlplane/rights controlplane/tidy location" +
		" store store/places topics words",
		"asks hosts for what a person waits for"},
	{"controlplane/reach", "controlplane/field controlplane/knock store", "at which address agents reach the control plane"},
	{"controlplane/rekey", "controlplane/field controlplane/jobs controlplane/permits failpoint location store store/passwords" +
		" store/places topics words",
		"changes the passwords of repositories, and adds and removes single keys"},
	{"controlplane/removal", "controlplane/field store store/removal topics", "removes what is in care, and brings it back"},
	{"controlplane/replace", "controlplane/enroll controlplane/field controlplane/hosts controlplane/notices controlplane/permits" +
		" location store store/places store/replacing topics words",
		"puts another machine in the place of a lost one"},
	{"controlplane/repositories", "controlplane/field controlplane/jobs controlplane/permits controlplane/retention" +
		" controlplane/rights location store store/places topics words",
		"adds, changes and removes repositories"},
	{"controlplane/restics", "controlplane/field controlplane/fleet controlplane/hosts since store topics words",
		"which restic runs where, and what each lacks"},
	{"controlplane/restores", "controlplane/hosts location since store topics words",
		"the rules of asking for a restore, below those who ask"},
	{"controlplane/retention", "controlplane/schedule slots store store/places store/reviews topics words",
		"which snapshots stay"},
	{"controlplane/rights", "store topics", "who may do what, by their role"},
	{"controlplane/rollout", "controlplane/field controlplane/fleet controlplane/hosts controlplane/jobs controlplane/notices" +
		" controlplane/permits controlplane/protection controlplane/shelf release store store/rollouts topics words",
		"updates agents, a few first and then more, and stops if that goes badly"},
	{"controlplane/schedule", "controlplane/field protocol slots store store/slotlog topics words",
		"schedules: saved, standing, fired"},
	{"controlplane/search", "controlplane/field controlplane/jobs controlplane/queries store store/places topics",
		"looks for files in snapshots, whoever asks"},
	{"controlplane/self", "controlplane/notices location store store/copies store/restored store/room topics",
		"copies the control plane, and asks whom a copy trusts"},
	{"controlplane/shelf", "release", "reads the release that lies beside the agents"},
	{"controlplane/sources", "controlplane/field controlplane/repositories location patterns store store/facts topics words",
		"what hosts back up"},
	{"controlplane/space", "controlplane/notices store/room words",
		"how much room the control plane's disk has, and what it then does no longer"},
	{"controlplane/succession", "", "which identity of ours a host is to use while one follows another; pure"},
	{"controlplane/support", "controlplane/notices store/inspect", "what goes into a support bundle, whoever makes it"},
	{"controlplane/targets", "controlplane/hosts controlplane/jobs controlplane/permits controlplane/restores location store" +
		" store/places topics", "to which hosts a restore can go, and why not to the others"},
	{"controlplane/tidy", "topics words", "bounds and cleans what a host says of itself"},
	{"controlplane/trial", "location topics", "tries where backups are to go, as far as it is seen from here"},
	{"controlplane/upkeep", "controlplane/notices store store/mark", "looks after the database's file while it is served"},
	{"controlplane/uplink", "controlplane/field controlplane/notices controlplane/outbox store store/uplinks topics words",
		"speaks with a broker of the user's own, whoever has something to say"},
	{"controlplane/web", "controlplane/handout controlplane/problem controlplane/rights controlplane/web/accounts" +
		" controlplane/web/alertpages controlplane/web/api controlplane/web/base controlplane/web/jobpages" +
		" controlplane/web/layout controlplane/web/live controlplane/web/mqttpages controlplane/web/pages" +
		" controlplane/web/removalpages controlplane/web/replacepages controlplane/web/repositorypages" +
		" controlplane/web/restorepages controlplane/web/session controlplane/web/updatepages lobby location store" +
		" store/room topics views",
		"the server: its one list of routes, and what guards them"},
	{"controlplane/web/accounts", "controlplane/alerts controlplane/field controlplane/people" +
		" controlplane/problem controlplane/reach" +
		" controlplane/rights controlplane/self controlplane/web/base controlplane/web/layout" +
		" controlplane/web/session controlplane/zone store views words",
		"pages about who may sign in"},
	{"controlplane/web/alertpages", "controlplane/alerts controlplane/alerts/conditions controlplane/alerts/routing controlplane/channels" +
		" controlplane/field controlplane/fleet controlplane/heartbeat controlplane/hosts controlplane/jobs" +
		" controlplane/problem controlplane/rights controlplane/web/base controlplane/web/layout" +
		" controlplane/web/session store store/alerts store/channels store/heartbeats topics views words",
		"pages about alerts, and about who is told of what"},
	{"controlplane/web/api", "controlplane/alerts controlplane/alerts/asked controlplane/channels controlplane/consumers" +
		" controlplane/drills controlplane/enroll controlplane/field controlplane/fleet controlplane/handout" +
		" controlplane/health controlplane/heartbeat controlplane/hosts controlplane/importing controlplane/jobs" +
		" controlplane/maintenance controlplane/mirroring controlplane/outcome controlplane/people" +
		" controlplane/problem controlplane/progress controlplane/protection controlplane/queries" +
		" controlplane/rekey controlplane/removal controlplane/replace controlplane/repositories" +
		" controlplane/restics controlplane/restores controlplane/retention controlplane/rights" +
		" controlplane/rollout controlplane/schedule controlplane/search controlplane/sources" +
		" controlplane/uplink controlplane/web/base controlplane/web/session location protocol since store" +
		" store/admission store/alerts store/channels store/drills store/heartbeats store/imports store/replacing" +
		" store/rollouts store/slotlog topics words",
		"operations of the API: read the request, ask one package, answer"},
	{"controlplane/web/base", "controlplane/alerts controlplane/channels controlplane/consumers controlplane/discovery" +
		" controlplane/drills controlplane/enroll controlplane/explorer controlplane/fleet" +
		" controlplane/handout controlplane/health controlplane/heartbeat controlplane/hosts controlplane/importing controlplane/jobs" +
		" controlplane/maintenance controlplane/mirroring controlplane/notices controlplane/pause" +
		" controlplane/people controlplane/problem controlplane/queries controlplane/reach controlplane/rekey" +
		" controlplane/removal controlplane/replace controlplane/repositories controlplane/restics" +
		" controlplane/retention controlplane/rights controlplane/rollout controlplane/schedule" +
		" controlplane/self controlplane/shelf controlplane/sources controlplane/space controlplane/targets" +
		" controlplane/uplink controlplane/web/session protocol release store store/chain store/slotlog topics" +
		" words",
		"what pages and API both need: what they ask, rows by ID, problems as statuses"},
	{"controlplane/web/jobpages", "controlplane/difference controlplane/field controlplane/fleet controlplane/hosts controlplane/jobs" +
		" controlplane/outcome controlplane/permits controlplane/plain controlplane/problem controlplane/progress" +
		" controlplane/queries controlplane/restores controlplane/rights controlplane/search controlplane/sources" +
		" controlplane/web/base controlplane/web/layout controlplane/web/live controlplane/web/session location" +
		" protocol store store/drafts store/places topics views words",
		"pages about jobs"},
	{"controlplane/web/layout", "controlplane/alerts/conditions controlplane/field controlplane/firststeps controlplane/fleet" +
		" controlplane/hosts controlplane/jobs controlplane/notices controlplane/outcome controlplane/problem" +
		" controlplane/progress controlplane/removal controlplane/retention controlplane/rights" +
		" controlplane/web/base controlplane/web/live controlplane/web/session controlplane/zone protocol store" +
		" store/alerts topics views words",
		"what all pages share, and no page"},
	{"controlplane/web/live", "controlplane/hosts topics views", "keeps an open page true, whichever it is"},
	{"controlplane/web/mqttpages", "controlplane/consumers controlplane/discovery controlplane/explorer controlplane/field" +
		" controlplane/fleet controlplane/hosts controlplane/outbox controlplane/problem controlplane/rights controlplane/uplink" +
		" controlplane/web/base controlplane/web/layout" +
		" controlplane/web/session store topics views words",
		"pages about MQTT: the brokers, what is published there, and who listens"},
	{"controlplane/web/pages", "controlplane/alerts controlplane/drills controlplane/enroll controlplane/field" +
		" controlplane/firststeps controlplane/fleet controlplane/handout controlplane/hosts controlplane/jobs" +
		" controlplane/knock controlplane/problem controlplane/protection controlplane/queries" +
		" controlplane/reach controlplane/replace controlplane/repositories controlplane/restics" +
		" controlplane/rights controlplane/schedule controlplane/search controlplane/sources" +
		" controlplane/web/base controlplane/web/layout controlplane/web/live controlplane/web/session" +
		" controlplane/zone location slots store store/admission store/drills store/intake store/kits" +
		" store/slotlog topics views words",
		"pages about hosts: read the request, ask one package, answer"},
	{"controlplane/web/removalpages", "controlplane/field controlplane/hosts controlplane/problem controlplane/removal" +
		" controlplane/web/base controlplane/web/layout controlplane/web/session topics views words",
		"pages that remove and bring back"},
	{"controlplane/web/replacepages", "controlplane/enroll controlplane/field controlplane/hosts" +
		" controlplane/problem controlplane/replace" +
		" controlplane/web/base controlplane/web/layout controlplane/web/session store store/replacing topics views words",
		"pages on which another machine takes the place of a lost one"},
	{"controlplane/web/repositorypages", "controlplane/field controlplane/fleet controlplane/health" +
		" controlplane/importing controlplane/jobs controlplane/kit controlplane/maintenance controlplane/mend" +
		" controlplane/mirroring controlplane/outcome controlplane/plain controlplane/problem controlplane/rekey controlplane/removal" +
		" controlplane/repositories controlplane/restores controlplane/retention controlplane/rights" +
		" controlplane/trial controlplane/web/base controlplane/web/layout controlplane/web/session location" +
		" location/storage store store/imports store/kits store/looks store/passwords store/places topics views words",
		"pages about repositories"},
	{"controlplane/web/restorepages", "controlplane/fleet controlplane/jobs controlplane/moments controlplane/permits controlplane/plain" +
		" controlplane/problem controlplane/queries controlplane/restores controlplane/rights" +
		" controlplane/targets controlplane/web/base controlplane/web/layout controlplane/web/session location" +
		" since store store/drafts store/places topics views words",
		"pages that put a restore together"},
	{"controlplane/web/session", "controlplane/jobs controlplane/password controlplane/problem controlplane/rights store store/room topics" +
		" words",
		"who sent a request; no page"},
	{"controlplane/web/updatepages", "controlplane/field controlplane/fleet controlplane/problem controlplane/restics controlplane/rollout" +
		" controlplane/shelf controlplane/web/base controlplane/web/layout controlplane/web/session since" +
		" store/rollouts topics views words",
		"the pages about versions of agents"},
	{"controlplane/zone", "", "in which time zone somebody sees moments"},
	{"deploy", "", "the systemd units, which whoever installs one has with them"},
	{"doctor", "", "what a finding is, how checks are run and shown; both programs"},
	{"e2e", "", "tests of both programs together"},
	{"e2e/bench", "", "benchmarks of both programs together"},
	{"e2e/evil", "", "tests with a side that has turned against us"},
	{"e2e/fault", "", "tests with kills, cuts and full disks"},
	{"e2e/fleet", "controlplane/password store topics", "makes databases of large installations"},
	{"e2e/fleet/gen", "e2e/fleet", "the generator's command"},
	{"e2e/homeassistant", "", "a consumer that behaves like Home Assistant, and knows nothing of how it is told"},
	{"e2e/resticrepo", "", "repositories for tests"},
	{"e2e/s3server", "", "a server that speaks S3 for tests, and refuses as S3 does"},
	{"e2e/units", "", "tests of the systemd units in a booted machine"},
	{"e2e/world", "", "what tests of whole systems share: waiting, processes, ports"},
	{"failpoint", "", "kills the process where a test asks; it is in everything that must not lose anything"},
	{"journal", "", "how bad each line of a log is, for systemd's journal; both programs"},
	{"lobby", "", "how many connections a port may have, and who has to go; knows no protocol"},
	{"location", "since", "a repository's address, which both sides read alike"},
	{"location/storage", "location", "the kinds of storage as forms have them, and the addresses they make"},
	{"manual", "", "manual pages, made of the command lines"},
	{"patterns", "", "what restic's patterns leave out, which both sides have to know"},
	{"private", "", "files nobody else may read, for both programs"},
	{"protocol", "topics", "the two step functions, simulated without disk, network or clock"},
	{"protocol/protocoltest", "protocol topics", "simulates and compares journals"},
	{"release", "", "what a release of the agent consists of, and whether to believe it"},
	{"seal", "", "keeps a payload between two parties, whatever it says"},
	{"since", "", "which version of restic brought what, and what older ones do instead"},
	{"slots", "", "when a slot is; depends on nothing but the plan and the moment"},
	{"store", "failpoint location private protocol slots store/access store/admission store/alerts store/atonce" +
		" store/auditlog store/chain store/changes store/channels store/column store/copies store/discoveries" +
		" store/drafts store/drills store/endings store/facts store/firststeps store/found store/gauges" +
		" store/having store/heartbeats store/imports store/inspect store/intake store/joblog store/keyring store/kits" +
		" store/looks store/mark store/migrations store/mirrors store/moments store/outbox store/passwords" +
		" store/pauses store/places store/prepared store/promise store/removal store/replacing store/restored" +
		" store/reviews store/rollouts store/room store/scan store/slotlog store/snapshots store/standard" +
		" store/sweep store/triggers store/twins store/uplinks topics",
		"keeps rows, whoever asks"},
	{"store/access", "store/column", "roles, and what programs come in with"},
	{"store/admission", "store/column topics", "what new hosts are let in with"},
	{"store/alerts", "store/column store/scan topics", "alerts, and what people set about being told"},
	{"store/atonce", "topics", "how many jobs hosts run at once"},
	{"store/auditlog", "store/chain store/column", "entries of the audit log, and the search for some"},
	{"store/chain", "", "hashes that link the audit log"},
	{"store/changes", "topics", "words what became of what, for the audit log"},
	{"store/channels", "store/alerts store/changes store/column store/scan topics",
		"where people are told, and the queue of what goes there"},
	{"store/column", "", "values that a column keeps as JSON"},
	{"store/copies", "private", "copies of the database, and which are kept"},
	{"store/discoveries", "store/column", "what is set about Home Assistant, and what brokers were told for it"},
	{"store/drafts", "store/column topics", "restores that people put together"},
	{"store/drills", "topics", "when restores are tried, and what came of it"},
	{"store/endings", "store/column store/facts store/scan topics", "how jobs ended, as long as somebody should be told of it"},
	{"store/facts", "store/scan topics", "what can be restored of each source group"},
	{"store/firststeps", "topics", "what the first steps are judged by"},
	{"store/found", "topics", "stores what jobs find in repositories: keys, locks, sizes"},
	{"store/gauges", "topics", "what is measured of the database, for programs that watch"},
	{"store/having", "topics", "which repositories a host has"},
	{"store/heartbeats", "topics", "addresses that are told that all is well, and the queue of what is said to them"},
	{"store/imports", "store/column store/drills store/places store/prepared store/snapshots topics",
		"snapshots that a person took in, and which source group they were given to"},
	{"store/inspect", "store/copies store/keyring store/mark store/migrations", "looks at a database before it is opened"},
	{"store/intake", "protocol slots topics", "bounds what a host may say"},
	{"store/joblog", "protocol store/prepared topics", "stores what jobs log"},
	{"store/keyring", "private topics", "keys of the secrets at rest; no SQL"},
	{"store/kits", "", "when emergency kits were last shown"},
	{"store/looks", "store/facts store/places store/scan store/snapshots topics",
		"what hosts last found when they looked at a repository"},
	{"store/mark", "private store/chain store/keyring", "how far the database had come, kept apart from it"},
	{"store/migrations", "", "the schema, step by step"},
	{"store/mirrors", "topics", "which repositories are copied into another one, and what that one lacks"},
	{"store/moments", "store/column store/snapshots topics", "lists snapshots with what those before them held"},
	{"store/outbox", "store/scan topics", "what is said to brokers that others listen to, and how far they have come"},
	{"store/passwords", "topics",
		"how passwords of repositories are changed: rows of changes, places and hosts"},
	{"store/pauses", "slots", "when a host's schedules are paused"},
	{"store/places", "location protocol store/column topics", "where repositories lie, and since when there is one"},
	{"store/prepared", "", "statements that are parsed once a transaction"},
	{"store/promise", "store/drills store/facts store/looks topics", "what protection is judged by, read in one go"},
	{"store/removal", "protocol store/column topics", "puts rows of what was removed aside, and brings them back"},
	{"store/replacing", "store/column topics", "hosts whose machine is lost and another one takes its place"},
	{"store/restored", "topics", "what a control plane that was restored from a copy has to ask"},
	{"store/reviews", "store/column topics", "plans that wait for a person, and what a person approved"},
	{"store/rollouts", "topics", "how agents are updated, a few first and then more"},
	{"store/room", "", "whether the database can be written, and why not"},
	{"store/scan", "", "reads all rows of a query"},
	{"store/slotlog", "store/scan topics", "what became of every slot"},
	{"store/snapshots", "store/column store/prepared topics", "which snapshots exist, which are gone and which are lost"},
	{"store/standard", "protocol store/facts topics", "what the next backup of a source group is judged by"},
	{"store/storetest", "", "databases for tests"},
	{"store/sweep", "store/alerts store/intake store/rollouts topics", "removes old rows in small transactions"},
	{"store/triggers", "", "what the database does by itself with each change"},
	{"store/twins", "protocol store/column topics", "the machines that use one host's identity"},
	{"store/uplinks", "topics", "how the user's own broker is reached, and what is retained there"},
	{"topics", "", "the conversation between the two sides"},
	{"views", "words", "pages: handlers decide what is true, these only show it"},
	{"words", "", "how sizes, moments and foreign text are shown"},
}

// bans are about everything that is linked: the imports of imports count. A package
// with /… stands for all below it, too.
var bans = []struct{ pkg, not, because string }{
	{"topics", others, "whoever speaks our language needs no library for it"},
	{"seal", others, "the fewer people can change how secrets are kept, the better"},
	{"failpoint", others, "it is in everything that must not lose anything"},
	{"private", others, "both programs keep their files with it"},
	{"protocol", others, "it decides, and is simulated without disk, network or clock"},
	{"patterns", others, "both sides read a pattern alike"},
	{"since", others, "both sides read a version alike"},
	{"location", others, "both sides read an address alike"},
	{"words", others, "how a size or a moment is told depends on nothing else"},
	{"controlplane/field", others, "the rules of what people type know no subject"},
	{"broker", "database/sql", "the broker is a pipe and remembers nothing"},
	{"store/keyring", others, "the fewer people can change how secrets are kept, the better"},
	{"store", "net/http store/passwords",
		"a database that speaks HTTP has two jobs"},
	{"store", "github.com/mochi-mqtt/server/v2 store/passwords",
		"the store knows no MQTT"},
	{"store", "github.com/eclipse/paho.mqtt.golang store/passwords",
		"the store knows no MQTT"},
	{"agent/…", "database/sql", "the agent never links a database"},
	{"agent/…", "github.com/jmoiron/sqlx", "the agent never links a database"},
	{"agent/…", "modernc.org/sqlite", "the agent never links a database"},
	{"agent/…", "github.com/go-chi/chi/v5", "nobody calls an agent, it calls"},
	{"agent/…", "github.com/a-h/templ", "the agent has no pages"},
	{"agent/…", "github.com/mochi-mqtt/server/v2", "the broker is elsewhere"},
	{"cmd/restic-manager-agent", "database/sql", "the agent never links a database"},
	{"controlplane/…", "agent/…", "the two sides meet in topics"},
	{"cmd/restic-manager", "agent/…", "the two sides meet in topics; the demo starts the agent's own program"},
	{"controlplane/problem", "controlplane/rekey net/http",
		"the command line words its failures with it, too"},
	{"controlplane/web/api", "controlplane/progress controlplane/rekey github.com/a-h/templ",
		"the API has no pages"},
	{"controlplane/web/session", "github.com/a-h/templ", "who sent a request does not depend on what it is answered with"},
	{"controlplane/fleet", "net/http", "what is true of the fleet does not depend on who shows it"},
	{"cmd/restic-manager", "testing", "what is shipped does not carry the tests"},
	{"cmd/restic-manager-agent", "testing", "what is shipped does not carry the tests"},
}

// others stands for anything that is neither ours nor the standard library's.
const others = "others"

// keepers are the only packages of ours that import a library themselves, so
// that another could take its place.
var keepers = []struct {
	library string
	only    []string
	because string
}{
	{"github.com/mochi-mqtt/server/v2", []string{"broker"}, "a patched copy or another broker may replace it"},
	{"github.com/eclipse/paho.mqtt.golang", []string{"agent/link", "controlplane/uplink", "e2e/homeassistant"},
		"its habits are known in one place"},
	{"go.etcd.io/bbolt", []string{"agent/spool"}, "the journal is one thing"},
	{"modernc.org/sqlite", []string{"store", "store/room"}, "SQL is written in one place"},
	{"github.com/jmoiron/sqlx", []string{"store", "store/access", "store/admission", "store/alerts",
		"store/atonce", "store/auditlog", "store/channels",
		"store/copies", "store/drafts",
		"store/drills", "store/endings",
		"store/facts", "store/firststeps",
		"store/discoveries", "store/found", "store/gauges",
		"store/having", "store/heartbeats", "store/imports", "store/inspect", "store/intake", "store/joblog", "store/kits", "store/looks",
		"store/mark",
		"store/mirrors",
		"store/moments", "store/outbox", "store/passwords",
		"store/places",
		"store/prepared", "store/promise", "store/removal", "store/restored", "store/reviews", "store/rollouts", "store/room",
		"store/scan", "store/slotlog",
		"store/replacing",
		"store/snapshots", "store/standard",
		"store/sweep", "store/triggers", "store/twins", "store/uplinks"}, "SQL is written in one place"},
	{"github.com/pressly/goose/v3", []string{"store/migrations"}, "SQL is written in one place"},
	{"database/sql", []string{"store", "store/admission", "store/channels", "store/column",
		"store/endings", "store/facts", "store/found", "store/imports", "store/intake",
		"store/mark", "store/migrations",
		"store/passwords",
		"store/places", "store/prepared", "store/replacing", "store/reviews", "store/rollouts", "store/scan", "store/snapshots",
		"store/standard", "store/triggers", "e2e/fleet"},
		"SQL is written in one place; databases for tests are filled in bulk"},
	{"github.com/netresearch/go-cron", []string{"slots"}, "where libraries differ, what we mean is written once"},
	{"github.com/a-h/templ", []string{"views", "controlplane/web/layout", "controlplane/web/live"},
		"pages are made in one place and answered with in another"},
	{"github.com/go-chi/chi/v5", []string{"controlplane/web", "controlplane/web/base"}, "all routes stand in one list"},
	{"github.com/danielgtaylor/huma/v2", []string{"controlplane/web", "controlplane/web/api"}, "all routes stand in one list"},
	{"github.com/alexedwards/scs/v2", []string{"controlplane/web/session"}, "who is signed in is asked in one place"},
	{"github.com/prometheus/client_golang", []string{"controlplane/metrics"}, "every metric stands in one table"},
	{"github.com/prometheus/common", []string{"controlplane/metrics"}, "every metric stands in one table"},
	{"github.com/nicholas-fedor/shoutrrr", []string{"controlplane/channels"}, "how people are told is known in one place"},
	{"github.com/wneessen/go-mail", []string{"controlplane/channels"}, "how people are told is known in one place"},
	{"github.com/johannesboyne/gofakes3", []string{"e2e/s3server"}, "what it does not refuse is refused in one place"},
	{"github.com/alecthomas/kong", []string{"cmd/restic-manager", "cmd/restic-manager-agent", "manual"},
		"configuration is filled in cmd alone; manual pages are made of it"},
}

// A listed package is one as the go command tells it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// packages lists all packages and what they link, as built for Linux and Windows
// together.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	// The go command takes note of the directories a test reads, and does not call an
	// old result valid once one of them has changed.
	if err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".") {
			return filepath.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	all := map[string]listed{}
	for _, system := range []string{"linux", "windows"} {
		cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", module+"/...")
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list for %s: %v", system, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p listed
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("go list for %s: %v", system, err)
			}
			if was, ok := all[p.ImportPath]; ok {
				p.Imports, p.Deps = append(p.Imports, was.Imports...), append(p.Deps, was.Deps...)
			}
			all[p.ImportPath] = p
		}
	}
	return all
}

// ours returns a package's name below the module, "." for the module's root.
func ours(path string) (name string, ok bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// under reports whether a package is the one meant, or below one with /….
func under(path, name string) bool {
	for _, full := range []string{name, module + "/" + name} {
		tree, wide := strings.CutSuffix(full, "/…")
		if path == tree || wide && strings.HasPrefix(path, tree+"/") {
			return true
		}
	}
	return false
}

func unique(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func TestImportsPointOneWay(t *testing.T) {
	all := packages(t)
	rows := map[string][]string{}
	last := ""
	for _, a := range arrows {
		may := strings.Fields(a.may)
		if a.pkg <= last {
			t.Errorf("the line of %s is not in its place, or there twice: the table is sorted", a.pkg)
		}
		if !slices.IsSorted(may) {
			t.Errorf("what %s may import is not sorted", a.pkg)
		}
		if a.is == "" {
			t.Errorf("the line of %s does not say what it is for", a.pkg)
		}
		rows[a.pkg], last = may, a.pkg
		if _, there := all[strings.TrimSuffix(module+"/"+a.pkg, "/.")]; !there {
			t.Errorf("there is no package %s; take its line out of the table", a.pkg)
		}
	}
	for pkg, may := range rows {
		for _, i := range may {
			if _, there := rows[i]; !there {
				t.Errorf("the line of %s allows %s, which is no package", pkg, i)
			}
		}
	}
	for path, p := range all {
		name, is := ours(path)
		if !is {
			continue
		}
		may, known := rows[name]
		var imports []string
		for _, i := range unique(p.Imports) {
			if i, is := ours(i); is {
				imports = append(imports, i)
			}
		}
		if !known {
			t.Errorf("%s has no line in the table; add {%q, %q, \"what it is for\"}", name, name, strings.Join(imports, " "))
			continue
		}
		for _, i := range imports {
			if !slices.Contains(may, i) {
				t.Errorf("%s imports %s, and its line does not allow that", name, i)
			}
		}
	}
}

func TestNobodyLinksWhatIsNotForThem(t *testing.T) {
	all := packages(t)
	for _, b := range bans {
		found := false
		for path, p := range all {
			if _, is := ours(path); !is || !under(path, b.pkg) {
				continue
			}
			found = true
			for _, dep := range unique(p.Deps) {
				forbidden := under(dep, b.not)
				if _, is := ours(dep); b.not == others {
					forbidden = !all[dep].Standard && !is
				}
				if forbidden {
					t.Errorf("%s must not link %s: %s", path, dep, b.because)
				}
			}
		}
		if !found {
			t.Errorf("there is no package %s; the table of bans is out of date", b.pkg)
		}
	}
}

func TestLibrariesHaveOneKeeper(t *testing.T) {
	all := packages(t)
	for _, k := range keepers {
		found := false
		for path, p := range all {
			if _, is := ours(path); !is || !slices.ContainsFunc(p.Imports, func(i string) bool {
				return i == k.library || k.library != "database/sql" && strings.HasPrefix(i, k.library+"/")
			}) {
				continue
			}
			found = true
			if !slices.ContainsFunc(k.only, func(o string) bool { return under(path, o) }) {
				t.Errorf("%s imports %s, only %s may: %s", path, k.library, strings.Join(k.only, " and "), k.because)
			}
		}
		if !found {
			t.Errorf("nothing imports %s; the table of keepers is out of date", k.library)
		}
	}
}
