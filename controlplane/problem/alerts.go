package problem

import (
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/field"
	rows "github.com/restic-manager/restic-manager/store/alerts"
	channelrows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/discoveries"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/words"
)

// What is said of alerts, and of who is told.
var (
	noAlert = Problem{Kind: NotFound, Title: "There is no such alert",
		Say: "It was never there, or it ended so long ago that it is not kept any more.", Do: "Look for it among all alerts.",
		Link: Link{Text: "Alerts", URL: "/alerts"}}
	alertEnded = Problem{Kind: Conflict, Title: "This alert has ended",
		Say: "There is nothing left to be done about it, and nothing was changed.", Do: "Look at how it ended.",
		Link: Link{Text: "Ended alerts", URL: "/alerts?state=ended"}}
	notSnoozed = Problem{Kind: Conflict, Title: "An alert of damage cannot be snoozed",
		Say: "Data that cannot be read does not get better by waiting: while nobody acts, more backups may build on it. Nothing was changed.",
		Do:  "Acknowledge it while somebody looks after it, and look at the check that found it."}
	settingMoved = Problem{Kind: Conflict, Title: "Somebody else changed this meanwhile",
		Say: "What you saved was made from what is there no more, and would have undone their change. Nothing was saved.",
		Do:  "Read it again, make your change in it, and save that."}
	noChannel = Problem{Kind: NotFound, Title: "There is no such channel",
		Say: "It was never there, or it has been removed.", Do: "Look for it among all channels.",
		Link: Link{Text: "Channels", URL: "/alerts/channels"}}
	channelNameTaken = Problem{Kind: Conflict, Title: "There is a channel of this name already",
		Say: "Names of channels are their own.", Do: "Choose another name, or change the channel that is there.",
		Fields: field.Errors{"name": "There is a channel of this name already."}}
	noHeartbeat = Problem{Kind: NotFound, Title: "There is no such heartbeat",
		Say: "No address was given for it, or it was taken away.", Do: "Enter an address for it.",
		Link: Link{Text: "Outside heartbeat", URL: "/alerts/channels"}}
)

// ofAlerts words errors about alerts, channels and heartbeats, nil if it is none.
func ofAlerts(err error) *Problem {
	var refused *rows.RefusedError
	var limit *conditions.WrongLimit
	var unreadable *channelrows.UnreadableError
	switch {
	case errors.As(err, &refused):
		return ofRefused(refused)
	case errors.As(err, &limit):
		return &Problem{Kind: Invalid, Title: "These thresholds cannot be",
			Say: fmt.Sprintf("The threshold in place %d: %s", limit.At+1, limit.Say),
			Do:  "Correct it and save again; nothing was changed.", Fields: field.Errors{"thresholds": limit.Say}, Err: err}
	case errors.As(err, &unreadable):
		return &Problem{Kind: Conflict, Title: "A channel's secrets cannot be read",
			Say: "The channel " + words.Visible(unreadable.Name) + " is told nothing until they are entered again: the key that is here does " +
				"not open them.",
			Do:   "Enter them again on the channel's page, or with restic-manager channel set.",
			Link: Link{Text: "Open the channel", URL: "/alerts/channels/" + unreadable.Channel}, Err: err}
	case errors.Is(err, rows.ErrNone):
		return noAlert.because(err)
	case errors.Is(err, rows.ErrEnded):
		return alertEnded.because(err)
	case errors.Is(err, rows.ErrNotSnoozed):
		return notSnoozed.because(err)
	case errors.Is(err, rows.ErrMoved), errors.Is(err, channelrows.ErrMoved), errors.Is(err, heartbeats.ErrMoved),
		errors.Is(err, discoveries.ErrMoved), errors.Is(err, uplinks.ErrMoved):
		return settingMoved.because(err)
	case errors.Is(err, channelrows.ErrNone):
		return noChannel.because(err)
	case errors.Is(err, channelrows.ErrNameTaken):
		return channelNameTaken.because(err)
	case errors.Is(err, heartbeats.ErrNone):
		return noHeartbeat.because(err)
	}
	return nil
}

// ofRefused is that something was done about none of several alerts.
func ofRefused(e *rows.RefusedError) *Problem {
	p := noAlert.because(e)
	if len(e.Unknown) == 0 {
		p = alertEnded.because(e)
	}
	if len(e.Unknown)+len(e.Ended) > 1 {
		var said []string
		if len(e.Unknown) > 0 {
			said = append(said, "There is none with the ID "+namesOf(e.Unknown)+".")
		}
		if len(e.Ended) > 0 {
			said = append(said, "Ended already: "+namesOf(e.Ended)+".")
		}
		p.Title, p.Say = "Nothing was done: some of these alerts are not there or have ended", strings.Join(said, " ")
		p.Do = "Leave these out, and do it again for the others."
	}
	return p
}

// namesOf names a few IDs.
func namesOf(ids []string) string {
	shown := make([]string, len(ids))
	for i, id := range ids {
		shown[i] = words.Visible(id)
	}
	return list(shown)
}
