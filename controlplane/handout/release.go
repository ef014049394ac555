package handout

import (
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/release"
)

// Release looks at the release that lies there. Keys are those that this server was built with.
func (s *Service) Release(keys []string) shelf.Release {
	dir, files, err := s.dir.list()
	if err != nil || dir == "" {
		stock := s.Stock()
		return shelf.Release{Dir: dir, Say: stock.Missing, Remedy: stock.Remedy}
	}
	return shelf.Read(dir, keys, func(p release.Program) bool {
		return slices.ContainsFunc(files, func(f File) bool { return f.Name == p.Name && f.Size == p.Size && f.SHA256 == p.SHA256 })
	})
}

// Fresh has what lies there looked at again at once; else it may be a second old.
func (s *Service) Fresh() {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	s.dir.at = time.Time{}
}
