package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/api"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/lobby"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/views"
)

// anybody may use a route without being signed in.
const anybody rights.Right = ""

// A route is one method of one address, and the right that using it takes. Where it
// takes more than one, as asking for jobs of several kinds does, the service behind
// the route looks at the rest.
type route struct {
	method, path string
	right        rights.Right
	serve        endpoint
}

// most is how large a request's body may be, in bytes: strangers have little to say.
func (rt route) most() int64 {
	switch {
	case rt.method == http.MethodGet || rt.method == http.MethodDelete:
		return 4 << 10
	case rt.right == anybody:
		return 16 << 10
	case strings.HasPrefix(rt.path, "/api/"):
		return base.MaxBody
	}
	return 256 << 10
}

// routes is every address this server has.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/healthz", anybody, page(s.healthz)},
		{"GET", "/readyz", anybody, page(s.readyz)},
		{"GET", "/static/*", anybody, page(s.static)},
		{"GET", "/metrics", anybody, scraped},
		{"GET", "/install.sh", anybody, page(s.handsOut)},
		{"GET", "/install.ps1", anybody, page(s.handsOut)},
		{"GET", "/download/{name}", anybody, page(s.handsOut)},
		{"GET", "/setup", anybody, secretPage(s.accounts.SetupForm)},
		{"POST", "/setup", anybody, page(s.accounts.Setup)},
		{"GET", "/login", anybody, page(s.accounts.LoginForm)},
		{"POST", "/login", anybody, page(s.accounts.Login)},
		{"GET", "/sign-in", anybody, secretPage(s.accounts.SignInByLink)},
		{"GET", "/set-password", anybody, secretPage(s.accounts.PasswordForm)},
		{"POST", "/set-password", anybody, page(s.accounts.SetByLink)},
		{"GET", "/resume", rights.See, page(s.resumeForm)},
		{"POST", "/resume", rights.See, secretPage(s.resume)},
		{"POST", "/logout", rights.Self, page(s.accounts.Logout)},

		{"GET", "/account", rights.Self, page(s.accounts.AccountPage)},
		{"POST", "/account/password", rights.Self, page(s.accounts.ChangePassword)},
		{"POST", "/account/zone", rights.Self, page(s.accounts.ChangeZone)},
		{"POST", "/account/sign-out", rights.Self, page(s.accounts.SignOutEverywhere)},
		{"POST", "/sessions/{id}/end", rights.Self, page(s.accounts.EndOneSession)},
		{"GET", "/users", rights.People, page(s.accounts.UsersPage)},
		{"GET", "/users/new", rights.People, page(s.accounts.NewUserForm)},
		{"POST", "/users/new", rights.People, page(s.accounts.NewUser)},
		{"GET", "/users/{id}", rights.People, page(s.accounts.UserPage)},
		{"POST", "/users/{id}/role", rights.People, page(s.accounts.UserForm(s.accounts.RoleForm))},
		{"POST", "/users/{id}/link", rights.People, page(s.accounts.LinkForUser)},
		{"POST", "/users/{id}/password", rights.People, page(s.accounts.PasswordForUser)},
		{"POST", "/users/{id}/sign-out", rights.People, page(s.accounts.UserForm(s.accounts.SignOutForm))},
		{"POST", "/users/{id}/disable", rights.People, page(s.accounts.UserForm(s.accounts.DisableForm))},
		{"POST", "/users/{id}/enable", rights.People, page(s.accounts.UserForm(s.accounts.EnableForm))},
		{"POST", "/users/{id}/remove", rights.People, page(s.accounts.UserForm(s.accounts.RemoveForm))},
		{"GET", "/tokens/new", rights.People, page(s.accounts.NewTokenForm)},
		{"POST", "/tokens/new", rights.People, page(s.accounts.NewToken)},
		{"POST", "/tokens/{id}/revoke", rights.People, page(s.accounts.RevokeToken)},
		{"GET", "/mqtt", rights.See, page(s.mqtt.Overview)},
		{"GET", "/mqtt/clients", rights.Consumers, page(s.mqtt.Clients)},
		{"GET", "/mqtt/uplink", rights.Telling, page(s.mqtt.UplinkForm)},
		{"POST", "/mqtt/uplink", rights.Telling, page(s.mqtt.SaveUplink)},
		{"POST", "/mqtt/uplink/leave", rights.Telling, page(s.mqtt.LeaveUplink)},
		{"GET", "/mqtt/home-assistant", rights.Consumers, page(s.mqtt.AssistantForm)},
		{"POST", "/mqtt/home-assistant", rights.Consumers, page(s.mqtt.SaveAssistant)},
		{"POST", "/mqtt/home-assistant/preview", rights.Consumers, page(s.mqtt.AssistantPreview)},
		{"GET", "/mqtt/topics", rights.See, page(s.mqtt.Level)},
		{"GET", "/mqtt/new", rights.Consumers, page(s.mqtt.NewConsumerForm)},
		{"POST", "/mqtt/new", rights.Consumers, page(s.mqtt.NewConsumer)},
		{"GET", "/mqtt/consumers/{name}", rights.Consumers, page(s.mqtt.ConsumerPage)},
		{"POST", "/mqtt/consumers/{name}/rights", rights.Consumers, page(s.mqtt.ConsumerRights)},
		{"POST", "/mqtt/consumers/{name}/password", rights.Consumers, page(s.mqtt.ConsumerPassword)},
		{"POST", "/mqtt/consumers/{name}/revoke", rights.Consumers, page(s.mqtt.RevokeConsumer)},

		{"GET", "/", rights.See, page(s.pages.FleetPage)},
		{"GET", "/alerts", rights.See, page(s.alerts.List)},
		{"POST", "/alerts/act", rights.Alerts, page(s.alerts.Act)},
		{"GET", "/alerts/{id}", rights.See, page(s.alerts.Alert)},
		{"GET", "/alerts/pauses", rights.See, page(s.alerts.PausesPage)},
		{"POST", "/alerts/pauses", rights.Alerts, page(s.alerts.AddPause)},
		{"POST", "/alerts/pauses/end", rights.Alerts, page(s.alerts.EndPause)},
		{"GET", "/alerts/conditions", rights.See, page(s.alerts.ConditionsPage)},
		{"POST", "/alerts/conditions", rights.Telling, page(s.alerts.SaveLimit)},
		{"POST", "/alerts/conditions/remove", rights.Telling, page(s.alerts.RemoveLimit)},
		{"GET", "/alerts/channels", rights.Telling, page(s.alerts.ChannelsPage)},
		{"GET", "/alerts/channels/new", rights.Telling, page(s.alerts.NewChannelForm)},
		{"POST", "/alerts/channels/new", rights.Telling, secretPage(s.alerts.NewChannel)},
		{"GET", "/alerts/channels/{id}", rights.Telling, page(s.alerts.Channel)},
		{"POST", "/alerts/channels/{id}", rights.Telling, secretPage(s.alerts.SaveChannel)},
		{"POST", "/alerts/channels/{id}/test", rights.Telling, page(s.alerts.TestChannel)},
		{"POST", "/alerts/channels/{id}/enabled", rights.Telling, page(s.alerts.EnableChannel)},
		{"POST", "/alerts/channels/{id}/remove", rights.Telling, page(s.alerts.RemoveChannel)},
		{"GET", "/alerts/rules", rights.Telling, page(s.alerts.RulesPage)},
		{"GET", "/alerts/rules/new", rights.Telling, page(s.alerts.RuleForm)},
		{"POST", "/alerts/rules/new", rights.Telling, page(s.alerts.SaveRule)},
		{"GET", "/alerts/rules/edit/{rule}", rights.Telling, page(s.alerts.RuleForm)},
		{"POST", "/alerts/rules/edit/{rule}", rights.Telling, page(s.alerts.SaveRule)},
		{"POST", "/alerts/rules/remove", rights.Telling, page(s.alerts.RemoveRule)},
		{"POST", "/alerts/rules/move", rights.Telling, page(s.alerts.MoveRule)},
		{"POST", "/alerts/rules/digests", rights.Telling, page(s.alerts.SaveDigest)},
		{"POST", "/alerts/rules/digests/remove", rights.Telling, page(s.alerts.RemoveDigest)},
		{"GET", "/alerts/heartbeat", rights.Telling, page(s.alerts.HeartbeatForm)},
		{"POST", "/alerts/heartbeat", rights.Telling, secretPage(s.alerts.SaveHeartbeat)},
		{"POST", "/alerts/heartbeat/pings", rights.Telling, secretPage(s.alerts.SavePing)},
		{"POST", "/settings/support-bundle", rights.Identity, page(s.pages.SupportBundle)},
		{"POST", "/settings/public-url", rights.Telling, page(s.pages.SavePublicURL)},
		{"POST", "/settings/agents-public", rights.Telling, page(s.pages.SaveAgentsAddress)},

		{"GET", "/updates", rights.See, page(s.updates.Overview)},
		{"POST", "/updates", rights.Update, page(s.updates.Begin)},
		{"POST", "/updates/settings", rights.Update, page(s.updates.Save)},
		{"GET", "/updates/restic", rights.See, page(s.updates.Restics)},
		{"POST", "/updates/restic/files", rights.Update, page(s.updates.PinRestic)},
		{"POST", "/updates/restic/fetch", rights.Update, page(s.updates.FetchRestic)},
		{"GET", "/updates/{id}", rights.See, page(s.updates.Rollout)},
		{"POST", "/updates/{id}/stop", rights.Update, page(s.updates.Stop)},

		{"GET", "/restore", rights.Restore, page(s.restores.List)},
		{"GET", "/restore/new", rights.Restore, page(s.restores.NewForm)},
		{"POST", "/restore/new", rights.Restore, page(s.restores.New)},
		{"GET", "/restore/{draft}", rights.Restore, page(s.restores.Open)},
		{"GET", "/restore/{draft}/snapshot", rights.Restore, page(s.restores.MomentPage)},
		{"POST", "/restore/{draft}/snapshot", rights.Restore, page(s.restores.ChooseMoment)},
		{"GET", "/restore/{draft}/files", rights.Restore, page(s.restores.FilesPage)},
		{"POST", "/restore/{draft}/basket", rights.Restore, page(s.restores.Basket)},
		{"POST", "/restore/{draft}/reader", rights.Restore, page(s.restores.Reader)},
		{"GET", "/restore/{draft}/destination", rights.Restore, page(s.restores.PlacePage)},
		{"POST", "/restore/{draft}/destination", rights.Restore, page(s.restores.SavePlace)},
		{"GET", "/restore/{draft}/directories", rights.Restore, page(s.restores.FoldersPage)},
		{"POST", "/restore/{draft}/folder", rights.Restore, page(s.restores.ChooseFolder)},
		{"GET", "/restore/{draft}/review", rights.Restore, page(s.restores.ReviewPage)},
		{"GET", "/restore/{draft}/commands", rights.Restore, page(s.restores.Commands)},
		{"POST", "/restore/{draft}/preview", rights.Restore, page(s.restores.Preview)},
		{"POST", "/restore/{draft}/run", rights.Restore, page(s.restores.Run)},
		{"GET", "/restore/{draft}/discard", rights.Restore, page(s.restores.DiscardPage)},
		{"POST", "/restore/{draft}/discard", rights.Restore, page(s.restores.Discard)},

		{"GET", "/start", rights.Hosts, page(s.pages.StartPage)},
		{"POST", "/start/hidden", rights.Hosts, page(s.pages.HideStart)},
		{"GET", "/start/address", rights.Telling, page(s.pages.AddressPage)},
		{"POST", "/start/address", rights.Telling, page(s.pages.SaveAddresses)},
		{"GET", "/go", rights.See, page(s.pages.GoPage)},
		{"GET", "/hosts/choose", rights.See, page(s.pages.ChooseHosts)},
		{"GET", "/hosts/new", rights.Hosts, page(s.pages.AddHostForm)},
		{"POST", "/hosts/new", rights.Hosts, page(s.pages.AddHost)},
		{"GET", "/hosts/keys", rights.Hosts, page(s.pages.KeysPage)},
		{"POST", "/hosts/keys", rights.Hosts, secretPage(s.pages.MakeKey)},
		{"POST", "/hosts/keys/{id}/withdraw", rights.Hosts, page(s.pages.WithdrawKey)},
		{"POST", "/hosts/{id}/approve", rights.Hosts, page(s.pages.ApproveHost)},
		{"GET", "/hosts/{id}", rights.See, page(s.pages.HostPage)},
		{"POST", "/hosts/{id}/intermittent", rights.Hosts, page(s.pages.SaveIntermittent)},
		{"GET", "/settings/drills", rights.See, page(s.pages.DrillsPage)},
		{"POST", "/settings/drills", rights.Schedules, page(s.pages.SaveDrillPlan)},
		{"POST", "/settings/drills/remove", rights.Schedules, page(s.pages.DropDrillPlan)},
		{"POST", "/hosts/{id}/drill", rights.Schedules, page(s.pages.SaveDrill)},
		{"POST", "/hosts/{id}/drill/inherit", rights.Schedules, page(s.pages.InheritDrill)},
		{"POST", "/hosts/{id}/drill/run", rights.Drill, page(s.pages.RunDrill)},
		{"POST", "/hosts/{id}/run/backup", rights.Backup, page(s.pages.RunBackup)},
		{"POST", "/hosts/{id}/enrol", rights.Hosts, page(s.pages.Reenrol)},
		{"GET", "/hosts/{id}/replacement", rights.See, page(s.replacements.Replacement)},
		{"POST", "/hosts/{id}/replacement", rights.Hosts, secretPage(s.replacements.Begin)},
		{"POST", "/hosts/{id}/replacement/call-off", rights.Hosts, page(s.replacements.CallOff)},
		{"POST", "/hosts/{id}/replacement/decide", rights.Decide, page(s.replacements.Decide)},
		{"POST", "/hosts/{id}/twins", rights.Hosts, secretPage(s.pages.DecideTwins)},
		{"GET", "/hosts/{id}/ssh", rights.Hosts, page(s.pages.SSHPage)},
		{"POST", "/hosts/{id}/ssh-key", rights.Hosts, page(s.pages.MakeSSHKey)},
		{"POST", "/hosts/{id}/host-keys", rights.Hosts, page(s.pages.AcceptHostKey)},
		{"POST", "/hosts/{id}/revoke", rights.Hosts, page(s.pages.RevokeHost)},
		{"POST", "/hosts/{id}/pause", rights.Pause, page(s.pages.PauseHost)},
		{"POST", "/hosts/{id}/resume", rights.Pause, page(s.pages.ResumeHost)},
		{"POST", "/hosts/{id}/rename", rights.Hosts, page(s.removals.RenameHost)},
		{"POST", "/hosts/{id}/tags", rights.Hosts, page(s.removals.TagHost)},
		{"POST", "/hosts/{id}/retired", rights.Hosts, page(s.removals.RetireHost)},
		{"GET", "/hosts/{id}/remove", rights.Hosts, page(s.removals.HostRemoval)},
		{"POST", "/hosts/{id}/remove", rights.Hosts, page(s.removals.RemoveHost)},
		{"POST", "/hosts/{id}/restore", rights.Hosts, page(s.removals.RestoreHost)},
		{"GET", "/hosts/{id}/source-groups/{name}/remove", rights.Sources, page(s.removals.GroupRemoval)},
		{"POST", "/hosts/{id}/source-groups/{name}/remove", rights.Sources, page(s.removals.RemoveGroup)},
		{"POST", "/hosts/{id}/source-groups/{name}/restore", rights.Sources, page(s.removals.RestoreGroup)},
		{"GET", "/hosts/{id}/source-groups/new", rights.Sources, page(s.pages.NewGroup)},
		{"POST", "/hosts/{id}/source-groups/new", rights.Sources, page(s.pages.SaveGroup)},
		{"GET", "/hosts/{id}/source-groups/{name}/edit", rights.Sources, page(s.pages.EditGroup)},
		{"POST", "/hosts/{id}/source-groups/{name}/edit", rights.Sources, page(s.pages.SaveGroup)},
		{"POST", "/hosts/{id}/source-groups/{name}/accept-size", rights.Sources, page(s.pages.AcceptSize)},
		{"GET", "/schedules", rights.See, page(s.pages.SchedulesPage)},
		{"GET", "/schedules/new", rights.Schedules, page(s.pages.ChooseScheduleHost)},
		{"GET", "/hosts/{id}/schedules/new", rights.Schedules, page(s.pages.ScheduleForm)},
		{"POST", "/hosts/{id}/schedules/new", rights.Schedules, page(s.pages.SaveSchedule)},
		{"POST", "/hosts/{id}/schedules/preview", rights.Schedules, page(s.pages.PreviewSchedule)},
		{"GET", "/hosts/{id}/schedules/{name}/slots", rights.See, page(s.pages.SlotsPage)},
		{"GET", "/hosts/{id}/schedules/{name}/edit", rights.Schedules, page(s.pages.ScheduleForm)},
		{"POST", "/hosts/{id}/schedules/{name}/edit", rights.Schedules, page(s.pages.SaveSchedule)},
		{"POST", "/hosts/{id}/schedules/{name}/enabled", rights.Schedules, page(s.pages.SwitchSchedule)},
		{"POST", "/hosts/{id}/schedules/{name}/delete", rights.Schedules, page(s.pages.RemoveSchedule)},
		{"GET", "/repositories/{id}/retention", rights.See, page(s.repos.RetentionPage)},
		{"POST", "/repositories/{id}/retention/preview", rights.See, page(s.repos.RetentionPreview)},
		{"POST", "/repositories/{id}/maintenance", rights.Run, page(s.repos.Maintain)},
		{"POST", "/repositories/{id}/maintenance/hours", rights.Hours, page(s.repos.SaveHours)},
		{"GET", "/repositories/{id}/import", rights.Repositories, page(s.repos.ImportPage)},
		{"POST", "/repositories/{id}/import", rights.Repositories, page(s.repos.TakeIn)},
		{"POST", "/repositories/{id}/import/{import}/undo", rights.Repositories, page(s.repos.UndoImport)},
		{"POST", "/repositories/{id}/mirror", rights.Repositories, page(s.repos.SaveMirror)},
		{"POST", "/repositories/{id}/mirror/remove", rights.Repositories, page(s.repos.RemoveMirror)},
		{"POST", "/repositories/{id}/mirror/copy", rights.Copy, page(s.repos.CopyNow)},
		{"GET", "/versions", rights.Browse, asks(s.jobs.VersionsPage)},
		{"GET", "/search", rights.Find, page(s.jobs.SearchPage)},
		{"POST", "/search", rights.Find, page(s.jobs.Search)},
		{"POST", "/compare", rights.Diff, page(s.jobs.Compare)},
		{"GET", "/jobs/{id}/results", rights.See, page(s.jobs.ResultsPage)},
		{"GET", "/jobs/{id}/found", rights.Find, page(s.jobs.FoundPage)},
		{"GET", "/jobs/{id}/changes", rights.Diff, page(s.jobs.ChangesPage)},
		{"GET", "/jobs/{id}/proofs", rights.Find, page(s.jobs.ProofsPage)},
		{"POST", "/hosts/{id}/run/{kind}", rights.Run, page(s.jobs.RunOnHost)},
		{"GET", "/hosts/{id}/operations", rights.Run, page(s.repos.HostOperations)},
		{"GET", "/repositories", rights.See, page(s.repos.RepositoriesPage)},
		{"GET", "/repositories/choose", rights.See, page(s.pages.ChooseRepositories)},
		{"GET", "/repositories/new", rights.Repositories, page(s.repos.NewRepository)},
		{"POST", "/repositories/try", rights.Repositories, page(s.repos.TryRepository)},
		{"POST", "/repositories/url", rights.Repositories, page(s.repos.MadeURL)},
		{"POST", "/repositories/new", rights.Repositories, page(s.repos.SaveRepository)},
		{"GET", "/repositories/{id}", rights.See, page(s.repos.RepositoryPage)},
		{"GET", "/repositories/{id}/edit", rights.Repositories, page(s.repos.EditRepository)},
		{"POST", "/repositories/{id}/edit", rights.Repositories, page(s.repos.SaveRepository)},
		{"POST", "/repositories/{id}/refresh", rights.Snapshots, page(s.repos.RefreshPage)},
		{"POST", "/repositories/{id}/run", rights.Run, page(s.jobs.RunOnRepository)},
		{"GET", "/repositories/{id}/keys", rights.Repositories, page(s.repos.KeysPage)},
		{"POST", "/repositories/{id}/keys", rights.Repositories, secretPage(s.repos.AddKey)},
		{"POST", "/repositories/{id}/keys/password", rights.Repositories, secretPage(s.repos.ChangePassword)},
		{"POST", "/repositories/{id}/keys/password/call-off", rights.Repositories, page(s.repos.CallOffPassword)},
		{"POST", "/repositories/{id}/keys/password/go-on", rights.Repositories, page(s.repos.GoOnPassword)},
		{"POST", "/repositories/{id}/keys/password/former", rights.Kit, secretPage(s.repos.FormerPassword)},
		{"POST", "/repositories/{id}/keys/{key}/remove", rights.Repositories, page(s.repos.RemoveKey)},
		{"POST", "/repositories/{id}/keys/{key}/trust", rights.Repositories, page(s.repos.TrustKeyPage)},
		{"POST", "/repositories/{id}/foreign/acknowledge", rights.Repositories, page(s.repos.AcknowledgeForeignPage)},
		{"POST", "/repositories/{id}/missing/acknowledge", rights.Repositories, page(s.repos.AcknowledgeMissingPage)},
		{"POST", "/repositories/{id}/places", rights.Repositories, page(s.repos.SavePlace)},
		{"POST", "/repositories/{id}/making/release", rights.Repositories, page(s.repos.ReleaseMakingPage)},
		{"GET", "/repositories/{id}/repair", rights.See, page(s.repos.MendPage)},
		{"GET", "/repositories/{id}/change", rights.Tag, page(s.repos.ChangePage)},
		{"GET", "/repositories/{id}/remove", rights.Repositories, page(s.removals.RepositoryRemoval)},
		{"POST", "/repositories/{id}/remove", rights.Repositories, page(s.removals.RemoveRepository)},
		{"POST", "/repositories/{id}/restore", rights.Repositories, page(s.removals.RestoreRepository)},
		{"GET", "/removed", rights.Hosts, page(s.removals.RemovedPage)},
		{"GET", "/jobs", rights.See, page(s.jobs.JobsPage)},
		{"GET", "/jobs/{id}", rights.See, page(s.jobs.JobPage)},
		{"GET", "/jobs/{id}/log.txt", rights.See, page(s.jobs.TextLog)},
		{"GET", "/jobs/{id}/log.ndjson", rights.See, page(s.jobs.JsonLog)},
		{"POST", "/jobs/{id}/again", rights.Run, page(s.jobs.RunAgain)},
		{"POST", "/jobs/{id}/unlock", rights.Unlock, page(s.jobs.UnlockAndRunAgain)},
		{"POST", "/jobs/{id}/exclude", rights.Sources, page(s.jobs.ExcludeUnreadable)},
		{"POST", "/jobs/{id}/cancel", rights.Cancel, page(s.jobs.CancelJob)},
		{"GET", "/repositories/{id}/kit", rights.Kit, secretPage(s.repos.KitPage)},
		{"GET", "/repositories/kit", rights.Kit, secretPage(s.repos.AllKitsPage)},
		{"GET", "/hosts/{id}/kit", rights.Kit, secretPage(s.repos.HostKitPage)},
		{"GET", "/audit", rights.Audit, page(s.pages.AuditPage)},
		{"GET", "/audit/export.csv", rights.Audit, page(s.pages.ExportAudit)},
		{"POST", "/audit/verify", rights.Audit, page(s.pages.VerifyAudit)},
		{"GET", "/control-plane", rights.People, page(s.accounts.ControlPlanePage)},
		{"POST", "/control-plane/copy", rights.People, page(s.accounts.CopyControlPlane)},
		{"POST", "/control-plane/answer", rights.People, page(s.accounts.AnswerForm)},
		{"GET", "/settings", rights.See, page(s.pages.SettingsPage)},
		{"GET", "/identity", rights.Identity, page(s.pages.IdentityPage)},
		{"POST", "/identity", rights.Identity, page(s.pages.TakeStep)},
		{"GET", "/events", rights.See, stream(s.events)},

		{"GET", "/api/alerts", rights.See,
			operation("list-alerts", "What somebody should know: what fails, what is late, what is damaged", 200, s.api.ListAlerts)},
		{"GET", "/api/alerts/{id}", rights.See, operation("get-alert", "One alert, also one that has ended", 200, s.api.GetAlert)},
		{"POST", "/api/alerts/{id}/acknowledge", rights.Alerts,
			operation("acknowledge-alert", "Say that somebody looks after an alert: nobody is reminded", 200, s.api.AcknowledgeAlert)},
		{"POST", "/api/alerts/{id}/snooze", rights.Alerts,
			operation("snooze-alert", "Have an alert be quiet until a moment; then it is told again if it goes on", 200, s.api.SnoozeAlert)},
		{"POST", "/api/alerts/{id}/wake", rights.Alerts,
			operation("wake-alert", "End the quiet of an alert that was snoozed", 200, s.api.WakeAlert)},
		{"POST", "/api/alerts/{id}/end", rights.Alerts,
			operation("end-alert", "End an alert by hand; it opens anew only once its condition was over", 200, s.api.EndAlert)},
		{"GET", "/api/alert-pauses", rights.See,
			operation("list-pauses", "Times in which nobody is told of a host, of hosts with a tag, or at all", 200, s.api.ListPauses)},
		{"POST", "/api/alert-pauses", rights.Alerts,
			operation("create-pause", "Have nobody told for a while; what is open at its end is told then", 201, s.api.CreatePause)},
		{"DELETE", "/api/alert-pauses/{id}", rights.Alerts, operation("delete-pause", "End a pause now", 204, s.api.DeletePause)},
		{"GET", "/api/alert-thresholds", rights.See,
			operation("get-thresholds", "From when on conditions count, where somebody set it", 200, s.api.GetThresholds)},
		{"PUT", "/api/alert-thresholds", rights.Telling,
			operation("put-thresholds", "Say from when on conditions count, in place of all that was set before", 200, s.api.PutThresholds)},
		{"GET", "/api/alert-rules", rights.Telling, operation("get-rules", "Who hears of what", 200, s.api.GetRules)},
		{"PUT", "/api/alert-rules", rights.Telling,
			operation("put-rules", "Say who hears of what, in place of all rules before", 200, s.api.PutRules)},
		{"GET", "/api/channels", rights.Telling, operation("list-channels", "Where people are told, by name; never a secret", 200,
			s.api.ListChannels)},
		{"POST", "/api/channels", rights.Telling,
			operation("create-channel", "Add a channel; the answer alone tells a secret that was made for it", 201, s.api.CreateChannel)},
		{"GET", "/api/channels/{id}", rights.Telling, operation("get-channel", "One channel, and how it is doing", 200, s.api.GetChannel)},
		{"PUT", "/api/channels/{id}", rights.Telling,
			operation("put-channel", "Change a channel; what is left out stays as it is, secrets too", 200, s.api.PutChannel)},
		{"DELETE", "/api/channels/{id}", rights.Telling,
			operation("delete-channel", "Remove a channel, with what waits to be told there", 204, s.api.DeleteChannel)},
		{"POST", "/api/channels/{id}/test", rights.Telling,
			operation("test-channel", "Tell a channel of an example now; the answer is what the other side said", 200, s.api.TestChannel)},
		{"GET", "/api/channels/{id}/deliveries", rights.Telling,
			operation("list-deliveries", "What was told in a channel, with every try, the newest first", 200, s.api.ListDeliveries)},
		{"GET", "/api/heartbeat", rights.Telling,
			operation("get-heartbeat", "The address elsewhere that is told while this server really works", 200, s.api.GetHeartbeat)},
		{"PUT", "/api/heartbeat", rights.Telling,
			operation("put-heartbeat", "Say where it is told that this server works; what is left out stays as it is", 200, s.api.PutHeartbeat)},
		{"GET", "/api/uplink", rights.Telling,
			operation("get-uplink", "How a broker of your own is reached to which everything public is published, and how that is going", 200,
				s.api.GetUplink)},
		{"PUT", "/api/uplink", rights.Telling,
			operation("put-uplink", "Say how it is reached; what is left out stays as it is, secrets too unless the URL leads elsewhere", 200,
				s.api.PutUplink)},
		{"POST", "/api/uplink/test", rights.Telling,
			operation("test-uplink", "Try what the settings with these changes would be good for; nothing is saved", 200, s.api.TestUplink)},
		{"DELETE", "/api/uplink/left/{id}", rights.Telling,
			operation("give-up-uplink", "Leave alone what is retained at a broker that was left: it is gone for good", 204,
				s.api.GiveUpUplinkPlace)},
		{"GET", "/api/pings", rights.Telling, operation("list-pings", "The addresses elsewhere that are told of good backups", 200,
			s.api.ListPings)},
		{"PUT", "/api/pings", rights.Telling,
			operation("put-ping", "Say where it is told that a host, hosts with a tag, or a schedule backs up", 200, s.api.PutPing)},
		{"GET", "/api/public-url", rights.See, operation("get-public-url", "The address that links in messages begin with", 200,
			s.api.GetPublicURL)},
		{"PUT", "/api/public-url", rights.Telling,
			operation("put-public-url", "Say at which address people find these pages", 200, s.api.PutPublicURL)},

		{"GET", "/api/agents-public", rights.See, operation("get-agents-public", "The address that agents dial", 200,
			s.api.GetAgentsPublic)},
		{"PUT", "/api/agents-public", rights.Telling,
			operation("put-agents-public", "Say at which address agents reach this server", 200, s.api.PutAgentsPublic)},

		{"GET", "/api/notices", rights.See,
			operation("list-notices", "What people should know about this server itself, the worst first", 200, s.api.ListNotices)},
		{"GET", "/api/control-plane", rights.People,
			operation("get-control-plane", "Copies of this server's database, and whom it asks about since a restore", 200, s.api.GetControlPlane)},
		{"POST", "/api/control-plane/copies", rights.People,
			operation("copy-control-plane", "Copy this server's own database now; the key is not in it", 201, s.api.CopyControlPlane)},
		{"POST", "/api/control-plane/answers", rights.People,
			operation("answer-questions", "Confirm or refuse whom a copy trusts, after a restore", 200, s.api.AnswerQuestions)},
		{"GET", "/api/identity", rights.Identity,
			operation("get-plane-identity", "By which CA and sealing key hosts know the control plane, and how far a change has come", 200,
				s.api.GetPlaneIdentity)},
		{"POST", "/api/identity", rights.Identity,
			operation("change-plane-identity", "Begin a change of the CA and the sealing key, or change its course", 200,
				s.api.ChangePlaneIdentity)},
		{"GET", "/api/openapi.json", anybody, page(s.api.OpenAPI)},
		{"GET", "/api/hosts", rights.See, operation("list-hosts", "Every host, by name", 200, s.api.ListHosts)},
		{"GET", "/api/hosts/{id}/identity", rights.See,
			operation("get-identity", "What a host proves itself with, and what it permits", 200, s.api.GetIdentity)},
		{"POST", "/api/enroll-tokens", rights.Hosts,
			operation("create-enroll-token", "Make a token that enrols a new host", 201, s.api.CreateEnrollToken)},
		{"GET", "/api/enroll-keys", rights.Hosts,
			operation("list-enroll-keys", "The keys with which many hosts enrol; never a secret", 200, s.api.ListEnrollKeys)},
		{"POST", "/api/enroll-keys", rights.Hosts,
			operation("create-enroll-key", "Make a key with which many hosts enrol; the answer alone tells it", 201, s.api.CreateEnrollKey)},
		{"DELETE", "/api/enroll-keys/{id}", rights.Hosts,
			operation("delete-enroll-key", "Have a key let nobody in any more; the hosts it let in stay", 204, s.api.DeleteEnrollKey)},
		{"GET", "/api/held-hosts", rights.Hosts,
			operation("list-held-hosts", "Hosts that came with a key and wait for approval", 200, s.api.ListHeldHosts)},
		{"POST", "/api/hosts/{id}/approve", rights.Hosts,
			operation("approve-host", "Trust a host that waits for approval", 200, s.api.ApproveHost)},
		{"POST", "/api/hosts/{id}/enroll-tokens", rights.Hosts,
			operation("create-host-token", "Make a token that gives a host new keys", 201, s.api.CreateHostToken)},
		{"POST", "/api/hosts/{id}/revoke", rights.Hosts,
			operation("revoke-host", "Trust a host's agent no longer", 200, s.api.RevokeIdentity)},
		{"GET", "/api/hosts/{id}/replacement", rights.See,
			operation("get-replacement", "How far another machine has taken the place of a host's lost one", 200, s.api.GetReplacement)},
		{"POST", "/api/hosts/{id}/replacement", rights.Hosts,
			operation("begin-replacement", "Make a token with which another machine becomes this host", 201, s.api.BeginReplacement)},
		{"DELETE", "/api/hosts/{id}/replacement", rights.Hosts,
			operation("call-off-replacement", "Call it off, before the new machine is enrolled", 200, s.api.CallOffReplacement)},
		{"POST", "/api/hosts/{id}/replacement/decide", rights.Decide,
			operation("decide-replacement", "Say of source groups that their files are restored, or to start without", 200,
				s.api.DecideReplacement)},
		{"POST", "/api/hosts/{id}/twins", rights.Hosts,
			operation("decide-twins", "Say which of two machines with one identity stays the host; the other gets a token", 200, s.api.DecideTwins)},
		{"GET", "/api/repositories", rights.See,
			operation("list-repositories", "Every repository, by name; never a secret", 200, s.api.ListRepositories)},
		{"GET", "/api/repositories/{id}", rights.See,
			operation("get-repository", "One repository, and what is known of it", 200, s.api.GetRepository)},
		{"PUT", "/api/repositories/{id}", rights.Repositories,
			operation("put-repository", "Change a repository; what is left out stays as it is, secrets too", 200, s.api.PutRepository)},
		{"DELETE", "/api/repositories/{id}", rights.Repositories,
			operation("delete-repository", "Take a repository out of care; nothing is done to what it holds", 204, s.api.DeleteRepository)},
		{"GET", "/api/repositories/{id}/snapshots", rights.See,
			operation("list-repository-snapshots", "What a repository holds, the newest first", 200, s.api.RepositorySnapshots)},
		{"GET", "/api/repositories/{id}/snapshots/{snapshot}/files", rights.Browse,
			question("list-files", "List a directory of a snapshot", s.api.Files)},
		{"GET", "/api/repositories/{id}/versions", rights.Browse,
			question("list-versions", "List in which snapshots a path is", s.api.Versions)},
		{"GET", "/api/hosts/{id}/directories", rights.Places,
			question("list-directories", "List directories of a host to which may be restored", s.api.Directories)},
		{"GET", "/api/hosts/{id}/ssh", rights.Hosts,
			question("get-ssh", "Ask a host for its SSH key, and for the SFTP servers it trusts or was shown a key of", s.api.GetSSH)},
		{"POST", "/api/hosts/{id}/ssh-key", rights.Hosts,
			question("make-ssh-key", "Have a host make an SSH key pair, if its agent has none; the private half stays there", s.api.MakeSSHKey)},
		{"POST", "/api/hosts/{id}/host-keys", rights.Hosts,
			question("accept-host-key", "Have a host trust an SFTP server by a key that the server has shown it", s.api.AcceptHostKey)},
		{"GET", "/api/repositories/{id}/locks", rights.See,
			operation("list-locks", "The locks the last look found, and who holds them", 200, s.api.ListLocks)},
		{"GET", "/api/repositories/{id}/keys", rights.See,
			operation("list-keys", "A repository's keys, those nobody trusts first", 200, s.api.ListKeys)},
		{"POST", "/api/repositories/{id}/keys/{key}/trust", rights.Repositories,
			operation("trust-key", "Say that a key is one of ours", 204, s.api.TrustKey)},
		{"POST", "/api/repositories/{id}/keys", rights.Repositories,
			operation("add-key", "Have a key added for somebody else", 202, s.api.AddKey)},
		{"DELETE", "/api/repositories/{id}/keys/{key}", rights.Repositories,
			operation("remove-key", "Have a key removed that is not in use", 202, s.api.RemoveKey)},
		{"POST", "/api/repositories/{id}/password", rights.Repositories,
			operation("change-password", "Begin to change a repository's password: new key first, old key last", 202, s.api.ChangePassword)},
		{"GET", "/api/repositories/{id}/password", rights.Repositories,
			operation("get-password-change", "How far the last change of a repository's password is", 200, s.api.PasswordChange)},
		{"POST", "/api/repositories/{id}/password/call-off", rights.Repositories,
			operation("call-off-password", "Have a change of a password go back, before the old key is removed", 200, s.api.CallOffPassword)},
		{"POST", "/api/repositories/{id}/password/go-on", rights.Repositories,
			operation("go-on-password", "Go on without hosts that have not confirmed the new password, or places that nobody reaches", 200,
				s.api.GoOnPassword)},
		{"POST", "/api/repositories/{id}/password/former", rights.Kit,
			operation("former-password", "Tell the password of a place without which a change went on", 200, s.api.FormerPassword)},
		{"POST", "/api/repositories/{id}/foreign/acknowledge", rights.Repositories,
			operation("acknowledge-foreign", "Say that all snapshots which no job of ours made are known", 200, s.api.AcknowledgeForeign)},
		{"POST", "/api/repositories/{id}/making/release", rights.Repositories,
			operation("release-making", "Say that the host which was to make the repository is not at work on it", 200, s.api.ReleaseMaking)},
		{"GET", "/api/repositories/{id}/missing", rights.See,
			operation("list-missing-snapshots", "Snapshots of ours that are gone although no job of ours removed them", 200, s.api.ListMissing)},
		{"POST", "/api/repositories/{id}/missing/acknowledge", rights.Repositories,
			operation("acknowledge-missing", "Say which missing snapshots are known to be missing", 200, s.api.AcknowledgeMissing)},
		{"GET", "/api/repositories/{id}/places", rights.See,
			operation("list-places", "Where hosts find a repository: one place for all, or each its own", 200, s.api.ListPlaces)},
		{"PUT", "/api/repositories/{id}/places/{host}", rights.Repositories,
			operation("put-place", "Choose what {host} in the address stands for at a host's place, before it is used", 200, s.api.PutPlace)},
		{"GET", "/api/repositories/{id}/days", rights.See,
			operation("list-days", "What a repository held, day by day", 200, s.api.ListDays)},
		{"POST", "/api/repositories/{id}/refresh", rights.Snapshots,
			operation("refresh-repository", "Ask a host what a repository holds now", 202, s.api.RefreshRepository)},
		{"PUT", "/api/hosts/{id}/pause", rights.Pause,
			operation("pause-host", "Pause all schedules of a host for a while, or give its pause another end", 200, s.api.PutPause)},
		{"DELETE", "/api/hosts/{id}/pause", rights.Pause,
			operation("resume-host", "End the pause of a host's schedules now", 204, s.api.DeletePauseOfHost)},
		{"PATCH", "/api/hosts/{id}", rights.Hosts,
			operation("change-host", "Rename or tag a host, retire it or not, and say whether it comes and goes; what is left out stays", 200,
				s.api.PutHost)},
		{"DELETE", "/api/hosts/{id}", rights.Hosts,
			operation("delete-host", "Remove a host; it can be brought back for thirty days, and its snapshots stay", 204, s.api.DeleteHost)},
		{"POST", "/api/hosts/{id}/restore-removed", rights.Hosts,
			operation("restore-host", "Bring back a removed host, with its source groups and schedules", 200, s.api.RestoreHost)},
		{"GET", "/api/hosts/{id}/removed-source-groups", rights.See,
			operation("list-removed-source-groups", "The source groups of a host that can be brought back", 200, s.api.ListRemovedGroups)},
		{"PATCH", "/api/hosts/{id}/source-groups/{name}", rights.Sources,
			operation("change-source-group", "Rename or change a source group; what is left out stays as it is", 200, s.api.PatchSourceGroup)},
		{"DELETE", "/api/hosts/{id}/source-groups/{name}", rights.Sources,
			operation("delete-source-group", "Remove a source group; it can be brought back for thirty days", 200, s.api.DeleteSourceGroup)},
		{"POST", "/api/hosts/{id}/source-groups/{name}/restore-removed", rights.Sources,
			operation("restore-source-group", "Bring back a removed source group", 200, s.api.RestoreSourceGroup)},
		{"POST", "/api/hosts/{id}/source-groups/{name}/accept-size", rights.Sources,
			operation("accept-size", "Say that a source group is meant to hold what its newest snapshot holds", 200, s.api.AcceptSize)},
		{"PATCH", "/api/repositories/{id}", rights.Repositories,
			operation("change-repository", "Change a repository; what is left out stays as it is, secrets too", 200, s.api.PutRepository)},
		{"POST", "/api/repositories/{id}/restore-removed", rights.Repositories,
			operation("restore-repository", "Bring back a removed repository, and the source groups that went with it", 200,
				s.api.RestoreRepository)},
		{"GET", "/api/restic", rights.See,
			operation("get-restics", "Which versions of restic run, and what each lacks of what is used", 200, s.api.GetRestics)},
		{"GET", "/api/restic/hosts", rights.See,
			operation("list-host-restics", "The restic of each host, and what it lacks", 200, s.api.ListHostRestics)},
		{"GET", "/api/restic/files", rights.See,
			operation("list-restic-files", "Files with restic that lie here, and those whose checksum was confirmed", 200, s.api.ListResticFiles)},
		{"PUT", "/api/restic/files/{name}", rights.Update,
			operation("put-restic-file", "Confirm the checksum of a file with restic, so that hosts may be told to fetch it", 200,
				s.api.PutResticFile)},
		{"DELETE", "/api/restic/files/{name}", rights.Update,
			operation("delete-restic-file", "Have hosts be told to fetch a file with restic no more", 204, s.api.DeleteResticFile)},
		{"POST", "/api/restic/fetches", rights.Update,
			operation("fetch-restic", "Have agents fetch a restic that lies here and use it, or go back to the one before", 200, s.api.FetchRestic)},
		{"GET", "/api/updates", rights.See,
			operation("get-updates", "What agents can be updated to, which versions run, and what goes on", 200, s.api.GetUpdates)},
		{"GET", "/api/updates/hosts", rights.See,
			operation("list-host-updates", "The version of each host's agent, and why it cannot be updated from here", 200,
				s.api.ListHostUpdates)},
		{"PUT", "/api/updates/settings", rights.Update,
			operation("put-update-settings", "Say whether newer versions are rolled out by themselves; what is left out stays as it is", 200,
				s.api.PutUpdateSettings)},
		{"GET", "/api/updates/rollouts", rights.See,
			operation("list-rollouts", "Rollouts, those that began last first", 200, s.api.ListRollouts)},
		{"POST", "/api/updates/rollouts", rights.Update,
			operation("create-rollout", "Update agents to the release that lies here; one to the same hosts that goes on is the answer", 201,
				s.api.CreateRollout)},
		{"GET", "/api/updates/rollouts/{id}", rights.See, operation("get-rollout", "A rollout with its hosts", 200, s.api.GetRollout)},
		{"POST", "/api/updates/rollouts/{id}/stop", rights.Update,
			operation("stop-rollout", "Have no further host begin; what is being updated goes on", 200, s.api.StopRollout)},
		{"GET", "/api/removed", rights.See,
			operation("list-removed", "Hosts and repositories that can be brought back", 200, s.api.ListRemoved)},
		{"PUT", "/api/hosts/{id}", rights.Hosts,
			operation("put-host", "Say whether a host comes and goes; what is left out stays as it is", 200, s.api.PutHost)},
		{"POST", "/api/repositories", rights.Repositories, operation("create-repository", "Register a repository", 201, s.api.CreateRepository)},
		{"POST", "/api/repositories/test", rights.Repositories,
			operation("test-repository", "Have a host look where a repository is to be; nothing is saved", 200, s.api.TestRepository)},
		{"POST", "/api/repositories/import", rights.Repositories,
			operation("import-repository", "Register a repository with what it holds, propose whose that is, or take in what was confirmed", 200,
				s.api.ImportRepository)},
		{"GET", "/api/repositories/{id}/imports", rights.See,
			operation("list-imports", "What was taken in to a repository, the last one first", 200, s.api.ListImports)},
		{"DELETE", "/api/repositories/{id}/imports/{import}", rights.Repositories,
			operation("undo-import", "Give what was taken in back to nobody", 204, s.api.UndoImport)},
		{"GET", "/api/repositories/{id}/retention-plan", rights.See,
			operation("get-retention-plan", "What the next forget keeps and removes, and why", 200, s.api.RetentionPlan)},
		{"POST", "/api/repositories/{id}/retention-plan", rights.See,
			operation("try-retention-plan", "What a forget would keep and remove by other rules; nothing is saved", 200, s.api.TryRetention)},
		{"GET", "/api/repositories/{id}/maintenance", rights.See,
			operation("get-maintenance", "When a repository is looked after, and how that went", 200, s.api.GetMaintenance)},
		{"PUT", "/api/repositories/{id}/maintenance", rights.Hours,
			operation("put-maintenance", "Say when a repository is looked after; what is left out stays as it is", 200, s.api.PutMaintenance)},
		{"POST", "/api/repositories/{id}/maintenance", rights.Run,
			operation("create-maintenance", "Have a repository's keeper forget, prune or check now", 202, s.api.CreateMaintenance)},
		{"GET", "/api/repositories/{id}/mirror", rights.See,
			operation("get-mirror", "Where a repository is copied to, and how that goes", 200, s.api.GetMirror)},
		{"PUT", "/api/repositories/{id}/mirror", rights.Repositories,
			operation("put-mirror", "Have a repository copied into another; what is left out stays as it is", 200, s.api.PutMirror)},
		{"DELETE", "/api/repositories/{id}/mirror", rights.Repositories,
			operation("delete-mirror", "Copy a repository no more; what was copied stays", 204, s.api.DeleteMirror)},
		{"PUT", "/api/hosts/{id}/source-groups/{name}", rights.Sources,
			operation("put-source-group", "Say what a host backs up, and where to", 200, s.api.PutSourceGroup)},
		{"GET", "/api/hosts/{id}/schedules", rights.See,
			operation("list-schedules", "When a host's source groups are backed up, and what is owed", 200, s.api.ListSchedules)},
		{"GET", "/api/drills", rights.See,
			operation("list-drills", "When hosts prove that they can be restored: plans of hosts, tags and the fleet", 200, s.api.ListDrills)},
		{"PUT", "/api/drill", rights.Schedules,
			operation("put-fleet-drill", "Say when every host proves that it can be restored that has no plan nearer to it", 200,
				s.api.PutFleetDrill)},
		{"DELETE", "/api/drill", rights.Schedules,
			operation("delete-fleet-drill", "Take the fleet's plan of drills back", 204, s.api.DropFleetDrill)},
		{"DELETE", "/api/tags/{tag}/drill", rights.Schedules,
			operation("delete-tag-drill", "Take a tag's plan of drills back", 204, s.api.DropTagDrill)},
		{"DELETE", "/api/hosts/{id}/drill", rights.Schedules,
			operation("delete-drill", "Take a host's own plan of drills back; its tags' or the fleet's counts then", 204, s.api.DropDrill)},
		{"PUT", "/api/tags/{tag}/drill", rights.Schedules,
			operation("put-tag-drill", "Say when every host with a tag proves that it can be restored", 200, s.api.PutTagDrill)},
		{"GET", "/api/hosts/{id}/drill", rights.See,
			operation("get-drill", "Whether a host is proven restorable, what the last drills say, and when the next is", 200, s.api.GetDrill)},
		{"PUT", "/api/hosts/{id}/drill", rights.Schedules,
			operation("put-drill", "Say when a host proves that it can be restored; what is left out stays as it is", 200, s.api.PutDrill)},
		{"GET", "/api/hosts/{id}/schedules/{name}", rights.See,
			operation("get-schedule", "One schedule, and what it owes", 200, s.api.GetSchedule)},
		{"PUT", "/api/hosts/{id}/schedules/{name}", rights.Schedules,
			operation("put-schedule", "Say when source groups are backed up; what is left out stays as it is", 200, s.api.PutSchedule)},
		{"DELETE", "/api/hosts/{id}/schedules/{name}", rights.Schedules,
			operation("delete-schedule", "Remove a schedule; jobs it asked for go on", 204, s.api.DeleteSchedule)},
		{"GET", "/api/hosts/{id}/schedules/{name}/next", rights.See,
			operation("next-runs", "When a schedule begins next", 200, s.api.NextRuns)},
		{"GET", "/api/hosts/{id}/schedules/{name}/slots", rights.See,
			operation("schedule-slots", "What became of a schedule's slots: ran, or missed and why", 200, s.api.ScheduleSlots)},
		{"POST", "/api/hosts/{id}/jobs", rights.Run, operation("create-job", "Ask a host for a job", 202, s.api.CreateJob)},
		{"GET", "/api/hosts/{id}/snapshots", rights.See,
			operation("list-snapshots", "A host's snapshots, the newest first", 200, s.api.ListSnapshots)},
		{"GET", "/api/jobs", rights.See, operation("list-jobs", "Jobs, the last that were asked for first", 200, s.api.ListJobs)},
		{"GET", "/api/jobs/{id}", rights.See, operation("get-job", "One job, at any moment of its life", 200, s.api.GetJob)},
		{"GET", "/api/jobs/{id}/log", rights.See,
			operation("get-job-log", "A job's log as NDJSON, a line or a gap each", 200, s.api.GetLog)},
		{"GET", "/api/jobs/{id}/report", rights.See,
			operation("get-job-report", "What a job found out: snapshots, keys, locks, matches, changes", 200, s.api.GetReport)},
		{"GET", "/api/jobs/{id}/matches", rights.Find,
			operation("list-matches", "What a search has found so far; go on from next while done is false", 200, s.api.ListMatches)},
		{"GET", "/api/jobs/{id}/proofs", rights.Find,
			operation("list-proofs", "What a drill found out about each file, a part at a time; failed leaves out what was proven", 200,
				s.api.ListProofs)},
		{"POST", "/api/jobs/{id}/cancel", rights.Cancel, operation("cancel-job", "Ask for the end of a job", 202, s.api.Cancel)},
		{"GET", "/api/audit", rights.Audit, operation("list-audit", "What was done and by whom, the newest first", 200, s.api.ListAudit)},
		{"GET", "/api/jobs/{id}/stream", rights.See, stream(s.api.Follow)},
		{"GET", "/api/users", rights.People, operation("list-users", "Everybody who may sign in, by name", 200, s.api.ListUsers)},
		{"POST", "/api/users", rights.People,
			operation("create-user", "Add a person; the answer says where they choose a password", 201, s.api.CreateUser)},
		{"PATCH", "/api/users/{id}", rights.People,
			operation("change-user", "Give a person another role, shut them out or let them in; their sessions end", 200, s.api.ChangeUser)},
		{"DELETE", "/api/users/{id}", rights.People,
			operation("delete-user", "Remove a person; their sessions, API tokens and MQTT consumers end", 200, s.api.DeleteUser)},
		{"POST", "/api/users/{id}/password-link", rights.People,
			operation("create-password-link", "Make a link by which a person sets a new password, once", 201, s.api.CreatePasswordLink)},
		{"DELETE", "/api/users/{id}/sessions", rights.People,
			operation("delete-sessions", "Sign a person out everywhere", 204, s.api.DeleteSessions)},
		{"GET", "/api/sessions", rights.Self,
			operation("list-sessions", "One's own sessions; an administrator's list is everybody's", 200, s.api.ListSessions)},
		{"DELETE", "/api/sessions/{id}", rights.Self,
			operation("delete-session", "End one session: one's own, or as an administrator anybody's", 204, s.api.DeleteSession)},
		{"GET", "/api/tokens", rights.People, operation("list-tokens", "The API's tokens, by name", 200, s.api.ListTokens)},
		{"POST", "/api/tokens", rights.People,
			operation("create-token", "Make a token for a program; the answer alone tells it", 201, s.api.CreateToken)},
		{"DELETE", "/api/tokens/{id}", rights.People, operation("delete-token", "Revoke a token", 204, s.api.DeleteToken)},
		{"GET", "/api/home-assistant", rights.Consumers,
			operation("get-home-assistant", "What Home Assistant is told", 200, s.api.GetHomeAssistant)},
		{"PUT", "/api/home-assistant", rights.Consumers,
			operation("put-home-assistant", "Say what Home Assistant is told; what is left out stays as it is", 200, s.api.PutHomeAssistant)},
		{"GET", "/api/consumers", rights.Consumers, operation("list-consumers", "The MQTT consumers, by name", 200, s.api.ListConsumers)},
		{"POST", "/api/consumers", rights.Consumers,
			operation("create-consumer", "Make a credential for an MQTT consumer; the answer alone tells its password", 201, s.api.CreateConsumer)},
		{"PATCH", "/api/consumers/{name}", rights.Consumers,
			operation("change-consumer", "Change what a consumer may do; its connections end", 200, s.api.ChangeConsumer)},
		{"POST", "/api/consumers/{name}/password", rights.Consumers,
			operation("reset-consumer", "Give a consumer a new password; its connections end", 200, s.api.ResetConsumer)},
		{"DELETE", "/api/consumers/{name}", rights.Consumers,
			operation("delete-consumer", "Revoke a consumer's credential; its connections end", 204, s.api.DeleteConsumer)},
	}
}

// Addresses lists the paths that answer a method, with {names} for their parameters.
func (s *Server) Addresses(method string) []string {
	var list []string
	for _, rt := range s.routes() {
		if rt.method == method {
			list = append(list, rt.path)
		}
	}
	return list
}

// An endpoint puts itself onto the mux, behind its route's guard.
type endpoint func(*Server, route)

// page is an endpoint that answers with a page, a redirect, or anything else it
// writes itself.
func page(h func(http.ResponseWriter, *http.Request) error) endpoint {
	return func(s *Server, rt route) { s.put(rt, compressed(s.wrap(h))) }
}

// secretPage is a page that shows a secret which is good for longer than this
// answer: it is never compressed, see compress.go.
func secretPage(h func(http.ResponseWriter, *http.Request) error) endpoint {
	return func(s *Server, rt route) { s.put(rt, s.wrap(h)) }
}

func (s *Server) put(rt route, h http.Handler) {
	guarded := s.guard(rt, true, h)
	s.mux.Method(rt.method, rt.path, guarded)
	if rt.method == http.MethodGet {
		s.mux.Method(http.MethodHead, rt.path, guarded)
	}
}

// stream is an endpoint whose answer goes on. It is no use of a session: a tab
// that was left open does not keep anybody signed in.
func stream(h func(http.ResponseWriter, *http.Request) error) endpoint {
	return func(s *Server, rt route) {
		s.mux.Method(rt.method, rt.path, s.guard(rt, false, s.wrap(func(w http.ResponseWriter, r *http.Request) error {
			if err := session.SameOrigin(r); err != nil {
				return err
			}
			return h(w, r)
		})))
	}
}

// scraped is the page for programs that watch. It has rules of its own, which no role and
// no session meets; to whoever does not keep them it is like an address that is not there,
// by any method and to the last header.
func scraped(s *Server, rt route) {
	if s.Metrics == nil {
		return
	}
	nothing := s.nowhere()
	s.mux.Handle(rt.path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from, sure := session.Sender(r); !s.Metrics.Lets(r, from, sure) {
			nothing.ServeHTTP(w, r)
			return
		}
		lobby.Prove(r.Context())
		s.Metrics.ServeHTTP(w, r)
	}))
}

// nowhere answers at an address that is not there.
func (s *Server) nowhere() http.Handler {
	return compressed(s.wrap(func(http.ResponseWriter, *http.Request) error { return problem.NoPage }))
}

// asking is for an endpoint that has a host do something while whoever asks waits: pages of
// other sites may not start it, and it has as long as the host has.
func (s *Server) asking(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := session.SameOrigin(r); err != nil {
			s.fail(w, r, err)
			return
		}
		rc := http.NewResponseController(w) // both fail only on writers that are no connection
		_ = rc.SetReadDeadline(base.Deadline(s.Timing.Asking))
		_ = rc.SetWriteDeadline(base.Deadline(s.Timing.Asking))
		h.ServeHTTP(w, r)
	})
}

// asks is a page for which a host is asked what the address says.
func asks(h func(http.ResponseWriter, *http.Request) error) endpoint {
	return func(s *Server, rt route) { s.put(rt, s.asking(compressed(s.wrap(h)))) }
}

// question is an operation that asks a host and waits.
func question[I, O any](id, summary string, h func(context.Context, *I) (*O, error)) endpoint {
	return func(s *Server, rt route) {
		api.Register(s.api, huma.Operation{
			OperationID:   id,
			Summary:       summary,
			Method:        rt.method,
			Path:          rt.path,
			DefaultStatus: http.StatusOK,
			Description: rt.needs() + " The host is asked while the request waits, and what it does for it ends with the request. " +
				"A host that is not named is the snapshot's own if that is online, else the keeper, else any other that has the repository. " +
				"It is answered with 409 and a cause if the host is offline, its agent is too old, its policy forbids it or its time is over, " +
				"and with 429 while the host answers four questions. Requests that pages of other sites send are refused.",
			Metadata: map[string]any{"route": rt, "asks": true},
		}, h)
	}
}

// operation is an endpoint of the API, which huma reads, checks and describes.
func operation[I, O any](id, summary string, status int, h func(context.Context, *I) (*O, error)) endpoint {
	return func(s *Server, rt route) {
		api.Register(s.api, huma.Operation{
			OperationID:   id,
			Summary:       summary,
			Method:        rt.method,
			Path:          rt.path,
			DefaultStatus: status,
			Description:   rt.needs(),
			Metadata:      map[string]any{"route": rt},
		}, h)
	}
}

// needs says which role a route takes, and of one that asks for jobs what each of them does.
func (rt route) needs() string {
	text := "Needs the role " + string(rights.Least(rt.right)) + "."
	if rt.right == rights.Run {
		text += " Of jobs, " + rights.Asked()
	}
	return text
}

// An adapter registers huma's operations on the server's own mux, so that one
// list and one guard hold for everything.
type adapter struct{ s *Server }

func (a adapter) Handle(op *huma.Operation, h func(huma.Context)) {
	rt, ok := op.Metadata["route"].(route)
	if !ok {
		panic("web: " + op.Path + " is not in the list of routes")
	}
	serve := compressed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(humachi.NewContext(op, r, w)) }))
	if op.Metadata["asks"] == true {
		serve = a.s.asking(serve)
	}
	a.s.mux.Method(op.Method, op.Path, a.s.guard(rt, true, serve))
}

func (a adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.s.handler.ServeHTTP(w, r) }

// guard lets a request through to whom the route is for.
func (s *Server) guard(rt route, isUse bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, ok := s.limited(w, r, rt.most())
		if !ok {
			return
		}
		r = r.WithContext(store.WithRemote(r.Context(), session.Remote(r)))
		if rt.right == anybody {
			h.ServeHTTP(w, s.layout.InZone(r, nil))
			return
		}
		v, err := s.Sessions.Identify(r)
		switch {
		case err != nil:
			s.fail(w, r, err)
			return
		case v == nil:
			s.ask(w, r, rt)
			return
		}
		lobby.Prove(r.Context())
		r = s.layout.InZone(r.WithContext(views.WithRights(session.With(r.Context(), v), s.rightsOf(v))), v)
		if !v.May(rt.right) {
			s.fail(w, r, base.Forbidden(v, rt.right))
			return
		}
		if isUse {
			r = r.WithContext(base.Hold(r.Context()))
			// That somebody looked need not be written down for them to look.
			if err := s.Sessions.Touch(w, r, v); err != nil && r.Context().Err() == nil {
				s.Log.Error("noting that a session is in use failed", "err", err)
			}
		}
		h.ServeHTTP(w, r)
	})
}

// rightsOf is what a visitor may do, and which pages they may open, by the routes.
func (s *Server) rightsOf(v *session.Visitor) views.Rights {
	of := layout.RightsOf(v)
	of.Opens = func(to string) bool {
		path, _, _ := strings.Cut(to, "#")
		path, _, _ = strings.Cut(path, "?")
		if !strings.HasPrefix(path, "/") {
			return true // a place on the same page, or elsewhere
		}
		rc := chi.NewRouteContext()
		if !s.mux.Match(rc, http.MethodGet, path) {
			return false
		}
		right, known := s.rights[rc.RoutePattern()]
		return known && (right == anybody || v.May(right))
	}
	return of
}

// methods are what the request's address takes.
func (s *Server) methods(r *http.Request) []string {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var found []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if s.mux.Match(chi.NewRouteContext(), m, path) {
			found = append(found, m)
		}
	}
	return found
}

// healthz says that the process lives. A look of ours at our public address ends here, and
// knows by that where it leads.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	s.Reach.Heard(r.URL.Query().Get("look"))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("ok\n"))
	return base.IgnoreGone(err)
}

// readyz says whether the parts that everything needs are there: the database can be
// read and written.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	text, status := "", http.StatusOK
	for _, part := range []struct {
		name string
		err  error
	}{{"database", s.writes.try(r.Context(), s.Store)}, {"brokers", s.BrokerError()}} {
		word := "ok"
		if part.err != nil {
			word, status = "not ready", http.StatusServiceUnavailable
			if cause := room.Why(part.err); cause != "" {
				word += ": " + problem.Unwritable(cause)
			}
			s.Log.Error("not ready", "part", part.name, "err", part.err)
		}
		text += part.name + ": " + word + "\n"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write([]byte(text))
	return base.IgnoreGone(err)
}

var files = views.StaticHandler()

func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	if !views.HasAsset(r.URL.Path) {
		return problem.NoPage
	}
	files.ServeHTTP(w, r)
	return nil
}
