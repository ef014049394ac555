//go:build race

package fault

func init() { raced = true }
