package service

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/restic-manager/restic-manager/private"
)

// logName is the agent's log below its state directory, where no manager keeps one.
const logName = "log/agent.log"

// LogPath is the log of an agent with this state directory.
func LogPath(state string) string { return filepath.Join(state, filepath.FromSlash(logName)) }

const (
	mostLog  = 10 << 20 // bytes of one file
	keptLogs = 3        // files that are full
)

// A Log is a file that begins anew when it is full, and keeps the last ones beside it, as
// agent.log.1 and so on.
type Log struct {
	path string
	most int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenLog opens the log of an agent, and goes on where it ended.
func OpenLog(state string) (*Log, error) { return openLog(LogPath(state), mostLog) }

func openLog(path string, most int64) (*Log, error) {
	if err := private.MakeDir(filepath.Dir(filepath.Dir(path))); err != nil { // the state directory, if nobody has enrolled yet
		return nil, err
	}
	if err := private.MakeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	l := &Log{path: path, most: most}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write writes a line.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	if l.size > 0 && l.size+int64(len(line)) > l.most {
		l.turn()
		if l.file == nil {
			if err := l.open(); err != nil {
				return 0, err
			}
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

// turn puts the file aside and the last one away. If somebody holds one, it grows on.
func (l *Log) turn() {
	_ = l.file.Close()
	l.file = nil
	name := func(n int) string { return l.path + "." + strconv.Itoa(n) }
	for n := keptLogs; n > 1; n-- {
		_ = os.Rename(name(n-1), name(n))
	}
	_ = os.Rename(l.path, name(1))
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
