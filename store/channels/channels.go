// Package channels keeps where people are told, what is to be told there, and how each
// try went: the queue of what goes out is in the database, so that a restart loses
// nothing.
package channels

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
)

// Errors.
var (
	// ErrNone is the error that there is no such channel.
	ErrNone = errors.New("there is no such channel")
	// ErrNameTaken is the error that another channel has the name.
	ErrNameTaken = errors.New("there is a channel of this name already")
	// ErrMoved is the error that somebody changed the channel since it was read.
	ErrMoved = errors.New("somebody else changed the channel meanwhile")
)

// A Channel is where people are told.
type Channel struct {
	ID           string                         `db:"id"`
	Name         string                         `db:"name"`
	Kind         string                         `db:"kind"`
	Settings     column.JSON[map[string]string] `db:"settings"` // fields that are no secret; of a list, one a line
	Secrets      map[string]string              `db:"-"`        // the others, in clear; nil where they were not asked for
	Sealed       []byte                         `db:"secrets"`
	Enabled      bool                           `db:"enabled"`
	Version      int64                          `db:"version"` // counts its changes
	CreatedAt    int64                          `db:"created_at"`
	CreatedBy    string                         `db:"created_by"`
	FailingSince int64                          `db:"failing_since"` // 0 if the last try went well, or there was none
	LastOKAt     int64                          `db:"last_ok_at"`
	LastAt       int64                          `db:"last_at"`
	LastAnswer   string                         `db:"last_answer"`
}

// An Event is why a channel is told.
type Event string

// The events.
const (
	Opened    Event = "opened"
	Reminded  Event = "reminded"
	Recovered Event = "recovered"
	Digest    Event = "digest"
	Test      Event = "test"
)

// A Note is what a channel is to hear of an alert, until it is gathered into a message.
type Note struct {
	ID      string `db:"id"` // rises
	Channel string `db:"channel"`
	Alert   string `db:"alert"` // its ID; "" for a digest
	Event   Event  `db:"event"`
	At      int64  `db:"at"`
	DueAt   int64  `db:"due_at"` // not before; an alert that is over by then is not told
}

// What became of a message.
const (
	Waiting = "waiting"
	Sent    = "sent"
	GivenUp = "given-up"
)

// A Message goes out, in the order of the IDs for each channel.
type Message struct {
	ID        string      `db:"id"` // rises
	Channel   string      `db:"channel"`
	Event     Event       `db:"event"`
	State     string      `db:"state"`
	CreatedAt int64       `db:"created_at"`
	NextAt    int64       `db:"next_at"`
	Tries     int64       `db:"tries"`
	EndedAt   int64       `db:"ended_at"`
	Answer    string      `db:"answer"`  // of the last try
	Alerts    column.List `db:"alerts"`  // the IDs it names
	Body      string      `db:"body"`    // all that is said, as JSON
	Version   int64       `db:"version"` // of the channel, at the last try
}

// A Try is one attempt to send a message.
type Try struct {
	Message string `db:"message"`
	N       int64  `db:"n"`
	At      int64  `db:"at"`
	TookMS  int64  `db:"took_ms"`
	OK      bool   `db:"ok"`
	Answer  string `db:"answer"`
}

// Channels reads and changes channels in a database.
type Channels struct {
	R     sqlx.QueryerContext
	Tx    func(context.Context, func(*sqlx.Tx) error) error
	Now   func() int64
	Seal  func(ctx context.Context, tx *sqlx.Tx, id string, plain []byte) ([]byte, error)
	Open  func(ctx context.Context, q sqlx.QueryerContext, id string, sealed []byte) ([]byte, error)
	Audit func(ctx context.Context, tx *sqlx.Tx, actor, action, object, detail string) error
}
