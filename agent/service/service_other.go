//go:build !linux && !windows

package service

import "context"

// Install says that nobody is known here who could start the agent.
func Install(Service) (said []string, err error) { return nil, ErrNoManager }

// Uninstall says the same.
func Uninstall() (said []string, err error) { return nil, ErrNoManager }

// Start says the same.
func Start() error { return ErrNoManager }

// Stop says the same.
func Stop() error { return ErrNoManager }

// Query says the same.
func Query() (Status, error) { return Status{}, ErrNoManager }

// Run runs the agent until ctx ends.
func Run(ctx context.Context, run func(context.Context) error) error { return run(ctx) }

// Down says that nobody knows.
func Down(context.Context) bool { return false }

// Settle returns the program as it is to be installed: where it is.
func Settle(program string) (string, error) { return program, nil }

// Recommend says what else whoever installs should know.
func Recommend(Service) []string { return nil }
