package spool

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/restic-manager/restic-manager/topics"
)

var sourcesBucket = []byte("sources") // group → path → Source

// A Source is what is remembered of a path of a source group, from the last backup of
// the group that made a snapshot.
type Source struct {
	Read string `json:"read"`           // where it led through symbolic links
	Held bool   `json:"held,omitempty"` // there was a file in it, in that backup or in one before
}

// Sources returns what is remembered of a group's paths.
func (s *Spool) Sources(group topics.SourceGroupID) (known map[string]Source, err error) {
	err = guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(sourcesBucket)
			if bucket == nil {
				return nil
			}
			b := bucket.Get([]byte(group))
			if b == nil {
				return nil
			}
			if err := json.Unmarshal(b, &known); err != nil {
				return fmt.Errorf("sources of group %s: %w", group, err)
			}
			return nil
		})
	})
	return known, err
}

// PutSources replaces what is remembered of a group's paths.
func (s *Spool) PutSources(group topics.SourceGroupID, known map[string]Source) error {
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists(sourcesBucket)
			if err != nil {
				return err
			}
			return bucket.Put([]byte(group), b)
		})
	})
}
