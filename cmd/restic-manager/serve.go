package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/restic-manager/restic-manager/controlplane"
)

type serveCmd struct {
	HTTP   string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Web pages and API."`
	Agents string `default:"127.0.0.1:8883" placeholder:"ADDR" help:"Agents: MQTT and enrolment, over TLS."`
	MQTT   string `name:"mqtt" default:"127.0.0.1:1883" placeholder:"ADDR" help:"Consumers such as Home Assistant; loopback only."`
	database
}

func (c *serveCmd) Run(ctx context.Context) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p, err := controlplane.New(ctx, controlplane.Config{Data: c.Data, KeyFile: c.KeyFile, HTTP: c.HTTP, Agents: c.Agents, MQTT: c.MQTT,
		Log: log, Timing: controlplane.DefaultTiming()})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := p.Close(); err == nil {
			err = cerr
		}
	}()
	link, err := p.SetupLink(ctx)
	if err != nil {
		return err
	}
	if link != "" {
		fmt.Fprintf(os.Stderr, "\nNobody can sign in yet. Open this link to make the first account:\n\n    %s\n\n", link)
	}
	return p.Run(ctx)
}
