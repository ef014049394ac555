package alertpages

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/views"
)

// hostOf is the host of an address, which may be a secret as a whole.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// HeartbeatForm shows the form of the outside heartbeat.
func (s *Pages) HeartbeatForm(w http.ResponseWriter, r *http.Request) error {
	set, version, err := s.Heartbeat.Get(r.Context())
	if err != nil && version == 0 { // one that cannot be read is entered again
		return err
	}
	return s.heartbeatPage(w, r, http.StatusOK, savedBeat(set, version), nil)
}

// savedBeat is the form of the outside heartbeat as it was saved.
func savedBeat(set heartbeat.Settings, version int64) views.HeartbeatForm {
	return views.HeartbeatForm{Version: version, Kept: version > 0, Kind: string(set.Kind), Every: minutes(set.Every)}
}

func minutes(seconds int64) string { return strconv.FormatInt(max((seconds+59)/60, 1), 10) }

// heartbeatPage shows both forms of the watchdog; ping is what was typed into that of backups.
func (s *Pages) heartbeatPage(w http.ResponseWriter, r *http.Request, status int, f views.HeartbeatForm, ping *views.PingForm) error {
	names, err := s.watched(r.Context())
	if err != nil {
		return err
	}
	if err := s.pings(r.Context(), names, &f); err != nil {
		return err
	}
	if ping != nil {
		f.Ping = *ping
	} else if f.Ping, err = s.pingAsked(r, names); err != nil {
		return err
	}
	f.Kinds = []views.Option{{Value: "", Text: "As the address tells"}}
	for _, k := range heartbeat.Kinds {
		f.Kinds = append(f.Kinds, views.Option{Value: string(k), Text: k.Label()})
	}
	f.Ping.Kinds = f.Kinds
	sh := s.Shell(r, "Watchdog", "alerts", toAlerts, toChannels, views.Link{Text: "Watchdog"})
	s.Render(w, r, status, views.HeartbeatPage(sh, f))
	return nil
}

// SaveHeartbeat sets the outside heartbeat, or ends it.
func (s *Pages) SaveHeartbeat(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, form := r.Context(), r.PostForm
	was, _, err := s.Heartbeat.Get(ctx)
	if err != nil && form.Get("url") == "" {
		return err
	}
	f := views.HeartbeatForm{URL: strings.TrimSpace(form.Get("url")), Kind: form.Get("kind"), Every: strings.TrimSpace(form.Get("every"))}
	f.Version, _ = strconv.ParseInt(form.Get("version"), 10, 64) // what is none is refused when it is saved
	f.Kept = f.Version > 0
	wrong := field.Errors{}
	set := heartbeat.Settings{URL: f.URL, Kind: heartbeat.Kind(f.Kind), Every: number(f.Every, 60, wrong, "every")}
	switch {
	case form.Get("off") != "":
		set.URL = ""
	case set.URL == "" && f.Kept:
		if set.URL = was.URL; set.Every == (was.Every+59)/60*60 {
			set.Every = was.Every // seconds that the API set stay
		}
	case set.URL == "":
		wrong.Say("url", "Enter the URL that the service outside gave you.")
	}
	if err = wrong.Err(); err == nil {
		err = s.Heartbeat.Set(ctx, s.actor(ctx), set, f.Version)
	}
	if err == nil {
		layout.Redirect(w, r, views.ChannelsURL)
		return nil
	}
	if !errors.As(err, &wrong) {
		return err
	}
	f.Errors, f.Problem = wrong, "Nothing was saved."
	return s.heartbeatPage(w, r, http.StatusUnprocessableEntity, f, nil)
}
