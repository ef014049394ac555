package launcher

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What root's commands write is the agent's own, which may run as another user.
func TestWhatRootWritesIsTheAgents(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := t.TempDir()
	const agent = 12345
	if err := os.Chown(dir, agent, agent); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.json")
	if err := WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != agent || info.Mode().Perm() != 0o600 {
		t.Errorf("it is of user %d, with %v", st.Uid, info.Mode())
	}
}
