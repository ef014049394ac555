package alerts

import (
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/words"
)

// Said is an alert as programs outside are told of it, by the API, webhooks and MQTT alike.
// Without a public address its link is the path alone.
func Said(a alerts.Alert, publicURL string, now time.Time) channels.Alert {
	body := alerts.Body{}
	if a.Body.V != nil {
		body = *a.Body.V
	}
	title := body.Title
	if body.Name != "" {
		title = body.Name + ": " + body.Title
	}
	by := ""
	if a.EndedAt > 0 && a.EndedBy != alerts.Plane {
		by = a.EndedBy
	}
	return channels.Alert{
		ID:        a.ID,
		Condition: a.Condition,
		Severity:  string(a.Severity),
		Subject: channels.Subject{Kind: string(a.On), ID: a.Subject, Name: body.Name, Host: string(a.Host),
			Repository: string(a.Repository)},
		Title:    title,
		Cause:    body.Cause,
		Do:       body.Do,
		State:    string(a.State(now.UnixMilli())),
		OpenedAt: moment(a.OpenedAt),
		Since:    moment(a.HoldsSince()),
		SeenAt:   moment(a.SeenAt),
		Count:    a.Count,
		EndedAt:  moment(a.EndedAt),
		EndedBy:  by,
		Link:     strings.TrimSuffix(publicURL, "/") + Path(a.ID),
	}
}

// Path is the page of an alert.
func Path(id string) string { return "/alerts/" + id }

// moment is one as the API writes it; "" is none.
func moment(ms int64) string {
	if ms == 0 {
		return ""
	}
	return words.At(ms).UTC().Format(time.RFC3339Nano)
}
