package queries

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Socket is where a control plane with a data directory takes questions of the command line
// beside it. Only a running control plane is connected with hosts; whoever may open the
// socket may read the database, too.
func Socket(data string) string { return filepath.Join(data, "ask.sock") }

// A localQuestion is one line of JSON on a connection, exactly one of them.
type localQuestion struct {
	Files    *FilesQuery    `json:"files,omitempty"`
	Versions *VersionsQuery `json:"versions,omitempty"`
	SSH      *localSSH      `json:"ssh,omitempty"`
	Test     *localTest     `json:"test,omitempty"`
}

type localTest struct {
	Host topics.HostID     `json:"host"`
	Of   topics.Repository `json:"of"`
}

type localSSH struct {
	Host topics.HostID   `json:"host"`
	What topics.SSHQuery `json:"what"`
}

// A localAnswer is the line that comes back.
type localAnswer struct {
	Files    FilesPage       `json:"files"`
	Versions []Version       `json:"versions"`
	SSH      topics.SSHState `json:"ssh"`
	Test     topics.Finding  `json:"test"`
	Refused  *Refused        `json:"refused,omitempty"`
	Input    *InputError     `json:"input,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// local is who asks on the command line.
var local = jobs.Actor{Name: "cli", Role: store.Admin}

// mostLocal is how many bytes a question may have: one about a repository has certificates
// and keys in it.
const mostLocal = 256 << 10

// ServeLocal takes questions at a socket until ctx ends, and returns when all were
// answered. Whoever closes the connection does not wait any more.
func (a *Asker) ServeLocal(ctx context.Context, socket string) error {
	_ = os.Remove(socket) // of a control plane that was killed; this one has claimed the directory
	ln, err := net.Listen("unix", socket)
	if err != nil {
		a.Log.Warn("the command line cannot ask hosts", "socket", socket, "err", err)
		<-ctx.Done()
		return nil
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	if err := os.Chmod(socket, 0o600); err != nil {
		a.Log.Warn("the command line's socket is as the umask has it", "socket", socket, "err", err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			a.Log.Warn("taking a question of the command line failed", "err", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		serving.Go(func() { a.serveLocal(ctx, c) })
	}
}

func (a *Asker) serveLocal(ctx context.Context, c net.Conn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	in := bufio.NewReaderSize(c, mostLocal)
	line, err := in.ReadSlice('\n')
	var q localQuestion
	if err != nil || json.Unmarshal(line, &q) != nil {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	go func() { // nothing more comes: the end of the connection is that nobody waits
		_, _ = in.ReadByte()
		cancel()
	}()
	var out localAnswer
	switch {
	case q.Files != nil:
		out.Files, err = a.Files(ctx, local, *q.Files)
	case q.Versions != nil:
		out.Versions, err = a.Versions(ctx, local, *q.Versions)
	case q.SSH != nil:
		out.SSH, err = a.SSH(ctx, local, q.SSH.Host, q.SSH.What)
	case q.Test != nil:
		out.Test, err = a.Test(ctx, local, q.Test.Host, q.Test.Of)
		if f, offline := NotLooked(err); offline {
			out.Test, err = f, nil
		}
	default:
		err = errors.New("nothing was asked")
	}
	if !errors.As(err, &out.Refused) && !errors.As(err, &out.Input) && err != nil {
		out.Error = err.Error()
	}
	b, err := json.Marshal(out)
	if err != nil {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(30 * time.Second))
	_, _ = c.Write(append(b, '\n'))
}

// A Client asks the control plane that runs on a data directory.
type Client struct{ Data string }

// Files is [Asker.Files] of the control plane.
func (c Client) Files(ctx context.Context, q FilesQuery) (FilesPage, error) {
	a, err := c.ask(ctx, localQuestion{Files: &q})
	return a.Files, err
}

// Versions is [Asker.Versions] of the control plane.
func (c Client) Versions(ctx context.Context, q VersionsQuery) ([]Version, error) {
	a, err := c.ask(ctx, localQuestion{Versions: &q})
	return a.Versions, err
}

// SSH is [Asker.SSH] of the control plane.
func (c Client) SSH(ctx context.Context, host topics.HostID, what topics.SSHQuery) (topics.SSHState, error) {
	a, err := c.ask(ctx, localQuestion{SSH: &localSSH{Host: host, What: what}})
	return a.SSH, err
}

// Test is [Asker.Test] of the control plane. What is sent goes no further than to it and the host.
func (c Client) Test(ctx context.Context, host topics.HostID, of topics.Repository) (topics.Finding, error) {
	a, err := c.ask(ctx, localQuestion{Test: &localTest{Host: host, Of: of}})
	return a.Test, err
}

func (c Client) ask(ctx context.Context, q localQuestion) (a localAnswer, err error) {
	conn, err := net.Dial("unix", Socket(c.Data))
	if err != nil {
		return a, &Refused{Cause: CauseOffline, Title: "The control plane does not run",
			Say: fmt.Sprintf("Only a running one is connected with hosts, and none runs on %s (%v).", c.Data, err),
			Do:  "Start it: restic-manager serve --data " + c.Data + "."}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	b, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	if _, err := conn.Write(append(b, '\n')); err != nil {
		return a, err
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return a, fmt.Errorf("the control plane ended before it answered: %w", err)
	}
	switch {
	case a.Refused != nil:
		return a, a.Refused
	case a.Input != nil:
		return a, a.Input
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}
