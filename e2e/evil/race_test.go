//go:build race

package evil

func init() { raced = true }
