package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/gateway"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model/local"
	"github.com/stratahq/strata/store"
)

// stack is everything below the front door, on one data directory.
type stack struct {
	settings *settings
	now      func() time.Time
	log      *slog.Logger
	env      func(string) string

	lock   *store.Lock
	db     *store.DB
	ledger *ledger.Ledger
	access *access.Access
	prices *prices
	models *models
	engine *local.Engine // nil without a local model
	probe  atomic.Pointer[probe]
}

// probe is what the ledger said when it was last asked.
type probe struct {
	at  time.Time
	err error
}

// openStack opens the database and everything on it. It takes the lock over,
// also when it fails.
func openStack(ctx context.Context, o Options, set *settings, lock *store.Lock) (_ *stack, err error) {
	s := &stack{settings: set, now: o.Now, log: o.Log, env: o.Env, lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.prices, err = loadPrices(set); err != nil {
		return nil, err
	}
	s.db, err = store.Open(ctx, store.Options{Path: set.dataDir, Now: o.Now, Log: o.Log, VFS: o.VFS})
	if err != nil {
		return nil, err
	}
	s.ledger, err = ledger.New(ctx, s.db, ledger.Options{Now: o.Now, Log: o.Log, TimeZone: set.zone})
	if err != nil {
		return nil, err
	}
	s.access, err = access.New(s.db, access.Options{Now: o.Now, Log: o.Log, AdminSecret: set.adminSecret,
		RequireKeys: set.file.RequireKeys || !isLoopback(set.addr)})
	if err != nil {
		return nil, err
	}
	if s.models, err = newModels(s); err != nil {
		return nil, err
	}
	return s, nil
}

// Close releases everything, in the reverse order. It may be called on a stack
// that was opened in part.
func (s *stack) Close() error {
	var errs []error
	add := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", what, err))
		}
	}
	if s.engine != nil {
		add("the local engine", s.engine.Close())
	}
	if s.models != nil {
		s.models.close()
	}
	if s.access != nil {
		add("access", s.access.Close())
	}
	if s.db != nil {
		add("the database", s.db.Close())
	}
	if s.lock != nil {
		add("the lock", s.lock.Release())
	}
	return errors.Join(errs...)
}

// startEngine prepares the local model, unless it is switched off. It runs only
// when its Start is called.
func (s *stack) startEngine(o *Options) error {
	file := s.settings.file
	if o.NoLocal || !file.LocalEnabled() {
		return nil
	}
	l := file.Local
	engine, err := local.New(local.Config{Path: l.Path, Libraries: l.Library, Threads: l.Threads, Context: l.Context, Parallel: l.Parallel},
		local.Deps{Log: s.log, Now: s.now, OnFetch: o.OnFetch})
	if err != nil {
		return &InvalidError{fmt.Errorf("local: %w", err)}
	}
	s.engine = engine
	s.models.addLocal(first(l.Name, engine.Name()), engine)
	// A price that cannot be read is told at the start, not with the first call.
	_, _, err = localPrice(s.settings, 1)
	return err
}

// gateway makes the handler of /v1.
func (s *stack) gateway() *gateway.Gateway {
	limits := s.settings.file.Limits
	return gateway.New(gateway.Deps{
		Models: s.models,
		Ledger: s.ledger,
		Authenticate: func(r *http.Request) (gateway.Caller, error) {
			p, err := s.access.Authenticate(r)
			if err != nil {
				return gateway.Caller{}, access.ModelError(err)
			}
			return gateway.Caller{KeyID: p.KeyID, Customer: p.Customer, Feature: p.Feature,
				LogContent: p.LogContent || s.settings.file.Content.Log,
				// Administrators and the open loopback may name any customer.
				Open: p.Open || p.KeyID == ""}, nil
		},
		NewID:        ledger.NewID,
		Now:          s.now,
		Log:          s.log,
		MaxBody:      int64(limits.Body),
		BodyTimeout:  limits.BodyTimeout,
		WriteTimeout: limits.WriteTimeout,
	})
}

// adminHandler makes the handler of /api/v1.
func (s *stack) adminHandler(status func() admin.Status) http.Handler {
	return admin.New(admin.Deps{
		Ledger: s.ledger,
		Access: s.access,
		DB:     s.db,
		Book:   s.prices.book,
		Charge: s.prices.adminCharge,
		Models: s.models.describe,
		Status: status,
		// The guard in front has checked the host already, with the configured
		// names; the admin socket has none.
		HostAllowed: func(string) bool { return true },
		TimeZone:    s.settings.zone,
		Now:         s.now,
		Log:         s.log,
		BackupDir:   filepath.Join(s.settings.dataDir, "backups"),
	})
}

// ready says whether calls can be recorded. The database is asked at most once a
// second, so that probes cost little. It really writes: a full disk is noticed
// by nothing less.
func (s *stack) ready(ctx context.Context) error {
	if p := s.probe.Load(); p != nil && time.Since(p.at) < time.Second {
		return p.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.db.Write(ctx, false, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO settings (name, value) VALUES ('ready', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1", strconv.FormatInt(s.now().Unix(), 10))
		return err
	})
	if err == nil {
		err = s.db.Read(ctx, func(q store.Querier) error {
			var one int
			return q.QueryRow("SELECT 1").Scan(&one)
		})
	}
	if err != nil {
		s.log.Error("not ready", "error", err)
	}
	s.probe.Store(&probe{time.Now(), err})
	return err
}

// OpenOffline opens the administrative interface of a data directory that no
// server runs on, for one command. Closing the closer releases the directory.
func OpenOffline(ctx context.Context, dataDir, configFile string) (http.Handler, io.Closer, error) {
	o := Options{DataDir: dataDir, ConfigFile: configFile, Env: osEnv}
	o.fill()
	set, err := load(&o)
	if err != nil {
		return nil, nil, err
	}
	lock, err := store.TryLock(set.dataDir)
	if err != nil {
		return nil, nil, err
	}
	s, err := openStack(ctx, o, set, lock)
	if err != nil {
		return nil, nil, err
	}
	started := o.Now().UTC()
	status := func() admin.Status {
		st := s.status()
		st.Started = started
		st.Engine = admin.EngineStatus{State: string(local.StateOff), Detail: "no server is running; start one with: strata up"}
		return st
	}
	return admin.Trusted(s.adminHandler(status)), s, nil
}
