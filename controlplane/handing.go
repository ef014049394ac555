package controlplane

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/topics"
)

// handing has the agents' port hand out the agent, too: a host that cannot check the
// pages' certificate, or does not reach the pages, knows this port by its key.
func (p *Plane) handing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path; path != handout.ShellPath && path != handout.PowerShellPath && !strings.HasPrefix(path, handout.FilesPath) {
			next.ServeHTTP(w, r)
			return
		}
		network, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(network); ip != nil && ip.To4() == nil {
			network = ip.Mask(net.CIDRMask(64, 128)).String()
		}
		err := p.handout.Serve(w, r, handout.AgentsDoor, network)
		var busy handout.Busy
		switch {
		case err == nil:
		case errors.As(err, &busy):
			w.Header().Set("Retry-After", strconv.Itoa(busy.Seconds()))
			problemOf(w, http.StatusTooManyRequests, "Too many downloads", err.Error())
		case errors.Is(err, handout.ErrNone):
			problemOf(w, http.StatusNotFound, "There is no such file", handout.FilesPath+handout.SumsName+" names what there is.")
		default:
			p.log.Error("handing out the agent failed", "err", err, "path", r.URL.Path)
			problemOf(w, http.StatusInternalServerError, "The file cannot be read", "The log of the control plane has the reason.")
		}
	})
}

func problemOf(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(topics.Problem{Title: title, Status: status, Detail: detail})
}
