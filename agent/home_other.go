//go:build !windows

package agent

func programData() string { return "" }
