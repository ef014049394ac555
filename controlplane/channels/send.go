package channels

import (
	"context"
	"errors"
	"time"
)

// Limit is how long one try to send a message may take, all in all.
const Limit = 15 * time.Second

// A sender sends a message to one kind of channel. The fields are whole and checked.
type sender func(ctx context.Context, f fields, m Message) Answer

// A kindOfSender is how a kind sends, and what it has to say of its fields beside what
// [Kinds] says.
type kindOfSender struct {
	send  sender
	check func(fields, said)
}

// Senders by the name of the kind.
var senders = map[string]kindOfSender{
	"email":    {sendMail, checkMail},
	"ntfy":     {sendNtfy, checkNtfy},
	"gotify":   {sendGotify, checkServer},
	"pushover": {sendPushover, checkPushover},
	"discord":  {sendDiscord, checkServer},
	"slack":    {sendSlack, checkServer},
	"teams":    {sendTeams, checkServer},
	"telegram": {sendTelegram, checkTelegram},
	"matrix":   {sendMatrix, checkMatrix},
	"webhook":  {sendHook, checkHook},
	"url":      {sendOther, checkOther},
}

// Send tells a channel of a kind what there is to say, once, within [Limit]. Fields are
// settings and secrets alike; no secret is in the answer. Whatever goes wrong is in the
// answer, too.
func Send(ctx context.Context, kind string, values map[string]string, m Message) Answer {
	if err := Check(kind, values); err != nil {
		return Answer{Text: "The channel's settings cannot be used: " + err.Error(), Hopeless: true}
	}
	ctx, done := context.WithTimeoutCause(ctx, Limit, errSlow)
	defer done()
	f := whole(kind, values)
	a := senders[kind].send(ctx, f, m)
	a.Text = f.hide(a.Text)
	return a
}

// errSlow is why a try ended that took longer than [Limit].
var errSlow = errors.New("no answer came within 15 seconds")
