package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/chain"
)

type auditVerifyCmd struct {
	Head []string `placeholder:"N:HASH" help:"Hash printed by an earlier verification. Detects a log that was truncated or rewritten since."`
	database
}

// Run follows the audit log's chain to its end, and prints that.
func (c *auditVerifyCmd) Run(ctx context.Context) error {
	var known []chain.Head
	for _, text := range c.Head {
		h, err := chain.ParseHead(text)
		if err != nil {
			return err
		}
		known = append(known, h)
	}
	return c.with(ctx, func(s *store.Store) error {
		head, err := s.VerifyAudit(ctx, chain.Head{}, known...)
		if errors.As(err, new(*chain.Broken)) {
			return fmt.Errorf("%w. What was changed there, and after it, cannot be told from the log; compare it with a backup of the database", err)
		} else if err != nil {
			return err
		}
		fmt.Println(head)
		fmt.Fprintf(os.Stderr, "%d entries, each follows from the one before. Keep the line above elsewhere, and give it to the next "+
			"verification with --head.\n", head.N)
		return nil
	})
}
