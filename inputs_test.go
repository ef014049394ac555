package resticmanager

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An input is a class of what somebody might send, write or have on disk to do us harm,
// and the test in which it is tried; or why nobody can.
type input struct {
	what  string
	tried string // "DIRECTORY TEST", or "DIRECTORY TEST: TEXT", a text that stands in the tests there
	not   string // why it does not apply
}

const (
	wire     = "broker TestWhatNoClientShouldSayCostsNobodyElse"
	web      = "e2e/evil TestRequestsNoBrowserSendsAreAnsweredOrEnded"
	payload  = "topics TestPayloadsNobodySends"
	evilHost = "e2e/evil TestAnEvilControlPlaneGetsNothingBeyondThePolicy"
	thief    = "e2e/evil TestAStolenAgentSpeaksForItselfAlone"
	hostile  = "e2e TestWhatAHostSaysIsOnlyText"
	output   = "agent/restic TestOutputNobodyWouldExpect"
	doors    = "cmd/restic-manager TestEveryDoorHasTheSameRules"

	noSecondFactor = "there is no second factor yet"
	noOIDC         = "nobody signs in through another provider yet"
	typedAddresses = "channels are for administrators, who may name any address: a network of their own needs no name outside"
	noUpdates      = "agents do not update themselves yet"
	noPostgreSQL   = "SQLite is the only database yet"
	ofMQTT5        = "agents speak MQTT 3.1.1 alone"
)

var inputs = []input{
	// MQTT, byte by byte
	{"no bytes", "broker TestNobodyMayKeepAConnectionForNothing: silent", ""},
	{"one byte", wire + ": one byte", ""},
	{"a TLS hello, then silence", "broker TestNobodyMayKeepAConnectionForNothing: half a handshake", ""},
	{"MQTT in clear on the TLS port", "broker TestNobodyMayKeepAConnectionForNothing: MQTT without TLS", ""},
	{"HTTP on the MQTT port", wire + ": HTTP", ""},
	{"a first packet that is no CONNECT", "broker TestNobodyMayKeepAConnectionForNothing: a PUBLISH to begin with", ""},
	{"a second CONNECT", wire + ": a second CONNECT", ""},
	{"a wrong protocol name", wire + ": a protocol name of 60,000 bytes", ""},
	{"levels 0, 3, 6 and 255", wire + ": level 255", ""},
	{"the reserved flag", wire + ": the reserved flag of a CONNECT", ""},
	{"a remaining length of five bytes", wire + ": a remaining length of five bytes", ""},
	{"a remaining length of 268,435,455", "broker TestAHugeLengthIsRefusedBeforeMemoryIsTaken", ""},
	{"a length beyond its body", wire + ": a length beyond its body", ""},
	{"a length that ends before its body", wire + ": a length that ends before its body", ""},
	{"every packet, cut at every byte", "broker FuzzConnection: and cut short at its end", ""},
	{"a SUBSCRIBE without its options", "broker TestAPacketThatPanicsCostsItsSenderOnly", ""},
	{"no filters", wire + ": a SUBSCRIBE of no filters", ""},
	{"10,000 filters", wire + ": 10,000 filters, of which a client holds so many", ""},
	{"packet ID 0", wire + ": a PUBLISH of packet ID 0", ""},
	{"a packet ID in use", wire + ": the same packet ID twice", ""},
	{"QoS 3", wire + ": a PUBLISH of QoS 3", ""},
	{"a duplicate of QoS 0", wire + ": a PUBLISH of QoS 0 that says it is a duplicate", ""},
	{"acknowledgements nobody waits for", wire + ": a PUBCOMP nobody waits for", ""},
	{"a flood of PUBRELs", wire + ": a flood of PUBRELs", ""},
	{"properties longer than their packet", wire + ": properties that are longer than their packet", ""},
	{"a property twice", wire + ": a property twice", ""},
	{"an unknown property", wire + ": a property nobody knows", ""},
	{"a property of another packet", wire + ": a property of another packet", ""},
	{"receive maximum 0 and 65,535", "broker TestAClientWithAWideWindowDoesNotBlockAPublisher", ""},
	{"maximum packet size 0 and 1", wire + ": a maximum packet size of 1", ""},
	{"topic aliases", wire + ": a topic alias that stands for nothing", ""},
	{"a session expiry without end", "broker TestNoSessionOutlivesItsConnection", ""},
	{"keep-alive 0, 1 and 65,535", wire + ": a keep-alive of 65,535", ""},
	{"a will's delay without end", "broker TestAWillIsNotPutOff", ""},
	{"a will of no bytes", wire + ": a will of no bytes", ""},
	{"a retained will", wire + ": a retained will to a foreign topic", ""},
	{"a will to a foreign topic", thief + ": a will that is not its death", ""},
	{"an AUTH nobody asked for", wire + ": an AUTH nobody asked for", ""},
	{"user properties without end", wire + ": user properties without end", ""},
	{"strange client IDs", thief + ": one that has another in it", ""},
	{"a user name that no flag announces", wire + ": a user name that no flag announces", ""},
	{"subscription identifier 0", wire + ": subscription identifier 0", ""},
	{"a flood of PINGs", wire + ": a flood of PINGs", ""},
	{"connections made and dropped", "broker TestAThousandSilentConnectionsKeepNobodyOut", ""},
	{"two who take a client ID from each other", "broker TestTheSameClientIDTakesOverAndHears", ""},
	{"one byte at a time", wire + ": everything one byte at a time", ""},
	{"a client that never reads", "broker TestAClientThatNeverReadsHoldsUpNobody", ""},
	{"written, and cut off at once", "broker FuzzConnection", ""},
	{"a flood of key updates", "", "Go's TLS ends a connection with more than 16 messages in a row that carry nothing"},
	{"another certificate at the next connection", "e2e/evil TestACertificateIsRenewedAndTheOldOneIsThenWorthNothing", ""},

	// Topics and filters
	{"an empty topic", wire + ": empty", ""},
	{"a slash alone", wire + ": that is a slash", ""},
	{"slashes before, behind and doubled", "topics TestForeignTopicsAreRefused: rm/v1/agent//birth", ""},
	{"wildcards in a publish", wire + ": with a plus", ""},
	{"a hash in the middle", wire + ": with a hash in its middle", ""},
	{"a plus beside a letter", wire + ": with a plus beside a letter", ""},
	{"the broker's own topics", thief + ": $SYS/#", ""},
	{"shared subscriptions", thief + ": $share/g/", ""},
	{"shared, in capitals", wire + ": shared in capitals", ""},
	{"very many levels", wire + ": of 60,000 levels", ""},
	{"NUL in a topic", wire + ": with NUL", ""},
	{"a topic that is no UTF-8", wire + ": that is no UTF-8", ""},
	{"overlong UTF-8", wire + ": in overlong UTF-8", ""},
	{"a look-alike", wire + ": written with a look-alike", ""},
	{"letters composed otherwise", wire + ": composed otherwise", ""},
	{"capitals", wire + ": in capitals", ""},
	{"percent-encoded", wire + ": percent-encoded", ""},
	{"a topic that begins like one's own", "broker TestAFilterIsWithinARight: a prefix of a level is not the level", ""},
	{"one's own topic and a level more", "broker TestAFilterIsWithinARight: a longer topic is not", ""},
	{"somebody else's response topic", wire + ": a response topic of somebody else's", ""},
	{"wiping what is retained", "broker TestRetainingAndSubscribingAtOnce: deletes it", ""},
	{"retaining where one may not", "broker TestOnlyGrantedTopicsAreRetained", ""},

	// Messages
	{"an empty message", payload + ": nothing", ""},
	{"one byte", payload + ": one byte", ""},
	{"noise", payload + ": noise", ""},
	{"what is no JSON", payload + ": no JSON", ""},
	{"something behind it", payload + ": something behind it", ""},
	{"a field twice, and in capitals", payload + ": the same field, in capitals", ""},
	{"a field nobody knows", payload + ": a field nobody knows", ""},
	{"a field that is missing", payload + ": a field that is missing", ""},
	{"null", payload + ": null for a number", ""},
	{"wrong types", payload + ": a number as a text", ""},
	{"nesting of 20,000", payload + ": nesting of 20,000", ""},
	{"numbers beyond all", payload + ": a number beyond all", ""},
	{"text that is no UTF-8", payload + ": text that is no UTF-8", ""},
	{"half a surrogate", payload + ": half a surrogate", ""},
	{"a byte order mark", payload + ": a byte order mark", ""},
	{"a text of 10 MiB", payload + ": more than a message holds", ""},
	{"a list of a million", payload + ": a list of a million", ""},
	{"a compressed bomb", "", "no message is compressed"},
	{"a kind nobody knows", "agent TestAJobOfAnUnknownKindIsRefused", ""},
	{"an older and a newer protocol", "controlplane/jobs TestAnAgentOfAnotherTimeIsToldWhatToDo", ""},
	{"a forged MAC", "seal TestAMACIsBoundToItsWriterAndTopic", ""},
	{"sealed for another agent", "seal TestTheHostIsPartOfTheSeal", ""},
	{"another version of sealing", "seal TestWhatOneSideSealsOnlyTheOtherOpens: another version", ""},
	{"a cut ciphertext", "seal TestWhatOneSideSealsOnlyTheOtherOpens: a cut tail", ""},
	{"a message again", "e2e/evil TestWhatWasRecordedIsWorthNothingLater", ""},
	{"a number left out", "protocol TestAJobStartsAtMostOnceAndEndsExactlyOnceWhateverDies", ""},
	{"a number that begins anew", "controlplane/jobs TestAnAgentPutBackFromABackupBeginsANewEpoch", ""},
	{"lower and higher epochs", "controlplane/jobs TestAnAgentPutBackFromABackupBeginsANewEpoch", ""},
	{"a command past its time", "e2e/evil TestWhatWasRecordedIsWorthNothingLater", ""},
	{"times of year 1 and 9999", "store TestAClockThatWasFarAheadIsNotBelieved", ""},
	{"a job ID that is none", "topics TestPayloadsThatContradictThemselvesAreRefused: bad job", ""},
	{"an end before its start", "protocol TestTheSimulationNoticesEveryBrokenRule", ""},
	{"two ends", "protocol TestAJobStartsAtMostOnceAndEndsExactlyOnceWhateverDies", ""},
	{"progress of more than all, and below nothing", payload + ": percent", ""},
	{"a line again, with other words", "controlplane/jobs TestWhatIsForgedReplayedOrForeignChangesNothing", ""},
	{"a gap that is never filled", "topics TestPayloadsThatContradictThemselvesAreRefused: backward gap", ""},
	{"a wrong count of lines", "agent TestAFullJournalCountsTheLinesItDoesNotKeep", ""},
	{"a slot of no schedule", "topics TestPayloadsThatContradictThemselvesAreRefused: no slot", ""},
	{"a heartbeat of a host that is out", "e2e/evil TestARevokedHostIsOutWithinSeconds", ""},
	{"heartbeats without end", "controlplane/hosts TestOnlyRisingNumbersOfThisSessionAreHeard", ""},
	{"facts without end", hostile, ""},

	// What a job prints
	{"a line of a MiB", output + ": a line of a mebibyte", ""},
	{"a GiB without an end of line", output + ": no line end", ""},
	{"carriage returns alone", output + ": progress by CR", ""},
	{"both ends of line", output + ": progress by CR", ""},
	{"NULs", output + ": NULs", ""},
	{"invalid UTF-8", output + ": invalid UTF-8", ""},
	{"a letter cut between two reads", "agent/restic FuzzOutput", ""},
	{"terminal sequences", "agent/restic TestLinesAreMadeSafe: never ends", ""},
	{"turned directions", hostile + ": isolated", ""},
	{"letters of no width", "words TestVisible: zero", ""},
	{"markup", hostile + ": <script>window.pwned=1</script>", ""},
	{"a link that is a script", hostile + ": javascript:window.pwned=1", ""},
	{"a formula", "controlplane/web TestAnExportIsNoFormula", ""},
	{"a forged record in a log", hostile + ": event: end", ""},
	{"a secret", output + ": the password", ""},
	{"a million lines a second", "e2e/fault TestWhateverResticDoesItsJobEndsAndMemoryStaysBounded: prints line upon line", ""},
	{"both streams at once", "agent/restic TestASlowReaderHearsItAll", ""},
	{"JSON cut between two reads", "agent/restic FuzzOutput", ""},
	{"a message of an unknown type", output + ": an unknown message", ""},
	{"no summary", output + ": half a JSON object", ""},
	{"success without a snapshot", output + ": stdout closed early", ""},
	{"exit status 3 with a snapshot", "agent/restic TestWhatEvenRootCannotReadIsAWarning", ""},
	{"ended by a signal", output + ": a signal", ""},
	{"an exit status nobody knows", output + ": an unknown exit code", ""},
	{"output closed, and runs on", "e2e/fault TestWhateverResticDoesItsJobEndsAndMemoryStaysBounded: closes its output after it answered", ""},
	{"a grandchild that goes on talking", "agent/restic TestAStrayChildThatNeverStopsTalkingIsEnded", ""},

	// HTTP
	{"an unknown method", web + ": a method nobody knows", ""},
	{"TRACE and CONNECT", web + ": CONNECT", ""},
	{"a header of 10 MiB", web + ": a header of 10 MiB", ""},
	{"1,000 headers", web + ": 1,000 headers", ""},
	{"two hosts, lengths and cookies", web + ": two lengths that differ", ""},
	{"a length and chunks", web + ": a length and chunks", ""},
	{"a chunk extension that lasts", web + ": a chunk extension that lasts", ""},
	{"chunks without end", "e2e/evil TestABodyThatNeverEndsIsCutOff: chunks without end", ""},
	{"headers, one at a time", "e2e/evil TestWhoIsSlowIsLetGo: headers, one at a time", ""},
	{"a body that comes slowly", "e2e/evil TestABodyThatNeverEndsIsCutOff: a length beyond all", ""},
	{"who never reads", "controlplane/web TestAnyoneWhoDoesNotReadIsLetGoAndRefilled", ""},
	{"an absolute address", web + ": an absolute address of somebody else", ""},
	{"an address that leads elsewhere", "controlplane/web TestNextLeadsNowhereElse: /\\evil.example", ""},
	{"dots, encoded once and twice", web + ": doubly encoded dots", ""},
	{"NUL in a path", web + ": NUL in the path", ""},
	{"a path of 64 KiB", web + ": a path of a MiB", ""},
	{"10,000 keys", web + ": 10,000 keys in the query", ""},
	{"a key again and again", web + ": one key 5,000 times", ""},
	{"lists and objects as keys", web + ": lists and objects as keys", ""},
	{"content types", web + ": two content types", ""},
	{"parts without a boundary", web + ": parts without a boundary", ""},
	{"a form that is JSON", web + ": a form that is JSON", ""},
	{"Expect: 100-continue", web + ": Expect: 100-continue", ""},
	{"10,000 ranges", web + ": 10,000 ranges", ""},
	{"If-Match of before", "", "no answer has an ETag that a change could name"},
	{"an idempotency key again", "store TestASecondRequestIsAnsweredWithTheWaitingJob", ""},
	{"a language of 64 KiB", web + ": a language of 50 KiB", ""},
	{"who says they come from elsewhere", web + ": who says they come from elsewhere", ""},
	{"a host that is not ours", web + ": a host that is not ours", ""},
	{"HTTP/2 floods", "", "HTTP/2 is Go's, whose own tests have them; without TLS it is not spoken"},
	{"HTTP/2 in clear", web + ": HTTP/2 without TLS", ""},
	{"sockets", web + ": a socket of another site", ""},
	{"an event ID of somebody else's", web + ": an event ID of somebody else's stream", ""},
	{"pages of 0, -1 and 10^9", web + ": a page of 10^9", ""},
	{"an order nobody has", web + ": an order nobody has", ""},
	{"a filter to lose oneself in", web + ": a filter to lose oneself in", ""},
	{"IDs that are none", web + ": an ID that is a number", ""},
	{"headers of htmx that lie", web + ": headers of htmx that lie", ""},
	{"a form sent twice", "store TestASecondRequestIsAnsweredWithTheWaitingJob", ""},
	{"two who change one thing", "store TestTheAuditLogSaysWhatChanged", ""},
	{"who leaves in the middle", "controlplane/jobs TestAWatcherThatLeavesCostsNothing", ""},

	// Who one is
	{"no password", "broker TestTheGateIsClosedUnlessItOpens: no password", ""},
	{"passwords of any length", "controlplane/password TestOnlyTheLengthIsARule", ""},
	{"a password composed otherwise", "controlplane/password TestAPasswordFitsItsOwnHashOnly: correct hors\\u0065\\u0301", ""},
	{"a blank behind a password", "controlplane/password TestAPasswordFitsItsOwnHashOnly: correct horse ", ""},
	{"how long an unknown name takes", "controlplane/web TestSigningInDoesTheSameWorkForAnyName", ""},
	{"names that look alike", "controlplane/web TestGuessingIsSlowAndTellsNothing", ""},
	{"names that are a query", doors + ": a name with a quote", ""},
	{"sessions that are none", "controlplane/web TestASessionOrTokenThatNoLongerHoldsIsNobodys", ""},
	{"a cookie twice", web + ": two cookies of one name", ""},
	{"a cookie's attributes", "controlplane/web TestASessionIsACookieNobodyElseCanRead", ""},
	{"forms of another site", "controlplane/web TestAnotherSiteReachesNoRouteThatActsOrStreams", ""},
	{"a one-time code again", "", noSecondFactor},
	{"a recovery code again", "", noSecondFactor},
	{"a passkey of elsewhere", "", noSecondFactor},
	{"another provider's word", "", noOIDC},
	{"API tokens that are none", web + ": a token and more", ""},
	{"an approval of something else", "controlplane/maintenance TestChangedRulesStopWhatWasPlannedByTheOldOnes", ""},
	{"a role taken away meanwhile", "controlplane/web TestWhateverEndsASessionEndsItsStreamsAtOnce", ""},
	{"the last administrator", "controlplane/web TestTheLastAdministratorStays", ""},
	{"locking somebody else out", "controlplane/web TestAStormOfGuessesLocksNobodyOut", ""},

	// Names and other text
	{"no name", doors + ": no name", ""},
	{"blanks", doors + ": a name of spaces", ""},
	{"4,096 letters", doors + ": 101 characters", ""},
	{"emoji", "words TestVisible: plain", ""},
	{"right to left", doors + ": a turned direction", ""},
	{"marks upon marks", hostile + ": zalgo", ""},
	{"control characters", doors + ": an escape", ""},
	{"a line break", doors + ": a line break", ""},
	{"quotes and the like", "controlplane/kit TestAShellReadsWhatWasQuoted", ""},
	{"HTML", hostile + ": markup", ""},
	{"SQL", doors + ": a name with a quote", ""},
	{"template braces", hostile + ": {{7*7}}", ""},
	{"a dash to begin with", "agent/restic TestFieldsThatResticWouldMisreadAreRefused: a flag for a path", ""},
	{"dots", doors + ": two dots", ""},
	{"names that Windows keeps", "location TestAPathBelongsToItsSystem", ""},
	{"the same, in capitals", "cmd/restic-manager TestEveryDoorSaysThatANameIsTaken", ""},
	{"a name like an ID", "controlplane/web TestAJobIsMeantByABeginningOfItsID", ""},
	{"a name like a number", doors + ": a name that is a number", ""},

	// Paths, and restic
	{"a path that climbs out, and links", "agent TestLinksLeadNobodyOut: through a link, out", ""},
	{"a directory that begins alike", "agent TestWhatThePresetsAllow: backup: beside the quarantine", ""},
	{"a name of 5,000 bytes", doors + ": paths that are too long", ""},
	{"a name that is no UTF-8", "agent/restic TestLinesAreMadeSafe: bad", ""},
	{"a line break in a name", "agent/restic TestFieldsThatResticWouldMisreadAreRefused: a line break in a exclude", ""},
	{"a path that is an option", evilHost + ": an option as a path", ""},
	{"wildcards", "patterns TestResticRefusesTheSamePatterns", ""},
	{"what a shell would expand", doors + ": a relative path", ""},
	{"paths of Windows", "location TestAPathBelongsToItsSystem", ""},
	{"what is neither file nor directory", "agent TestWhatABackupSavedDecidesHowItEnds: a FIFO, a socket or a device", ""},
	{"a file that changes while it is read", "agent/restic TestEveryRecordingEndsAsItShould", ""},
	{"what may not be read", "agent/restic TestWhatEvenRootCannotReadIsAWarning", ""},
	{"a mount that hangs", "agent TestAJobThatDoesNothingIsEndedAndTheNextOneRuns", ""},
	{"very many files", "agent/restic TestALongAnswerIsTakenApartAsItComes", ""},
	{"a list that leads to a secret file", evilHost + ": a list of files as a path", ""},
	{"addresses of repositories", evilHost + ": an rclone remote that is a program", ""},
	{"a certificate that is a secret file", "location TestVariablesAreAnAllowList", ""},
	{"a wrong password", "agent/restic TestEveryKnownFailureIsNamed", ""},
	{"locks", "controlplane/web TestALockThatMayBeAliveIsLeftAlone", ""},
	{"a repository of a later version", "agent/restic TestEveryKnownFailureIsNamed", ""},
	{"a damaged repository", "agent/restic TestWhatACheckFinds", ""},
	{"snapshots of 1970 and 2099", "controlplane/retention TestEachOddityHasItsWords", ""},
	{"planted snapshots", "e2e TestWhatIsPlantedNeitherPushesOutNorIsRemoved", ""},
	{"snapshots of a host nobody knows", "store TestForeignSnapshotsAreAcknowledged", ""},
	{"a key too many", "store TestKeysThatComeLaterAreForeign", ""},
	{"targets of restores", "agent TestLinksLeadNobodyOut: one with files", ""},
	{"what a restore brings along", "agent/restoring TestABasketIsItemsOfSeveralSnapshots", ""},
	{"names that are patterns, in a basket", "agent/restoring TestABasketIsItemsOfSeveralSnapshots: odd/star*[1]?", ""},
	{"a basket beside a snapshot", doors + "ForJobs: a basket beside a snapshot", ""},
	{"a basket of two places", "controlplane/restores TestWhatIsAskedForIsReadOneWay: at two places", ""},
	{"the root, spelt otherwise", "controlplane/restores TestWhatIsConfirmed: //", ""},
	{"another host's name as confirmation", doors + "ForJobs: restore to the root, by another's name", ""},
	{"another's dry run, or none", "controlplane/restores TestWhenADryRunIsStale: of another host", ""},
	{"what changed since a dry run", "e2e TestPeopleGetTheirFilesBack: what changed since its dry run is not written", ""},
	{"a link in the way of a restore", "e2e TestPeopleGetTheirFilesBack: a link is put in the way", ""},
	{"a disk that fills up in a restore", "e2e TestPeopleGetTheirFilesBack: the disk fills up", ""},
	{"brackets in a Windows path", "patterns TestALiteralFitsItsPathAlone", ""},
	{"restic missing, old, or another program", "agent/restic TestProbe: another program", ""},
	{"variables from outside", "agent/restic TestTheEnvironmentIsBuiltFromAnAllowList", ""},

	// Time
	{"the hour that is left out", "slots TestSlotsByTheClockOnTheWall: spring: the slot in the gap comes right after it", ""},
	{"the hour that comes twice", "slots TestSlotsByTheClockOnTheWall: autumn: what the wall shows twice runs the first time", ""},
	{"leap days and the 31st", "slots TestSlotsByTheClockOnTheWall: a leap day after eight years", ""},
	{"a day there never is", "slots TestWhatIsNoScheduleIsNamed: 0 3 30 2 *", ""},
	{"every second", "slots TestWhatIsNoScheduleIsNamed: 0 0 3 * * *", ""},
	{"a zone nobody knows", "slots TestWhatIsNoScheduleIsNamed: Mars/Olympus", ""},
	{"a clock ten years off", "controlplane/protection TestAClockThatWasFarAheadIsNotBelieved", ""},
	{"a clock that jumps meanwhile", "controlplane/schedule TestClocksAndSlots", ""},
	{"eight hours asleep", "agent/restic TestAMachineThatSleptCountsNoSilence", ""},
	{"a run longer than its interval", "controlplane/schedule TestASlotDuringAJobIsAnsweredByIt", ""},
	{"two schedules at one time", "controlplane/schedule TestSchedulesOfOneGroupThatMeetAreServedByOneRun", ""},
	{"two zones", "controlplane/web TestNoPageShowsTwoZones", ""},
	{"more jitter than interval", "slots TestJitterIsSteadyBoundedAndSpreads", ""},
	{"hours across midnight", "topics TestLimitsHaveHours", ""},
	{"a schedule changed while it is due", "controlplane/schedule TestAChangedPlanDoesNotLookBack", ""},
	{"10,000 slots to catch up with", "agent TestThirtyDaysWithoutAControlPlane", ""},

	// Certificates and enrolment
	{"certificates that are none", "controlplane/enroll TestCertificatesThatAreNotOursAreRefused", ""},
	{"a long chain", "controlplane/enroll TestCertificatesThatAreNotOursAreRefused: a chain of many", ""},
	{"a session resumed after it was revoked", "e2e/evil TestARevokedHostIsOutWithinSeconds", ""},
	{"requests for certificates", "controlplane/enroll TestRequestsForMoreThanACertificateGetOne", ""},
	{"tokens", "e2e TestATokenLetsInOneHostOnce: shortened", ""},
	{"another control plane", "agent TestEnrolmentThatFailsSaysWhy: another control plane", ""},
	{"a CA that changed", "e2e/evil TestACertificateIsRenewedAndTheOldOneIsThenWorthNothing", ""},
	{"a certificate in between that ran out", "", "there is none in between: the CA signs hosts itself"},
	{"an identity that is old, forged, or another's", "e2e TestTwoMachinesWithOneIdentityLoseNothing", ""},
	{"machines that look alike", "protocol TestWhatTwoMachinesAreAndWhatTheyAreNot", ""},
	{"weak public keys", "controlplane/enroll TestRequestsThatDoNotFitAreRefusedAndTheTokenStaysGood: weak seal key", ""},
	{"all renew at once", "e2e/evil TestACrashInTheMiddleOfARenewalLosesNobody", ""},
	{"an older agent after a renewal", "controlplane/jobs TestAnAgentOfAnotherTimeIsToldWhatToDo", ""},
	{"enrolled again while online", "e2e TestTheCopyMayStay", ""},

	// Database, files, settings
	{"databases that are none", "store TestADatabaseAndItsKeyBelongTogether: database is empty", ""},
	{"settings that are none", "cmd/restic-manager TestSettingsComeFromTheCommandLineThenTheEnvironmentThenTheFile", ""},
	{"ports that cannot be had", "e2e TestTheCommandLineSaysHowItEnded: 192.0.2.1:1", ""},
	{"keys that are none", "store/keyring TestAMasterKeyIsMadeOnlyWithANewDatabase: a key that is none", ""},
	{"a state directory that is full or missing", "agent TestAFullDiskIsToldAndNothingIsLost", ""},
	{"a damaged journal", "agent/spool TestADamagedJournalSaysWhatToDo", ""},
	{"a journal that lacks a part", "agent/spool TestNoDamageCrashesTheAgent", ""},
	{"few descriptors", "e2e/evil TestTheHealthyGoOnWhileOthersDoTheirWorst", ""},
	{"little memory", "e2e/fault TestWhateverResticDoesItsJobEndsAndMemoryStaysBounded", ""},
	{"signals", "e2e TestAControlPlaneStopsWhileEverybodyListens", ""},
	{"started twice", "controlplane TestADataDirectoryServesOneControlPlane", ""},
	{"a process ID used again", "agent/process TestReapFindsWhatACrashLeftBehind", ""},
	{"another name, address or proxy", "e2e TestAControlPlaneTakesItsSettingsFromEnvironmentOrFile", ""},
	{"failures of PostgreSQL", "", noPostgreSQL},

	// What is called
	{"a webhook that is slow or never ends", "controlplane/channels TestAServerThatHangsHoldsNobody", ""},
	{"a webhook that redirects", "controlplane/channels TestARedirectIsAFailureAndNotFollowed", ""},
	{"an answer without end", "controlplane/channels TestABodyWithoutEndIsReadAsFarAsItCounts", ""},
	{"a certificate that is none", "controlplane/channels TestWhyAServerCannotBeTrustedIsSaid", ""},
	{"an answer that a terminal or a page would obey", "controlplane/channels TestEveryKindIsToldAndItsAnswerShown: \\u202e", ""},
	{"an answer that says the secret", "controlplane/channels TestNoSecretIsInAnAnswer", ""},
	{"the address of cloud metadata, a name that is rebound", "", typedAddresses},
	{"headers in mail", doors + ": a header in an address", ""},
	{"line breaks, markup and 8-bit text in mail", "controlplane/channels TestHostileTextIsOnlyTextInMail", ""},
	{"a mail server whose STARTTLS was taken away", "controlplane/channels TestMailWithoutItsEncryptionIsNotSent", ""},
	{"a mail server that hangs or never stops talking", "controlplane/channels TestAMailServerThatHangsOrTalksHoldsNobody", ""},
	{"public addresses that lead elsewhere", "controlplane/alerts TestAPublicAddressIsOneThatABrowserOpens", ""},
	{"secrets of channels in what is shown and refused", "e2e TestNoSecretComesOut: another service's address", ""},
	{"a template that fails", "controlplane/channels TestMessagesLookAsInTheGoldenFiles", ""},
	{"failures of everything at once", "controlplane/alerts/delivery TestAThousandFailuresAreAtMostThreeMessages", ""},
	{"a log that takes nothing", "", "nothing is logged at another machine"},
	{"metrics without end", "", "there are no metrics yet"},
	{"updates that are not ours", "", noUpdates},
	{"a support bundle with secrets", "", "there is no support bundle; TestNoSecretComesOut searches logs, pages and messages"},
	{"an export read in twice", "", "nothing exported is read in again"},

	// Searches and kits
	{"a pattern that looks like an option", "cmd/restic-manager TestEveryDoorHasTheSameRulesForSearches: what looks like an option", ""},
	{"a pattern of two lines", "cmd/restic-manager TestEveryDoorHasTheSameRulesForSearches: two lines", ""},
	{"found names with line breaks, markup and what is no UTF-8", "e2e TestNamesNobodyWouldChooseAreFound", ""},
	{"a repository's name that a shell would obey, in a kit", hostile + ": a name or an address was obeyed", ""},
	{"secrets in the kits of a host and of all", "e2e TestNoSecretComesOut: is not in the kit of", ""},
}

// TestEveryBadInputIsTried holds the list to the tests there are.
func TestEveryBadInputIsTried(t *testing.T) {
	if len(inputs) != 326 {
		t.Errorf("%d classes, want 326", len(inputs))
	}
	texts := map[string]string{}
	of := func(dir string) string {
		if text, ok := texts[dir]; ok {
			return text
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		var b strings.Builder
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
		texts[dir] = b.String()
		return texts[dir]
	}
	for i, in := range inputs {
		if in.what == "" || (in.tried == "") == (in.not == "") {
			t.Errorf("%d, %s: either it is tried, or there is a reason why not", i+1, in.what)
		}
		if in.tried == "" {
			continue
		}
		test, row, _ := strings.Cut(in.tried, ": ")
		dir, name, _ := strings.Cut(test, " ")
		if !regexp.MustCompile(`(?m)^func ` + name + `\(`).MatchString(of(dir)) {
			t.Errorf("%d, %s: there is no test %s in %s", i+1, in.what, name, dir)
		}
		if row != "" && !strings.Contains(of(dir), row) {
			t.Errorf("%d, %s: the tests in %s have nothing of %q", i+1, in.what, dir, row)
		}
	}
}
