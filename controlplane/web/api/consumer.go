package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
)

type consumerJSON struct {
	Name          string     `json:"name"`
	Do            bool       `json:"do" doc:"may ask for backups and checks, cancel, pause and resume"`
	Tags          []string   `json:"tags" doc:"it hears of and commands the hosts that have one of them; none is all hosts"`
	HomeAssistant bool       `json:"home_assistant" doc:"its birth on homeassistant/status is Home Assistant's"`
	UnusedTags    []string   `json:"unused_tags,omitempty" doc:"those of its tags that no host has"`
	Connected     int        `json:"connected" doc:"connections now"`
	CreatedAt     *time.Time `json:"created_at"`
	CreatedBy     string     `json:"created_by" doc:"who made it or its password last, and answers for it"`
	ActsAs        store.Role `json:"acts_as" enum:"viewer,operator," doc:"its role now, no higher than its maker's; empty: is refused"`
	SeenAt        *time.Time `json:"seen_at" doc:"when it last connected"`
}

func (a *API) consumerOf(u store.MQTTUser) consumerJSON {
	return consumerJSON{
		Name:          u.Name,
		Do:            u.MayDo,
		Tags:          append([]string{}, u.Tags...),
		HomeAssistant: u.HomeAssistant,
		Connected:     a.Connections(u.Name),
		CreatedAt:     base.JSONTime(u.CreatedAt),
		CreatedBy:     u.CreatedBy,
		ActsAs:        u.Acts(),
		SeenAt:        base.JSONTime(u.SeenAt),
	}
}

func (a *API) ListConsumers(ctx context.Context, _ *struct{}) (*list1[consumerJSON], error) {
	rows, err := a.Store.MQTTUsers(ctx)
	out := make([]consumerJSON, len(rows))
	for i, u := range rows {
		out[i] = a.consumerOf(u)
	}
	return &list1[consumerJSON]{out}, err
}

type createConsumerIn struct {
	Body struct {
		Name          string   `json:"name"`
		Do            bool     `json:"do,omitempty"`
		Tags          []string `json:"tags,omitempty" doc:"it hears of and commands the hosts that have one of them; none is all hosts"`
		HomeAssistant bool     `json:"home_assistant,omitempty" doc:"it may be the Home Assistant whose birth counts"`
	}
}

type consumerPasswordOut struct {
	Body struct {
		Name       string   `json:"name"`
		Password   string   `json:"password" doc:"told only here"`
		UnusedTags []string `json:"unused_tags,omitempty" doc:"those of its tags that no host has"`
	}
}

func withPassword(u store.MQTTUser, secret string, err error) (*consumerPasswordOut, error) {
	out := &consumerPasswordOut{}
	out.Body.Name, out.Body.Password = u.Name, secret
	return out, err
}

func (a *API) CreateConsumer(ctx context.Context, in *createConsumerIn) (*consumerPasswordOut, error) {
	u, secret, err := a.Credentials.Add(ctx, session.Of(ctx).Maker(), consumers.Input{Name: &in.Body.Name, MayDo: &in.Body.Do,
		Tags: &in.Body.Tags, HomeAssistant: &in.Body.HomeAssistant})
	out, err := withPassword(u, secret, problem.Saving("credential", err))
	if err == nil {
		out.Body.UnusedTags, err = a.Credentials.Unused(ctx, u.Tags)
	}
	return out, err
}

type consumerIn struct {
	Name string `path:"name"`
}

type changeConsumerIn struct {
	Name string `path:"name"`
	Body struct {
		Do            *bool     `json:"do,omitempty" doc:"what is left out stays as it is"`
		Tags          *[]string `json:"tags,omitempty" doc:"all of them"`
		HomeAssistant *bool     `json:"home_assistant,omitempty"`
	}
}

type consumerOut struct{ Body consumerJSON }

func (a *API) ChangeConsumer(ctx context.Context, in *changeConsumerIn) (*consumerOut, error) {
	u, err := a.Credentials.Change(ctx, session.Of(ctx).Maker(), in.Name, consumers.Input{MayDo: in.Body.Do, Tags: in.Body.Tags,
		HomeAssistant: in.Body.HomeAssistant})
	if err != nil {
		return nil, problem.Saving("credential", err)
	}
	out := &consumerOut{a.consumerOf(u)}
	out.Body.UnusedTags, err = a.Credentials.Unused(ctx, u.Tags)
	return out, err
}

func (a *API) ResetConsumer(ctx context.Context, in *consumerIn) (*consumerPasswordOut, error) {
	return withPassword(a.Credentials.NewPassword(ctx, session.Of(ctx).Maker(), in.Name, consumers.Input{}))
}

func (a *API) DeleteConsumer(ctx context.Context, in *consumerIn) (*struct{}, error) {
	return nil, a.Credentials.Revoke(ctx, session.Of(ctx).Name, in.Name)
}
