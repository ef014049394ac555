// Package standard reads what the next backup of a source group is judged by.
package standard

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// Of returns the standard of a source group; that of one which is not there (any more)
// is the zero value.
func Of(ctx context.Context, q sqlx.QueryerContext, group topics.SourceGroupID) (s protocol.Standard, err error) {
	err = sqlx.GetContext(ctx, q, &s.AllowEmpty, `SELECT allow_empty FROM source_groups WHERE id = $1`, group)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err == nil {
		s.UsualFiles, _, err = facts.Usual(ctx, q, group)
	}
	if err != nil {
		return s, fmt.Errorf("standard of source group %s: %w", group, err)
	}
	s.UsualFiles, _, err = facts.Usual(ctx, q, group)
	return s, err
}
