// Package api holds the operations that programs use. A handler reads the request,
// asks one capability, and answers with one JSON value; what is called xOf turns
// rows into JSON. Which role an operation needs, package web says.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

// secured says in the description how a program proves itself.
var secured = []map[string][]string{{"token": {}}, {"session": {}}}

// An API holds the operations that programs use.
type API struct {
	*base.Parts
	huma huma.API
}

// newAPI returns an API whose operations an adapter serves.
func New(p *base.Parts, adapter huma.Adapter) *API {
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "restic-manager",
				Version:     p.Version,
				Description: "Backups across a fleet: hosts, what they back up, jobs and their logs.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "restic-manager api-token create makes one."},
					"session": {Type: "apiKey", In: "cookie", Name: session.CookieName,
						Description: "A browser's session, from this server's own pages. Over TLS the cookie's name begins with __Host-."},
				},
			},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{plainProblem},
	}
	a := &API{Parts: p, huma: huma.NewAPI(c, adapter)}
	describeStream(a.huma)
	return a
}

// Register adds an operation, which is answered by h. Its errors become problems. A POST whose
// body has no field that is required is answered without a body, too.
func Register[I, O any](a *API, op huma.Operation, h func(context.Context, *I) (*O, error)) {
	op.Security = secured
	op.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity,
		http.StatusInternalServerError}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err == nil {
			return out, nil
		}
		p := base.ProblemOf(err)
		if base.StatusOf(p) >= 500 && p.Err != nil && ctx.Err() == nil {
			a.Log.Error("request failed", "operation", op.OperationID, "err", p.Err)
		}
		if p.After > 0 {
			seconds := strconv.Itoa(int((p.After + time.Second - 1) / time.Second))
			return nil, huma.ErrorWithHeaders(apiProblem{p}, http.Header{"Retry-After": {seconds}})
		}
		return nil, apiProblem{p}
	})
	spareBody(a.huma.OpenAPI(), op)
}

// spareBody has the body of a POST be optional if nothing has to be in it. huma looks at that
// with each request, and describes it. PUT and PATCH say in theirs what they are about.
func spareBody(o *huma.OpenAPI, op huma.Operation) {
	at := o.Paths[op.Path]
	if op.Method != http.MethodPost || at == nil || at.Post == nil || at.Post.RequestBody == nil {
		return
	}
	body := at.Post.RequestBody
	for _, media := range body.Content {
		schema := media.Schema
		if schema != nil && schema.Ref != "" {
			schema = o.Components.Schemas.SchemaFromRef(schema.Ref)
		}
		if schema == nil || schema.Type != huma.TypeObject || len(schema.Required) > 0 {
			return
		}
	}
	body.Required = false
}

// unreadable is what huma says of a body that ended early, or whose chunks are none. It
// takes that for a failure of ours.
const unreadable = "cannot read request body"

func init() {
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		if status == http.StatusInternalServerError && msg == unreadable {
			status = http.StatusBadRequest
		}
		return huma.NewError(status, msg, errs...)
	}
}

// plainProblem gives every error of the API the same shape, those of huma's own
// checks too. What was sent is not sent back: it may hold a password.
func plainProblem(_ huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case apiProblem:
		return base.ProblemJSON(e.Problem), nil
	case *huma.ErrorModel:
		var what []string
		for _, d := range e.Errors {
			what = append(what, strings.TrimSpace(d.Location+" "+d.Message))
		}
		p := &problem.Problem{
			Kind:  problem.Invalid,
			Title: "The request does not fit",
			Say:   strings.Join(what, "; ") + ".",
			Do:    "GET /api/openapi.json describes what fits.",
		}
		switch {
		case e.Detail == unreadable:
			p.Title, p.Say, p.Do = "The body could not be read", "It did not arrive whole, or not as HTTP sends one.", "Send it again."
		case e.Status == http.StatusBadRequest && len(what) == 0:
			p.Title, p.Say = "The request has no body", "This operation needs one."
		case e.Status == http.StatusBadRequest:
			p.Title = "The body is not JSON"
		case e.Status == http.StatusRequestEntityTooLarge:
			p = problem.Oversized(base.MaxBody)
		case e.Status == http.StatusRequestTimeout:
			p.Title, p.Say, p.Do = "The body did not arrive in time", "The rest of the request was not waited for.", "Send it again."
		case e.Status >= 500:
			p = problem.Unknown(nil)
		}
		out := base.ProblemJSON(p)
		out.Status = e.Status // which huma has chosen
		return out, nil
	}
	return v, nil
}

func (a *API) OpenAPI(w http.ResponseWriter, _ *http.Request) error {
	b, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, err = w.Write(b)
	return base.IgnoreGone(err)
}

type list1[T any] struct {
	Body []T `nullable:"false"`
}

// filled is a list that is never null.
func filled(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// An apiProblem is a problem in the shape huma needs for an error.
type apiProblem struct{ *problem.Problem }

// GetStatus is for huma.
func (p apiProblem) GetStatus() int { return base.StatusOf(p.Problem) }

// ContentType is for huma: the media type of RFC 9457.
func (p apiProblem) ContentType(string) string { return "application/problem+json" }

// Refuse answers a program with a problem.
func Refuse(w http.ResponseWriter, p *problem.Problem) {
	if base.StatusOf(p) == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="restic-manager"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(base.StatusOf(p))
	_ = json.NewEncoder(w).Encode(base.ProblemJSON(p))
}
