// Package channels tells people outside of the program: by mail, to their phones and
// chats, and to programs of theirs. It knows how a message looks in each, how it is sent,
// and what the other side answered; not why.
package channels

// A Field is what somebody fills in for a channel of a kind.
type Field struct {
	Name     string // in the API and the command line: "url"
	Label    string // on pages: "Webhook URL"
	Help     string // one sentence, may be ""
	Example  string // what the empty field shows
	Secret   bool   // kept sealed, never shown again
	Required bool
	List     bool     // several, one a line; an array in the API
	Options  []string // the only values, the first one where none is given
	Default  string
}

// A Kind is a way of telling people.
type Kind struct {
	Name   string // "email"
	Label  string // "Mail"
	Icon   string // of the set in views/static/icons.svg
	Help   string // where its fields are found
	Fields []Field
}

// Kinds lists every kind, in the order in which people choose.
func Kinds() []Kind { return kinds }

// KindOf returns a kind by its name.
func KindOf(name string) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

var kinds = []Kind{
	{Name: "email", Label: "Mail", Icon: "mail", Help: "The mail server of your provider, as in any mail program.", Fields: []Field{
		{Name: "host", Label: "Mail server", Example: "smtp.example.net", Required: true},
		{Name: "port", Label: "Port", Help: "587 for STARTTLS, 465 for TLS, 25 for none.", Example: "587"},
		{Name: "security", Label: "Encryption", Options: []string{"starttls", "tls", "none"}},
		{Name: "username", Label: "User name"},
		{Name: "password", Label: "Password", Secret: true},
		{Name: "from", Label: "From", Example: "backups@example.net", Required: true},
		{Name: "to", Label: "To", Help: "One address a line, or with commas between them.", Example: "ops@example.net", Required: true,
			List: true},
	}},
	{Name: "ntfy", Label: "ntfy", Icon: "smartphone", Help: "The topic as in the ntfy app.", Fields: []Field{
		{Name: "url", Label: "Server", Default: "https://ntfy.sh", Example: "https://ntfy.sh"},
		{Name: "topic", Label: "Topic", Help: "Whoever knows it can read along on a public server.", Required: true},
		{Name: "token", Label: "Access token", Secret: true},
		{Name: "username", Label: "User name"},
		{Name: "password", Label: "Password", Secret: true},
	}},
	{Name: "gotify", Label: "Gotify", Icon: "smartphone", Help: "The token of an application, from the page Apps.", Fields: []Field{
		{Name: "url", Label: "Server", Example: "https://gotify.example.net", Required: true},
		{Name: "token", Label: "Application token", Secret: true, Required: true},
	}},
	{Name: "pushover", Label: "Pushover", Icon: "smartphone", Help: "Both keys are on pushover.net.", Fields: []Field{
		{Name: "token", Label: "Application's API token", Secret: true, Required: true},
		{Name: "user", Label: "User or group key", Secret: true, Required: true},
		{Name: "devices", Label: "Devices", Help: "One a line; all without any.", List: true},
		{Name: "url", Label: "Server", Default: "https://api.pushover.net", Example: "https://api.pushover.net"},
	}},
	{Name: "discord", Label: "Discord", Icon: "message-square", Help: "A channel's settings, Integrations, Webhooks.", Fields: []Field{
		{Name: "url", Label: "Webhook URL", Secret: true, Required: true},
	}},
	{Name: "slack", Label: "Slack", Icon: "message-square", Help: "An app with Incoming Webhooks.", Fields: []Field{
		{Name: "url", Label: "Webhook URL", Secret: true, Required: true},
	}},
	{Name: "teams", Label: "Microsoft Teams", Icon: "message-square",
		Help:   "A channel's Workflows: post to it when a webhook request is received.",
		Fields: []Field{{Name: "url", Label: "Webhook URL", Secret: true, Required: true}}},
	{Name: "telegram", Label: "Telegram", Icon: "message-square", Help: "A bot made with @BotFather, in a chat that has written to it.",
		Fields: []Field{
			{Name: "token", Label: "Bot token", Secret: true, Required: true},
			{Name: "chats", Label: "Chats", Help: "A number or @channel, one a line.", Required: true, List: true},
			{Name: "url", Label: "Server", Default: "https://api.telegram.org", Example: "https://api.telegram.org"},
		}},
	{Name: "matrix", Label: "Matrix", Icon: "message-square", Help: "An account of its own that has joined the rooms.", Fields: []Field{
		{Name: "url", Label: "Home server", Example: "https://matrix.example.net", Required: true},
		{Name: "token", Label: "Access token", Secret: true},
		{Name: "username", Label: "User name", Help: "With a password, in place of a token."},
		{Name: "password", Label: "Password", Secret: true},
		{Name: "rooms", Label: "Rooms", Help: "!id:server or #alias:server, one a line.", Required: true, List: true},
	}},
	{Name: "webhook", Label: "Webhook", Icon: "webhook",
		Help: "A program of yours: it is sent the JSON that docs/ALERTS.md describes.", Fields: []Field{
			{Name: "url", Label: "URL", Example: "https://example.net/hook", Required: true},
			{Name: "secret", Label: "Signing secret", Help: "Made if you give none, and shown once.", Secret: true},
			{Name: "headers", Label: "Headers", Help: "Name: value, one a line.", Secret: true, List: true},
		}},
	{Name: "url", Label: "Another service", Icon: "link", Help: "Any service that shoutrrr knows, by its URL.", Fields: []Field{
		{Name: "url", Label: "shoutrrr URL", Example: "pushbullet://token", Secret: true, Required: true},
	}},
}
