package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// strangers adds repositories that the world's host does not have, of which it keeps one:
// another's, and one in which {host} gives each its own.
func (w *world) strangers() {
	w.t.Helper()
	ctx := w.t.Context()
	other := w.another("cellar-0001", "cellar")
	for _, r := range []store.Repository{
		{ID: "other-0001", Name: "other", Location: "rest:https://other/"},
		{ID: "kept-0001", Name: "kept", Location: "rest:https://kept/", Keeper: w.host.ID},
		{ID: "each-0001", Name: "each", Location: "rest:https://each/{host}"},
	} {
		if err := w.store.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: topics.Secret(r.Location),
			Password: topics.Secret("secret of " + r.Name)}); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, g := range []store.SourceGroup{
		{ID: "group-0002", Host: other.ID, Name: "wine", Repository: "other-0001", Paths: store.List{"/wine"}},
		{ID: "group-0003", Host: other.ID, Name: "each", Repository: "each-0001", Paths: store.List{"/wine"}},
		{ID: "group-0004", Host: w.host.ID, Name: "each", Repository: "each-0001", Paths: store.List{"/letters"}},
	} {
		must(w.store.PutSourceGroup(ctx, "test", g))
	}
	for _, h := range []topics.HostID{w.host.ID, other.ID} {
		must(w.store.PlaceName(ctx, "each-0001", h))
		if err := w.store.SlotStep(ctx, func(tx store.Slots) error {
			ctx, x := tx.Tx()
			return places.Found(ctx, x, "each-0001", h, "", 1)
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// another enrols a host that never connects.
func (w *world) another(id topics.HostID, name string) store.Host {
	w.t.Helper()
	hash := []byte(strings.Repeat("k", 32))
	if err := w.store.AddEnrollToken(w.t.Context(), store.EnrollToken{ID: "token-" + string(id), KeyHash: hash, CreatedBy: "test",
		ExpiresAt: w.store.Now() + 60_000}); err != nil {
		w.t.Fatal(err)
	}
	return must(w.store.Enroll(w.t.Context(), hash, store.Host{ID: id, Hostname: name, SealKey: w.host.SealKey}))
}

// saved notes a snapshot that a job of a host made, and returns its ID.
func (w *world) saved(host topics.HostID, repository topics.RepositoryID, letter string) string {
	w.t.Helper()
	id := strings.Repeat(letter, 64)
	w.exec(`INSERT INTO snapshots (repository, id, host, hostname, job, source_group, time, paths, tags, username, tree,
		original, files, bytes, place)
		VALUES ($1, $2, $3, 'x', 'job', 'group', 1, '[]', '[]', '', '', '', 1, 1, $4)`, repository, id, host,
		map[bool]topics.HostID{true: host}[repository == "each-0001"])
	return id
}

// Who may ask for what: by role, by kind, by where it works, and by how it writes. What is
// expected is written down here a second time, apart from the table that decides.
func TestWhoMayAskForWhat(t *testing.T) {
	w := newWorld(t)
	w.strangers()
	w.exec(`UPDATE hosts SET can = '["baskets","drills","copies"]', permits =
		'{"kinds":["backup","init","forget","prune","check","unlock","snapshots","stats","diff","restore",
		"find","key","locks","drill","copy"],"anywhere":true,"overwrite":true,"restore_to":"/state/restored","quarantine":"/state/restored"}'`)
	const own, other, kept, each = topics.RepositoryID("vault-0001"), topics.RepositoryID("other-0001"), topics.RepositoryID("kept-0001"),
		topics.RepositoryID("each-0001")
	mine, older, theirs := map[topics.RepositoryID]string{}, map[topics.RepositoryID]string{}, map[topics.RepositoryID]string{}
	for i, r := range []topics.RepositoryID{own, other, kept, each} {
		mine[r] = w.saved(w.host.ID, r, string("0123"[i]))
		older[r] = w.saved(w.host.ID, r, string("4567"[i]))
		theirs[r] = w.saved("cellar-0001", r, string("abcd"[i]))
	}
	byKind := map[topics.JobKind]store.Role{
		topics.SnapshotsJob: store.Operator, topics.StatsJob: store.Operator, topics.FindJob: store.Operator, topics.LocksJob: store.Operator,
		topics.DiffJob: store.Operator, topics.CheckJob: store.Operator, topics.UnlockJob: store.Operator, topics.RestoreJob: store.Operator,
		topics.DrillJob: store.Operator,
		topics.CopyJob:  store.Admin,
		topics.InitJob:  store.Admin, topics.KeyJob: store.Admin, topics.ForgetJob: store.Admin, topics.PruneJob: store.Admin,
	}
	modes := map[topics.JobKind][]struct {
		what string
		o    func(r topics.RepositoryID) topics.Operation
		want store.Role
	}{}
	add := func(k topics.JobKind, what string, want store.Role, o func(r topics.RepositoryID) topics.Operation) {
		modes[k] = append(modes[k], struct {
			what string
			o    func(r topics.RepositoryID) topics.Operation
			want store.Role
		}{what, o, want})
	}
	for k, least := range byKind {
		switch k {
		case topics.RestoreJob, topics.DiffJob, topics.FindJob, topics.ForgetJob, topics.UnlockJob, topics.InitJob, topics.CopyJob:
		default:
			add(k, "", least, func(topics.RepositoryID) topics.Operation { return topics.Operation{} })
		}
	}
	add(topics.CopyJob, "into what is not its mirror", store.Admin, func(r topics.RepositoryID) topics.Operation {
		if r == kept {
			return topics.Operation{To: string(own)}
		}
		return topics.Operation{To: string(kept)}
	})
	add(topics.FindJob, "", store.Operator, func(topics.RepositoryID) topics.Operation { return topics.Operation{Pattern: "*"} })
	add(topics.DiffJob, "", store.Operator, func(r topics.RepositoryID) topics.Operation {
		return topics.Operation{From: mine[r], To: mine[r]}
	})
	add(topics.DiffJob, "at another's place", store.Operator, func(r topics.RepositoryID) topics.Operation {
		return topics.Operation{From: theirs[r], To: theirs[r]}
	})
	add(topics.ForgetJob, "", store.Admin, func(r topics.RepositoryID) topics.Operation {
		return topics.Operation{Snapshots: []string{mine[r]}}
	})
	add(topics.UnlockJob, "", store.Operator, func(topics.RepositoryID) topics.Operation { return topics.Operation{} })
	add(topics.UnlockJob, "all", store.Admin, func(topics.RepositoryID) topics.Operation { return topics.Operation{All: true} })
	add(topics.InitJob, "", store.Admin, func(topics.RepositoryID) topics.Operation { return topics.Operation{} })
	add(topics.InitJob, "anyway", store.Admin, func(topics.RepositoryID) topics.Operation { return topics.Operation{Anyway: true} })
	restore := func(what string, want store.Role, o topics.Operation, of map[topics.RepositoryID]string) {
		add(topics.RestoreJob, what, want, func(r topics.RepositoryID) topics.Operation {
			o.Snapshot = of[r]
			return o
		})
	}
	unknown := map[topics.RepositoryID]string{own: strings.Repeat("e", 64), other: strings.Repeat("e", 64), kept: strings.Repeat("e", 64),
		each: strings.Repeat("e", 64)}
	restore("to a new folder", store.Operator, topics.Operation{}, mine)
	restore("to a new folder, dry", store.Operator, topics.Operation{DryRun: true}, mine)
	restore("to a new folder, some of it", store.Operator, topics.Operation{Paths: []string{"/etc"}}, mine)
	restore("to a folder that is said to be new", store.Restorer, topics.Operation{Target: "/etc/cron.d", Fresh: true}, mine)
	restore("into the quarantine", store.Operator, topics.Operation{Target: "/state/restored/x"}, mine)
	restore("into the quarantine, held to it", store.Operator, topics.Operation{Target: "/state/restored/x", Confined: true}, mine)
	restore("outside, held to it", store.Restorer, topics.Operation{Target: "/etc", Confined: true}, mine)
	restore("onto the quarantine itself", store.Restorer, topics.Operation{Target: "/state/restored"}, mine)
	restore("beside the quarantine", store.Restorer, topics.Operation{Target: "/state/restored2/x"}, mine)
	restore("by a dot", store.Restorer, topics.Operation{Target: "/state/./restored/x"}, mine)
	restore("onto the agent's state", store.Restorer, topics.Operation{Target: "/state"}, mine)
	restore("to cron", store.Restorer, topics.Operation{Target: "/etc/cron.d"}, mine)
	restore("to cron, dry", store.Restorer, topics.Operation{Target: "/etc/cron.d", DryRun: true}, mine)
	restore("in place", store.Restorer, topics.Operation{Target: "/"}, mine)
	restore("by a process's root", store.Restorer, topics.Operation{Target: "/proc/self/root"}, mine)
	restore("over files", store.Restorer, topics.Operation{Overwrite: "always"}, mine)
	restore("over older files", store.Restorer, topics.Operation{Overwrite: "if-newer"}, mine)
	restore("over changed files", store.Restorer, topics.Operation{Target: "/state/restored/x", Overwrite: "if-changed"}, mine)
	restore("where it was", store.Restorer, topics.Operation{InPlace: true}, mine)
	restore("where it was, dry", store.Restorer, topics.Operation{InPlace: true, DryRun: true}, mine)
	restore("without owners", store.Operator, topics.Operation{NoOwners: true}, mine)
	basket := func(what string, want store.Role, o topics.Operation, of ...map[topics.RepositoryID]string) {
		add(topics.RestoreJob, what, want, func(r topics.RepositoryID) topics.Operation {
			o.Items = nil
			for i, snapshots := range of {
				o.Items = append(o.Items, topics.Item{Snapshot: snapshots[r], Paths: []string{fmt.Sprintf("/etc/%d", i)}})
			}
			return o
		})
	}
	basket("a basket of one", store.Operator, topics.Operation{}, mine)
	basket("a basket of two", store.Operator, topics.Operation{}, mine, older)
	basket("a basket of two, held to the quarantine", store.Operator, topics.Operation{Target: "/state/restored/y"}, older, mine)
	basket("a basket over files", store.Restorer, topics.Operation{Overwrite: "always"}, mine, older)
	basket("a basket where it was", store.Restorer, topics.Operation{InPlace: true}, mine, older)
	basket("a basket with something of nobody known", store.Restorer, topics.Operation{}, mine, unknown)
	basket("a basket with something of another host", store.Restorer, topics.Operation{}, mine, theirs)
	basket("a basket of another host", store.Restorer, topics.Operation{}, theirs, theirs)
	restore("of another host", store.Restorer, topics.Operation{}, theirs)
	restore("of nobody known", store.Restorer, topics.Operation{}, unknown)

	add(topics.DrillJob, "of everything, to cron", store.Restorer, func(topics.RepositoryID) topics.Operation {
		return topics.Operation{Drill: &topics.Drill{Full: true, Target: "/etc/cron.d"}}
	})
	add(topics.DrillJob, "of everything, in its scratch folder", store.Operator, func(topics.RepositoryID) topics.Operation {
		return topics.Operation{Drill: &topics.Drill{Full: true}}
	})
	n := 0
	for _, k := range topics.Kinds {
		if k == topics.BackupJob {
			continue
		}
		if len(modes[k]) == 0 {
			t.Fatalf("who may ask for %s is not written down here", k)
		}
		for _, m := range modes[k] {
			for _, repository := range []topics.RepositoryID{own, other, kept, each} {
				o := m.o(repository)
				// at {host} another's snapshot lies at another's place
				if m.what == "a basket with something of another host" && repository == each {
					continue // they are at two places, which is no matter of rights
				}
				away := len(o.Items) > 0 && repository == each && o.Items[0].Snapshot == theirs[each]
				strange := repository == other || away || repository == each && slices.Contains([]string{o.Snapshot, o.From}, theirs[each])
				for _, role := range store.Roles {
					for _, give := range []bool{false, true} {
						if give && role != store.Admin && k != topics.SnapshotsJob {
							continue // that they say so is nothing to anybody else, as one kind shows
						}
						n++
						want := m.want
						if strange {
							want = store.Admin
						}
						what := strings.Join([]string{string(role), string(k), m.what, string(repository), map[bool]string{true: "given"}[give]}, " ")
						j, fresh, err := w.engine.Start(t.Context(), Actor{Name: "olga", Role: role}, Request{Host: w.host.ID, Kind: k,
							Repository: repository, Operation: o, Give: give,
							Confirm: map[bool]string{true: "attic"}[k == topics.RestoreJob]})
						var lacks *RoleError
						var giving *GivingError
						switch enough := slices.Index(store.Roles, role) >= slices.Index(store.Roles, want); {
						case !enough:
							if !errors.As(err, &lacks) || lacks.Needs != want && role != store.Viewer {
								t.Errorf("%s: %v, want that it takes %s", what, err, want)
							}
						case strange && !give:
							if !errors.As(err, &giving) || !strings.Contains(giving.Consequence(), "root there can read everything in it") {
								t.Errorf("%s: %v, want what it means", what, err)
							}
						case err != nil || !fresh:
							t.Errorf("%s: %v", what, err)
						default:
							if (j.GivenBy == "olga") != strange || j.GivenBy != "" && j.GivenBy != "olga" {
								t.Errorf("%s: given by %q", what, j.GivenBy)
							}
							to := j.Operation.V.Target
							if inside := strings.HasPrefix(to, "/state/restored/"); j.Operation.V.Confined != (role == store.Operator && inside) {
								t.Errorf("%s: to %q, held to the quarantine: %t", what, to, j.Operation.V.Confined)
							}
							audited := must(w.store.AuditEntries(t.Context(), store.AuditFilter{}, 5))
							if has := slices.ContainsFunc(audited, func(e store.AuditEntry) bool {
								return e.Action == "repository.given" && e.Actor == "olga" && strings.Contains(e.Detail, string(j.ID))
							}); has != strange {
								t.Errorf("%s: the audit log has it: %t", what, has)
							}
							w.end(j.ID)
						}
					}
				}
			}
		}
	}
	t.Logf("%d requests", n)
}

func (w *world) end(id topics.JobID) {
	w.t.Helper()
	if err := w.engine.Cancel(w.t.Context(), "test", id); err != nil && !errors.Is(err, ErrEnded) {
		w.t.Fatal(err)
	}
}

// A host that does not know its quarantine, or permits no restore there, gives an operator
// a new folder and nothing else.
func TestAnAgentWithoutAQuarantineGetsNewFoldersAlone(t *testing.T) {
	w := newWorld(t)
	id := w.saved(w.host.ID, "vault-0001", "0")
	operator := Actor{"olga", store.Operator}
	for what, permits := range map[string]string{
		"an agent that says nothing": "",
		"an older agent":             `{"kinds":["restore"],"anywhere":true,"restore_to":"/state/restored"}`,
		"a root of its own":          `{"kinds":["restore"],"restore_roots":["/etc"],"restore_to":"/etc"}`,
		"the root of everything":     `{"kinds":["restore"],"restore_roots":["/"],"restore_to":"/"}`,
	} {
		w.exec(`UPDATE hosts SET permits = $1`, permits)
		for _, target := range []string{"/state/restored/x", "/etc/x", "/var/lib/restic-manager-agent/restored/x"} {
			var lacks *RoleError
			_, _, err := w.engine.Start(t.Context(), operator, Request{Host: w.host.ID, Kind: topics.RestoreJob, Repository: "vault-0001",
				Operation: topics.Operation{Snapshot: id, Target: target}})
			if !errors.As(err, &lacks) {
				t.Errorf("%s, to %s: %v", what, target, err)
			}
		}
		j, _, err := w.engine.Start(t.Context(), operator, Request{Host: w.host.ID, Kind: topics.RestoreJob, Repository: "vault-0001",
			Operation: topics.Operation{Snapshot: id}})
		if err != nil || !j.Operation.V.Fresh || j.Operation.V.Confined {
			t.Errorf("%s, to a new folder: %+v, %v", what, j.Operation.V, err)
			continue
		}
		w.end(j.ID)
	}
}

// What waited for its host is not sent there when the host has lost the repository: neither
// its address nor its password goes out.
func TestAJobWhoseHostLostItsRepositoryIsNotSent(t *testing.T) {
	for what, lose := range map[string]func(*world){
		"the group moved": func(w *world) {
			g := w.group
			g.Repository = "other-0001"
			must(w.store.PutSourceGroup(w.t.Context(), "test", g))
		},
		"the group went": func(w *world) { w.exec(`DELETE FROM source_groups WHERE id = $1`, w.group.ID) },
		"another keeper": func(w *world) {
			w.exec(`DELETE FROM source_groups WHERE id = $1`, w.group.ID)
			w.exec(`UPDATE repositories SET keeper = 'cellar-0001' WHERE id = 'vault-0001'`)
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.strangers()
			admin := Actor{"anna", store.Admin}
			w.exec(`UPDATE repositories SET keeper = $1 WHERE id = 'vault-0001'`, w.host.ID)
			var asked []topics.JobID
			for _, r := range []Request{
				{Kind: topics.BackupJob, SourceGroup: w.group.Name},
				{Kind: topics.SnapshotsJob, Repository: "vault-0001"},
				{Kind: topics.PruneJob, Repository: "vault-0001"},
				{Kind: topics.RestoreJob, Repository: "vault-0001", Operation: topics.Operation{Snapshot: strings.Repeat("a", 64), Target: "/back"}},
			} {
				r.Host = w.host.ID
				j, _, err := w.engine.Start(t.Context(), admin, r)
				if err != nil {
					t.Fatal(r, err)
				}
				asked = append(asked, j.ID)
			}
			w.exec(`UPDATE repositories SET keeper = '' WHERE id = 'vault-0001' AND keeper = $1`, w.host.ID)
			lose(w)
			w.connect()
			for _, id := range asked {
				w.await("the end of "+string(id), func() bool {
					j := must(w.store.Job(t.Context(), id))
					return j.State == topics.Failed && j.Cause == topics.CauseNotOwn
				})
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range w.sent {
				if bytes.Contains(s.plain, []byte("correct horse")) {
					t.Errorf("%s holds the password: %s", s.topic, s.plain)
				}
			}
		})
	}
}

// What was given for a job is sent with it, and with nothing else: no config has it.
func TestWhatIsGivenGoesIntoThatCommandAlone(t *testing.T) {
	w := newWorld(t)
	w.strangers()
	w.connect()
	j, _, err := w.engine.Start(t.Context(), Actor{"anna", store.Admin}, Request{Host: w.host.ID, Kind: topics.SnapshotsJob,
		Repository: "other-0001", Give: true})
	if err != nil {
		t.Fatal(err)
	}
	holding := func() (kinds []topics.Kind) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.sent {
			if bytes.Contains(s.plain, []byte("secret of other")) {
				kinds = append(kinds, s.topic.Kind)
				if s.topic.Job != j.ID {
					t.Errorf("it is in %s", s.topic)
				}
			}
		}
		return kinds
	}
	w.await("the command", func() bool { return slices.Contains(holding(), topics.KindCommand) })
	w.end(j.ID)
	if _, _, err := w.engine.RunAgain(t.Context(), Actor{"anna", store.Admin}, j.ID, false); !errors.As(err, new(*GivingError)) {
		t.Errorf("once more by a click: %v", err)
	}
}

// Whoever can write into a repository chooses the hostnames of its locks, and whoever is
// root on a host chooses that host's: a lock gets nobody a repository.
func TestALockOfAnotherRepositoryGetsAHostNothing(t *testing.T) {
	w := newWorld(t)
	w.strangers()
	if err := w.engine.own(t.Context(), w.host.ID, topics.LocksJob, "other-0001", "", 0); err != nil {
		t.Fatal(err)
	}
	if err := w.engine.own(t.Context(), w.host.ID, topics.UnlockJob, "each-0001", "cellar-0001", 0); err != nil {
		t.Fatal(err)
	}
	if open := must(w.store.OpenJobs(t.Context(), "")); len(open) != 0 {
		t.Errorf("asked for: %+v", open)
	}
	if err := w.engine.own(t.Context(), w.host.ID, topics.LocksJob, "vault-0001", "", 0); err != nil {
		t.Fatal(err)
	}
	if open := must(w.store.OpenJobs(t.Context(), "")); len(open) != 1 {
		t.Errorf("of its own repository: %+v", open)
	}
}

// exec changes rows as nothing else does.
func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	if err := w.store.SlotStep(w.t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		_, err := x.ExecContext(ctx, query, args...)
		return err
	}); err != nil {
		w.t.Fatal(query, err)
	}
}
