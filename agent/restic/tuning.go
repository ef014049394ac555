package restic

import (
	"fmt"
	"strconv"

	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// tuning is how restic of version v is told how to make a backup, and sentences about what it
// is not told, because it does not know it. A backup with less of that is better than none.
func tuning(v Version, t topics.Tuning) (flags, without []string) {
	add := func(f since.Feature, what string, args ...string) {
		if v.Has(f) {
			flags = append(flags, args...)
			return
		}
		without = append(without, fmt.Sprintf("restic %s does not know %s and goes on without it: restic %s does", v, what, f.Since))
	}
	switch t.Compression {
	case "":
	case "fastest", "better":
		add(since.MoreCompression, "the compression "+t.Compression, "--compression", t.Compression)
	default:
		flags = append(flags, "--compression", t.Compression)
	}
	if t.PackSizeMiB > 0 {
		flags = append(flags, "--pack-size", strconv.Itoa(t.PackSizeMiB))
	}
	if t.ReadConcurrency > 0 {
		add(since.ReadConcurrency, "how many files to read at once", "--read-concurrency", strconv.Itoa(t.ReadConcurrency))
	}
	if t.ExcludeCaches {
		flags = append(flags, "--exclude-caches")
	}
	if t.ExcludeLarger != "" {
		flags = append(flags, "--exclude-larger-than", t.ExcludeLarger)
	}
	for _, name := range t.ExcludeIfPresent {
		flags = append(flags, "--exclude-if-present", name)
	}
	if t.WithATime {
		flags = append(flags, "--with-atime")
	}
	if t.NoScan {
		add(since.NoScan, "how to begin without looking how much there is", "--no-scan")
	}
	return flags, without
}
