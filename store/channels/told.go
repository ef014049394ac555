package channels

import (
	"context"

	"github.com/restic-manager/restic-manager/store/scan"
)

// Waits counts the messages of each channel that wait.
func (c Channels) Waits(ctx context.Context) (map[string]int, error) {
	list := []struct {
		Channel  string `db:"channel"`
		Messages int    `db:"messages"`
	}{}
	err := scan.Select(ctx, c.R, &list, `SELECT channel, count(*) AS messages FROM channel_messages WHERE state = $1 GROUP BY channel`,
		Waiting)
	out := map[string]int{}
	for _, x := range list {
		out[x.Channel] = x.Messages
	}
	return out, err
}

// Naming lists the messages that name an alert, with their tries, the oldest first, at
// most so many. None is older than the alert.
func (c Channels) Naming(ctx context.Context, alert string, most int) ([]Delivery, error) {
	list := []Message{}
	if err := scan.Select(ctx, c.R, &list, `SELECT m.* FROM channels c JOIN channel_messages m ON m.channel = c.id AND m.id > $1
		WHERE EXISTS (SELECT 1 FROM json_each(m.alerts) WHERE value = $1) ORDER BY m.id LIMIT $2`, alert, most); err != nil {
		return nil, err
	}
	return c.tried(ctx, list)
}

// Know lists by alert the channels that were told that it began, and not yet that it is
// over.
func (c Channels) Know(ctx context.Context) (map[string][]string, error) {
	list := []Told{}
	err := scan.Select(ctx, c.R, &list, `SELECT channel, alert FROM channel_told WHERE state IN ($1, $2)`, Known, Closing)
	out := map[string][]string{}
	for _, x := range list {
		out[x.Alert] = append(out[x.Alert], x.Channel)
	}
	return out, err
}
