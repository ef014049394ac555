package conditions

import "github.com/restic-manager/restic-manager/store/alerts"

var ofHosts = []Condition{
	{
		Name: DrillOverdue, On: alerts.OnHost, Severity: alerts.Warning, Measure: Seconds, Default: 35 * day, Quiet: 35 * begun,
		Title:     "it is not proven that it can be restored",
		When:      "Drills of a host are planned, and one of its source groups was not proven for longer than {limit}.",
		Cause:     "{why}",
		Do:        "Start a drill on the host's page, and see there why the planned ones did not run.",
		Ends:      "Every source group of the host is proven, or its drills are switched off.",
		Explained: []Name{HostOffline, Twins},
	},
	{
		Name: RestoreFailures, On: alerts.OnHost, Severity: alerts.Warning,
		Title: "a restore is not complete",
		When:  "The last restore on a host failed, or ended without some of the files.",
		Cause: "{why}",
		Do:    "Look in the job at what is missing, and restore that once more.",
		Ends:  "A restore on the host succeeds; or seven days after it ended.",
	},
	{
		Name: HostOffline, On: alerts.OnHost, Severity: alerts.Warning, Measure: Seconds, Default: hour / 2,
		Title: "offline",
		When: "The agent of a host was not heard of for longer than {limit}. Of hosts that come and go, such as laptops: for longer than " +
			"their own " +
			"limit in days, 7 where nobody set one.",
		Cause: "Its agent was not heard of for longer than the limit of {limit}. If the machine runs, its schedules go on unseen; " +
			"if it is off, " +
			"nothing of it is backed up.",
		Do:        "See that the machine runs and reaches this server, and that the service restic-manager-agent is started on it.",
		Ends:      "The agent connects again.",
		Explained: []Name{Twins},
	},
	{
		Name: HostDisk, On: alerts.OnHost, Severity: alerts.Critical,
		Title: "no space on the agent's disk",
		When:  "The disk with the state of a host's agent is full, so that nothing begins there. A warning while it is almost full.",
		Cause: "{why}",
		Do:    "Make room on the host, on the disk with the agent's state directory.",
		Ends:  "The agent says that there is room again.",
	},
	{
		Name: CertificateEnding, On: alerts.OnHost, Severity: alerts.Warning, Measure: Seconds, Default: 14 * day,
		Title: "its certificate is about to end",
		When: "The certificate by which a host is known ends within {limit}, and was not renewed. Agents renew it by themselves long before, " +
			"while they are connected.",
		Cause:     "{why}",
		Do:        "See that the agent is connected; it renews its certificate by itself then. After its end, enrol the host again.",
		Ends:      "The certificate is renewed.",
		Explained: []Name{HostOffline},
	},
	{
		Name: AgentTooOld, On: alerts.OnHost, Severity: alerts.Warning, Quiet: begun / 24, // it takes its plan a moment after it connects
		Title: "its agent is too old",
		When:  "The agent of a host is so old that it cannot run its schedules by itself, or a part of them.",
		Cause: "{why}",
		Do:    "Update restic-manager-agent on the host.",
		Ends:  "A newer agent connects.",
	},
	{
		Name: ClockOff, On: alerts.OnHost, Severity: alerts.Warning, Measure: Seconds, Default: 60,
		Title: "its clock is wrong",
		When:  "The clock of a host that is connected is off from this server's by more than {limit}.",
		Cause: "Its clock is {is} {way} this server's.",
		Do: "Set the clock of the host, and let the system keep it, as with systemd-timesyncd or chrony. If many hosts are off alike, set this " +
			"server's.",
		Ends: "The clocks agree again.",
	},
	{
		Name: Twins, On: alerts.OnHost, Severity: alerts.Critical,
		Title: "two machines use its identity",
		When:  "Several machines use the identity of one host at once, and nobody has said which stays.",
		Cause: "Two machines use this host's identity at once, and nothing is sent to either.",
		Do:    "Say on the host's page which machine stays. Enrol the other as a host of its own.",
		Ends:  "Somebody says which machine stays.",
	},
	{
		Name: MessagesRefused, On: alerts.OnHost, Severity: alerts.Warning,
		Title: "messages are refused",
		When: "Messages in a host's name were refused here, or ours at the host, within the last day: they were not authentic, or could not be " +
			"understood.",
		Cause: "{why}",
		Do: "Look on the host's page and in the audit log what was refused. If its machine was not just restored or copied, somebody " +
			"may have its keys: revoke it, and enrol it again.",
		Ends:      "Nothing more was refused for a day.",
		Explained: []Name{Twins},
	},
}
