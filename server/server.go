package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/console"
	"github.com/stratahq/strata/gateway"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local"
	"github.com/stratahq/strata/store"
)

// Options say how to run. The zero value runs with the defaults: a loopback
// address, the user's data directory, and the configuration file if there is one.
type Options struct {
	// Addr, DataDir and ConfigFile win over the configuration file.
	Addr, DataDir, ConfigFile string
	// NoLocal leaves the local model out.
	NoLocal bool
	// LocalPrice is what an hour of this machine costs, as "0.08 USD/h", or
	// "free"; it wins over local.price of the file.
	LocalPrice string
	// Env looks up an environment variable; nil means that there are none.
	Env func(string) string
	Now func() time.Time
	Log *slog.Logger
	// OnFetch is told the progress of fetching the local model's files.
	OnFetch func(name, source string, fetched, total int64)
	// DrainTimeout is how long open replies may go on when the server stops;
	// the default is the configuration's, and 30 s without one.
	DrainTimeout time.Duration
	// VFS names the file layer of the database; tests inject faults with it.
	VFS string
}

func (o *Options) fill() {
	if o.Env == nil {
		o.Env = func(string) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Limits of the HTTP server. A client has a bounded time for its headers, and
// the handlers bound the time for bodies and for each write; the reply as a
// whole has no bound, since a model may speak for long.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// settleGrace is how long calls that were cut may take to settle.
	settleGrace = 20 * time.Second
)

// Server is a running Strata.
type Server struct {
	o       Options
	stack   *stack
	started time.Time

	front    *gateway.Gateway
	listener net.Listener
	socket   *adminSocket
	http     *http.Server
	trusted  *http.Server // on the admin socket

	// stopping ends when the server begins to drain, and base when open replies
	// are cut.
	stopping, base context.Context
	stop, cut      context.CancelFunc
	once           sync.Once
	closed         error
}

// New opens everything and listens, but answers only when [Server.Serve] runs.
// An *[InvalidError] says that options or configuration are wrong.
func New(ctx context.Context, o Options) (_ *Server, err error) {
	o.fill()
	s := &Server{o: o, started: o.Now().UTC()}
	s.stopping, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	s.base, s.cut = base, func() { cut(errStopping) }
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	settings, err := load(&s.o)
	if err != nil {
		return nil, err
	}
	if s.o.DrainTimeout <= 0 {
		s.o.DrainTimeout = settings.file.DrainFor()
	}
	loopback := isLoopback(settings.addr)
	if !loopback && settings.adminSecret == "" {
		return nil, invalidf("%s can be reached from other machines, and no admin secret is set: set STRATA_ADMIN_SECRET (for example to the output of \"openssl rand -hex 32\") or admin_secret in the configuration, or listen on %s", settings.addr, DefaultAddr)
	}
	left := leftSocket(settings.dataDir)
	lock, err := store.TryLock(settings.dataDir)
	if err != nil {
		var held *store.HeldError
		if errors.As(err, &held) && held.Info.Address != "" {
			return nil, fmt.Errorf("another strata is running on these data: process %d, at http://%s, data directory %s; use that one, stop it, or name another directory with --data",
				held.Info.PID, held.Info.Address, held.Dir)
		}
		return nil, err
	}
	removeLeft(left)
	// The address is tried before the database is opened, so that a port in use
	// costs nothing.
	s.listener, err = listen(ctx, settings.addr, o.Env)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	s.stack, err = openStack(ctx, s.o, settings, lock)
	if err != nil {
		return nil, err
	}
	if err := s.stack.startEngine(&s.o); err != nil {
		return nil, err
	}
	if s.socket, err = listenAdmin(ctx); err != nil {
		return nil, err
	}

	adminHandler := s.stack.adminHandler(s.status)
	s.front = s.stack.gateway()
	h := &routes{
		gateway:  s.front,
		admin:    adminHandler,
		console:  console.Handler(),
		ready:    s.stack.ready,
		stopping: s.stopping,
	}
	guard := gateway.GuardOptions{Loopback: loopback, Hosts: settings.file.Hosts, Origins: settings.file.Origins, Log: s.o.Log}
	s.http = s.newHTTP(gateway.Guard(h, guard))
	s.trusted = s.newHTTP(&routes{gateway: http.NotFoundHandler(), console: http.NotFoundHandler(),
		admin: admin.Trusted(adminHandler), ready: s.stack.ready, stopping: s.stopping})
	if err := lock.Publish(store.LockInfo{Socket: s.socket.Addr().String(), Address: s.listener.Addr().String(), Started: s.started}); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) newHTTP(h http.Handler) *http.Server {
	headerTimeout := s.stack.settings.file.Limits.HeaderTimeout
	if headerTimeout <= 0 {
		headerTimeout = readHeaderTimeout
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return s.base },
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers until ctx ends, then drains and closes. It returns nil after an
// orderly end.
func (s *Server) Serve(ctx context.Context) error {
	if s.stack.engine != nil {
		s.stack.engine.Start(s.base)
		var pricing sync.WaitGroup
		pricing.Go(func() { s.stack.priceLocal(s.stopping, s.stack.engine.Status) })
		defer pricing.Wait()
	}
	failed := make(chan error, 2)
	serve := func(srv *http.Server, l net.Listener) {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving %s: %w", l.Addr(), err)
		}
	}
	go serve(s.http, s.listener)
	go serve(s.trusted, s.socket.Listener)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
}

// errStopping is the cause of a call that was cut off, and what its client is
// told.
var errStopping = &model.Error{Status: http.StatusServiceUnavailable, Code: model.CodeStopping, Retryable: true,
	Message: "the server was stopped before the reply was complete; try again"}

// Cut ends open replies at once. Their calls are settled as cancelled. It is for
// an operator who does not want to wait for [Server.Shutdown].
func (s *Server) Cut() { s.cut() }

// Shutdown stops accepting, lets open replies go on for the drain timeout (or
// until ctx ends), cuts the rest, and closes everything once their calls are
// settled.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	drain, cancel := context.WithTimeout(ctx, s.o.DrainTimeout)
	defer cancel()
	// A cut ends the wait for clients that keep a connection without a request.
	defer context.AfterFunc(s.base, cancel)()
	var trusted sync.WaitGroup
	trusted.Go(func() { s.trusted.Shutdown(drain) })
	if err := s.http.Shutdown(drain); err != nil {
		s.cut()
		settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
		defer cancel()
		if err := s.http.Shutdown(settle); err != nil {
			s.o.Log.Error("some requests did not end; their calls are resolved at the next start", "error", err)
			s.http.Close()
		}
	}
	trusted.Wait()
	s.trusted.Close()
	s.close()
	return s.closed
}

// close releases everything that New opened. It may be called again.
func (s *Server) close() {
	s.once.Do(func() {
		s.stop()
		s.cut()
		var errs []error
		if s.listener != nil {
			if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
		if s.socket != nil {
			errs = append(errs, s.socket.Close())
		}
		if s.stack != nil {
			errs = append(errs, s.stack.Close())
		}
		s.closed = errors.Join(errs...)
	})
}

// EngineStatus is the state of the local model.
func (s *Server) EngineStatus() local.Status {
	if s.stack.engine == nil {
		return local.Status{State: local.StateOff}
	}
	return s.stack.engine.Status()
}

// InFlight is the number of calls that are being answered.
func (s *Server) InFlight() int64 { return s.front.InFlight() }

// Ledger is the server's ledger, for tests and benchmarks.
func (s *Server) Ledger() *ledger.Ledger { return s.stack.ledger }
