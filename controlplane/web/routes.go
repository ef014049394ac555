package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/api"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

// anybody may use a route without being signed in.
const anybody store.Role = ""

// A route is one method of one address, and the least role that may use it.
type route struct {
	method, path string
	role         store.Role
	serve        endpoint
}

// most is how large a request's body may be, in bytes: strangers have little to say.
func (rt route) most() int64 {
	switch {
	case rt.method == http.MethodGet || rt.method == http.MethodDelete:
		return 4 << 10
	case rt.role == anybody:
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
		{"GET", "/setup", anybody, secretPage(s.accounts.SetupForm)},
		{"POST", "/setup", anybody, page(s.accounts.Setup)},
		{"GET", "/login", anybody, page(s.accounts.LoginForm)},
		{"POST", "/login", anybody, page(s.accounts.Login)},
		{"GET", "/sign-in", anybody, secretPage(s.accounts.SignInByLink)},
		{"GET", "/set-password", anybody, secretPage(s.accounts.PasswordForm)},
		{"POST", "/set-password", anybody, page(s.accounts.SetByLink)},
		{"POST", "/logout", store.Viewer, page(s.accounts.Logout)},

		{"GET", "/account", store.Viewer, page(s.accounts.AccountPage)},
		{"POST", "/account/password", store.Viewer, page(s.accounts.ChangePassword)},
		{"POST", "/account/sign-out", store.Viewer, page(s.accounts.SignOutEverywhere)},
		{"POST", "/sessions/{id}/end", store.Viewer, page(s.accounts.EndOneSession)},
		{"GET", "/users", store.Admin, page(s.accounts.UsersPage)},
		{"GET", "/users/new", store.Admin, page(s.accounts.NewUserForm)},
		{"POST", "/users/new", store.Admin, page(s.accounts.NewUser)},
		{"GET", "/users/{id}", store.Admin, page(s.accounts.UserPage)},
		{"POST", "/users/{id}/role", store.Admin, page(s.accounts.UserForm(s.accounts.RoleForm))},
		{"POST", "/users/{id}/link", store.Admin, page(s.accounts.LinkForUser)},
		{"POST", "/users/{id}/password", store.Admin, page(s.accounts.PasswordForUser)},
		{"POST", "/users/{id}/sign-out", store.Admin, page(s.accounts.UserForm(s.accounts.SignOutForm))},
		{"POST", "/users/{id}/disable", store.Admin, page(s.accounts.UserForm(s.accounts.DisableForm))},
		{"POST", "/users/{id}/enable", store.Admin, page(s.accounts.UserForm(s.accounts.EnableForm))},
		{"POST", "/users/{id}/remove", store.Admin, page(s.accounts.UserForm(s.accounts.RemoveForm))},
		{"GET", "/tokens/new", store.Admin, page(s.accounts.NewTokenForm)},
		{"POST", "/tokens/new", store.Admin, page(s.accounts.NewToken)},
		{"POST", "/tokens/{id}/revoke", store.Admin, page(s.accounts.RevokeToken)},
		{"GET", "/mqtt", store.Admin, page(s.accounts.ConsumersPage)},
		{"GET", "/mqtt/new", store.Admin, page(s.accounts.NewConsumerForm)},
		{"POST", "/mqtt/new", store.Admin, page(s.accounts.NewConsumer)},
		{"GET", "/mqtt/{name}", store.Admin, page(s.accounts.ConsumerPage)},
		{"POST", "/mqtt/{name}/rights", store.Admin, page(s.accounts.ConsumerRights)},
		{"POST", "/mqtt/{name}/password", store.Admin, page(s.accounts.ConsumerPassword)},
		{"POST", "/mqtt/{name}/revoke", store.Admin, page(s.accounts.RevokeConsumer)},

		{"GET", "/", store.Viewer, page(s.pages.FleetPage)},
		{"GET", "/hosts/choose", store.Viewer, page(s.pages.ChooseHosts)},
		{"GET", "/hosts/new", store.Admin, page(s.pages.AddHostForm)},
		{"POST", "/hosts/new", store.Admin, page(s.pages.AddHost)},
		{"GET", "/hosts/{id}", store.Viewer, page(s.pages.HostPage)},
		{"POST", "/hosts/{id}/intermittent", store.Admin, page(s.pages.SaveIntermittent)},
		{"POST", "/hosts/{id}/run/backup", store.Operator, page(s.pages.RunBackup)},
		{"POST", "/hosts/{id}/enrol", store.Admin, page(s.pages.Reenrol)},
		{"POST", "/hosts/{id}/revoke", store.Admin, page(s.pages.RevokeHost)},
		{"GET", "/hosts/{id}/source-groups/new", store.Admin, page(s.pages.NewGroup)},
		{"POST", "/hosts/{id}/source-groups/new", store.Admin, page(s.pages.SaveGroup)},
		{"GET", "/hosts/{id}/source-groups/{name}/edit", store.Admin, page(s.pages.EditGroup)},
		{"POST", "/hosts/{id}/source-groups/{name}/edit", store.Admin, page(s.pages.SaveGroup)},
		{"GET", "/schedules", store.Viewer, page(s.pages.SchedulesPage)},
		{"GET", "/schedules/new", store.Admin, page(s.pages.ChooseScheduleHost)},
		{"GET", "/hosts/{id}/schedules/new", store.Admin, page(s.pages.ScheduleForm)},
		{"POST", "/hosts/{id}/schedules/new", store.Admin, page(s.pages.SaveSchedule)},
		{"POST", "/hosts/{id}/schedules/preview", store.Admin, page(s.pages.PreviewSchedule)},
		{"GET", "/hosts/{id}/schedules/{name}/edit", store.Admin, page(s.pages.ScheduleForm)},
		{"POST", "/hosts/{id}/schedules/{name}/edit", store.Admin, page(s.pages.SaveSchedule)},
		{"POST", "/hosts/{id}/schedules/{name}/enabled", store.Admin, page(s.pages.SwitchSchedule)},
		{"POST", "/hosts/{id}/schedules/{name}/delete", store.Admin, page(s.pages.RemoveSchedule)},
		{"GET", "/repositories/{id}/retention", store.Viewer, page(s.repos.RetentionPage)},
		{"POST", "/repositories/{id}/retention/preview", store.Viewer, page(s.repos.RetentionPreview)},
		{"POST", "/repositories/{id}/maintenance", store.Operator, page(s.repos.Maintain)},
		{"POST", "/repositories/{id}/maintenance/hours", store.Admin, page(s.repos.SaveHours)},
		{"POST", "/hosts/{id}/run/{kind}", store.Operator, page(s.jobs.RunOnHost)},
		{"GET", "/hosts/{id}/operations", store.Operator, page(s.repos.HostOperations)},
		{"GET", "/repositories", store.Viewer, page(s.repos.RepositoriesPage)},
		{"GET", "/repositories/choose", store.Viewer, page(s.pages.ChooseRepositories)},
		{"GET", "/repositories/new", store.Admin, page(s.repos.NewRepository)},
		{"POST", "/repositories/new", store.Admin, page(s.repos.SaveRepository)},
		{"GET", "/repositories/{id}", store.Viewer, page(s.repos.RepositoryPage)},
		{"GET", "/repositories/{id}/edit", store.Admin, page(s.repos.EditRepository)},
		{"POST", "/repositories/{id}/edit", store.Admin, page(s.repos.SaveRepository)},
		{"POST", "/repositories/{id}/refresh", store.Operator, page(s.repos.RefreshPage)},
		{"POST", "/repositories/{id}/run", store.Operator, page(s.jobs.RunOnRepository)},
		{"POST", "/repositories/{id}/keys/{key}/trust", store.Admin, page(s.repos.TrustKeyPage)},
		{"POST", "/repositories/{id}/remove", store.Admin, page(s.repos.RemoveRepositoryPage)},
		{"GET", "/jobs", store.Viewer, page(s.jobs.JobsPage)},
		{"GET", "/jobs/{id}", store.Viewer, page(s.jobs.JobPage)},
		{"GET", "/jobs/{id}/log.txt", store.Viewer, page(s.jobs.TextLog)},
		{"GET", "/jobs/{id}/log.ndjson", store.Viewer, page(s.jobs.JsonLog)},
		{"POST", "/jobs/{id}/again", store.Operator, page(s.jobs.RunAgain)},
		{"POST", "/jobs/{id}/cancel", store.Operator, page(s.jobs.CancelJob)},
		{"GET", "/repositories/{id}/kit", store.Admin, secretPage(s.repos.KitPage)},
		{"GET", "/audit", store.Admin, page(s.pages.AuditPage)},
		{"GET", "/audit/export.csv", store.Admin, page(s.pages.ExportAudit)},
		{"POST", "/audit/verify", store.Admin, page(s.pages.VerifyAudit)},
		{"GET", "/settings", store.Viewer, page(s.pages.SettingsPage)},
		{"GET", "/events", store.Viewer, stream(s.events)},

		{"GET", "/api/openapi.json", anybody, page(s.api.OpenAPI)},
		{"GET", "/api/hosts", store.Viewer, operation("list-hosts", "Every host, by name", 200, s.api.ListHosts)},
		{"GET", "/api/hosts/{id}/identity", store.Viewer,
			operation("get-identity", "What a host proves itself with, and what it permits", 200, s.api.GetIdentity)},
		{"POST", "/api/hosts/{id}/enroll-tokens", store.Admin,
			operation("create-host-token", "Make a token that gives a host new keys", 201, s.api.CreateHostToken)},
		{"POST", "/api/hosts/{id}/revoke", store.Admin,
			operation("revoke-host", "Trust a host's agent no longer", 200, s.api.RevokeIdentity)},
		{"GET", "/api/repositories", store.Viewer,
			operation("list-repositories", "Every repository, by name; never a secret", 200, s.api.ListRepositories)},
		{"GET", "/api/repositories/{id}", store.Viewer,
			operation("get-repository", "One repository, and what is known of it", 200, s.api.GetRepository)},
		{"PUT", "/api/repositories/{id}", store.Admin,
			operation("put-repository", "Change a repository; what is left out stays as it is, secrets too", 200, s.api.PutRepository)},
		{"DELETE", "/api/repositories/{id}", store.Admin,
			operation("delete-repository", "Take a repository out of care; nothing is done to what it holds", 204, s.api.DeleteRepository)},
		{"GET", "/api/repositories/{id}/snapshots", store.Viewer,
			operation("list-repository-snapshots", "What a repository holds, the newest first", 200, s.api.RepositorySnapshots)},
		{"GET", "/api/repositories/{id}/locks", store.Viewer,
			operation("list-locks", "The locks the last look found, and who holds them", 200, s.api.ListLocks)},
		{"GET", "/api/repositories/{id}/keys", store.Viewer,
			operation("list-keys", "A repository's keys, those nobody trusts first", 200, s.api.ListKeys)},
		{"POST", "/api/repositories/{id}/keys/{key}/trust", store.Admin,
			operation("trust-key", "Say that a key is one of ours", 204, s.api.TrustKey)},
		{"GET", "/api/repositories/{id}/days", store.Viewer,
			operation("list-days", "What a repository held, day by day", 200, s.api.ListDays)},
		{"POST", "/api/repositories/{id}/refresh", store.Operator,
			operation("refresh-repository", "Ask a host what a repository holds now", 202, s.api.RefreshRepository)},
		{"PUT", "/api/hosts/{id}", store.Admin,
			operation("put-host", "Say whether a host comes and goes; what is left out stays as it is", 200, s.api.PutHost)},
		{"POST", "/api/repositories", store.Admin, operation("create-repository", "Register a repository", 201, s.api.CreateRepository)},
		{"GET", "/api/repositories/{id}/retention-plan", store.Viewer,
			operation("get-retention-plan", "What the next forget keeps and removes, and why", 200, s.api.RetentionPlan)},
		{"POST", "/api/repositories/{id}/retention-plan", store.Viewer,
			operation("try-retention-plan", "What a forget would keep and remove by other rules; nothing is saved", 200, s.api.TryRetention)},
		{"GET", "/api/repositories/{id}/maintenance", store.Viewer,
			operation("get-maintenance", "When a repository is looked after, and how that went", 200, s.api.GetMaintenance)},
		{"PUT", "/api/repositories/{id}/maintenance", store.Admin,
			operation("put-maintenance", "Say when a repository is looked after; what is left out stays as it is", 200, s.api.PutMaintenance)},
		{"POST", "/api/repositories/{id}/maintenance", store.Operator,
			operation("create-maintenance", "Have a repository's keeper forget, prune or check now", 202, s.api.CreateMaintenance)},
		{"PUT", "/api/hosts/{id}/source-groups/{name}", store.Admin,
			operation("put-source-group", "Say what a host backs up, and where to", 200, s.api.PutSourceGroup)},
		{"GET", "/api/hosts/{id}/schedules", store.Viewer,
			operation("list-schedules", "When a host's source groups are backed up, and what is owed", 200, s.api.ListSchedules)},
		{"GET", "/api/hosts/{id}/schedules/{name}", store.Viewer,
			operation("get-schedule", "One schedule, and what it owes", 200, s.api.GetSchedule)},
		{"PUT", "/api/hosts/{id}/schedules/{name}", store.Admin,
			operation("put-schedule", "Say when source groups are backed up; what is left out stays as it is", 200, s.api.PutSchedule)},
		{"DELETE", "/api/hosts/{id}/schedules/{name}", store.Admin,
			operation("delete-schedule", "Remove a schedule; jobs it asked for go on", 204, s.api.DeleteSchedule)},
		{"GET", "/api/hosts/{id}/schedules/{name}/next", store.Viewer,
			operation("next-runs", "When a schedule begins next", 200, s.api.NextRuns)},
		{"POST", "/api/hosts/{id}/jobs", store.Operator, operation("create-job", "Ask a host for a job", 202, s.api.CreateJob)},
		{"GET", "/api/hosts/{id}/snapshots", store.Viewer,
			operation("list-snapshots", "A host's snapshots, the newest first", 200, s.api.ListSnapshots)},
		{"GET", "/api/jobs", store.Viewer, operation("list-jobs", "Jobs, the last that were asked for first", 200, s.api.ListJobs)},
		{"GET", "/api/jobs/{id}", store.Viewer, operation("get-job", "One job, at any moment of its life", 200, s.api.GetJob)},
		{"GET", "/api/jobs/{id}/log", store.Viewer,
			operation("get-job-log", "A job's log as NDJSON, a line or a gap each", 200, s.api.GetLog)},
		{"GET", "/api/jobs/{id}/report", store.Viewer,
			operation("get-job-report", "What a job found out: snapshots, keys, locks, matches, changes", 200, s.api.GetReport)},
		{"POST", "/api/jobs/{id}/cancel", store.Operator, operation("cancel-job", "Ask for the end of a job", 202, s.api.Cancel)},
		{"GET", "/api/audit", store.Admin, operation("list-audit", "What was done and by whom, the newest first", 200, s.api.ListAudit)},
		{"GET", "/api/jobs/{id}/stream", store.Viewer, stream(s.api.Follow)},
		{"GET", "/api/users", store.Admin, operation("list-users", "Everybody who may sign in, by name", 200, s.api.ListUsers)},
		{"POST", "/api/users", store.Admin,
			operation("create-user", "Add a person; the answer says where they choose a password", 201, s.api.CreateUser)},
		{"PATCH", "/api/users/{id}", store.Admin,
			operation("change-user", "Give a person another role, shut them out or let them in; their sessions end", 200, s.api.ChangeUser)},
		{"DELETE", "/api/users/{id}", store.Admin, operation("delete-user", "Remove a person; their sessions end", 204, s.api.DeleteUser)},
		{"POST", "/api/users/{id}/password-link", store.Admin,
			operation("create-password-link", "Make a link by which a person sets a new password, once", 201, s.api.CreatePasswordLink)},
		{"DELETE", "/api/users/{id}/sessions", store.Admin,
			operation("delete-sessions", "Sign a person out everywhere", 204, s.api.DeleteSessions)},
		{"GET", "/api/sessions", store.Viewer,
			operation("list-sessions", "One's own sessions; an administrator's list is everybody's", 200, s.api.ListSessions)},
		{"DELETE", "/api/sessions/{id}", store.Viewer,
			operation("delete-session", "End one session: one's own, or as an administrator anybody's", 204, s.api.DeleteSession)},
		{"GET", "/api/tokens", store.Admin, operation("list-tokens", "The API's tokens, by name", 200, s.api.ListTokens)},
		{"POST", "/api/tokens", store.Admin,
			operation("create-token", "Make a token for a program; the answer alone tells it", 201, s.api.CreateToken)},
		{"DELETE", "/api/tokens/{id}", store.Admin, operation("delete-token", "Revoke a token", 204, s.api.DeleteToken)},
		{"GET", "/api/consumers", store.Admin, operation("list-consumers", "The MQTT consumers, by name", 200, s.api.ListConsumers)},
		{"POST", "/api/consumers", store.Admin,
			operation("create-consumer", "Make a credential for an MQTT consumer; the answer alone tells its password", 201, s.api.CreateConsumer)},
		{"PATCH", "/api/consumers/{name}", store.Admin,
			operation("change-consumer", "Change what a consumer may do; its connections end", 200, s.api.ChangeConsumer)},
		{"POST", "/api/consumers/{name}/password", store.Admin,
			operation("reset-consumer", "Give a consumer a new password; its connections end", 200, s.api.ResetConsumer)},
		{"DELETE", "/api/consumers/{name}", store.Admin,
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

// operation is an endpoint of the API, which huma reads, checks and describes.
func operation[I, O any](id, summary string, status int, h func(context.Context, *I) (*O, error)) endpoint {
	return func(s *Server, rt route) {
		api.Register(s.api, huma.Operation{
			OperationID:   id,
			Summary:       summary,
			Method:        rt.method,
			Path:          rt.path,
			DefaultStatus: status,
			Description:   "Needs the role " + string(rt.role) + ".",
			Metadata:      map[string]any{"route": rt},
		}, h)
	}
}

// An adapter registers huma's operations on the server's own mux, so that one
// list and one guard hold for everything.
type adapter struct{ s *Server }

func (a adapter) Handle(op *huma.Operation, h func(huma.Context)) {
	rt, ok := op.Metadata["route"].(route)
	if !ok {
		panic("web: " + op.Path + " is not in the list of routes")
	}
	a.s.mux.Method(op.Method, op.Path, a.s.guard(rt, true, compressed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h(humachi.NewContext(op, r, w))
	}))))
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
		if rt.role == anybody {
			h.ServeHTTP(w, r)
			return
		}
		v, err := s.Sessions.Identify(r)
		switch {
		case err != nil:
			s.fail(w, r, err)
			return
		case v == nil:
			s.ask(w, r)
			return
		}
		r = r.WithContext(views.WithRights(session.With(r.Context(), v), layout.RightsOf(v)))
		if !v.May(rt.role) {
			s.fail(w, r, base.Forbidden(v, rt.role))
			return
		}
		if isUse {
			r = r.WithContext(base.Hold(r.Context()))
			if err := s.Sessions.Touch(w, r, v); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// ask sends somebody unknown to where they can say who they are. A stream and
// the API only hear that they have to.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) {
	unknown := &problem.Problem{Kind: problem.Unauthenticated, Title: "Nobody is signed in",
		Say: "This needs to know who you are, or the session has ended.",
		Do:  "Sign in, then try again.", Link: problem.Link{Text: "Sign in", URL: "/login"}}
	switch {
	case session.IsAPI(r):
		unknown.Do = "Send a token as Authorization: Bearer TOKEN. restic-manager api-token create makes one."
		s.fail(w, r, unknown)
	case r.URL.Path == "/events":
		s.fail(w, r, unknown)
	case base.IsHTMX(r):
		next := ""
		if u, err := url.Parse(r.Header.Get("HX-Current-URL")); err == nil {
			next = u.RequestURI()
		}
		w.Header().Set("HX-Redirect", loginURL(next))
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		http.Redirect(w, r, loginURL(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		http.Redirect(w, r, loginURL(""), http.StatusSeeOther)
	}
}

func loginURL(next string) string {
	if next = base.SamePlace(next); next == "" || next == "/" {
		return "/login"
	}
	return "/login?next=" + url.QueryEscape(next)
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

// healthz says that the process lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("ok\n"))
	return base.IgnoreGone(err)
}

// readyz says whether the parts that everything needs are there.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	text, status := "", http.StatusOK
	for _, part := range []struct {
		name string
		err  error
	}{{"database", s.Store.Ping(r.Context())}, {"brokers", s.BrokerError()}} {
		word := "ok"
		if part.err != nil {
			word, status = "not ready", http.StatusServiceUnavailable
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
