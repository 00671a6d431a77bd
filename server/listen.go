package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stratahq/strata/store"
)

// DefaultAddr is where `strata up` listens when nothing else is said.
const DefaultAddr = "127.0.0.1:4000"

// InvalidError says that the options or the configuration are wrong: nothing
// was started, and trying again without a change is of no use.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.Err }

func invalidf(format string, args ...any) error { return &InvalidError{fmt.Errorf(format, args...)} }

// parseAddr completes an address: "4000" and ":4000" are ports. An address that
// names no host means all interfaces, as everywhere in Go.
func parseAddr(addr string) (string, error) {
	if _, err := strconv.ParseUint(addr, 10, 16); err == nil {
		addr = "127.0.0.1:" + addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", invalidf("address %q: %w; write it as host:port, such as %s", addr, err, DefaultAddr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", invalidf("address %q: the port must be a number up to 65535", addr)
	}
	return net.JoinHostPort(host, port), nil
}

// isLoopback says that only this machine reaches an address. A name other than
// localhost is not trusted to resolve to loopback.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// listen opens the address. If it is taken, the error says by whom, as far as
// can be told, and offers a free one.
func listen(ctx context.Context, addr string, env func(string) string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		if errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("listen on %s: not permitted; ports below 1024 need privileges, try --addr %s", addr, DefaultAddr)
		}
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	message := "port in use: " + addr + " is taken by " + whoHolds(ctx, addr, env)
	if free := nextFree(ctx, addr); free != "" {
		message += "; try: strata up --addr " + free
	}
	return nil, errors.New(message)
}

// whoHolds names who answers at an address that cannot be taken.
func whoHolds(ctx context.Context, addr string, env func(string) string) string {
	dir := DefaultDataDir(env)
	if info, held, err := store.ReadLock(dir); err == nil && held && info.Address == addr {
		return fmt.Sprintf("the strata of process %d, whose data are in %s", info.PID, dir)
	}
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return "another program"
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "another program"
	}
	defer resp.Body.Close()
	var health health
	if json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&health) != nil || health.Service != "strata" {
		return "another program"
	}
	return "another strata, which uses another data directory"
}

// nextFree finds a free port near the one that is taken; "" if there is none.
func nextFree(ctx context.Context, addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	taken, err := strconv.Atoi(port)
	if err != nil {
		return ""
	}
	var lc net.ListenConfig
	for p := taken + 1; p <= min(taken+20, 65535); p++ {
		candidate := net.JoinHostPort(host, strconv.Itoa(p))
		if l, err := lc.Listen(ctx, "tcp", candidate); err == nil {
			l.Close()
			return candidate
		}
	}
	return ""
}
