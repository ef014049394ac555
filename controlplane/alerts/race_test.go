//go:build race

package alerts_test

func init() { underRace = true }
