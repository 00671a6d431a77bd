// Package client speaks the administrative interface, /api/v1, for commands. It
// finds the running server of a data directory by the directory's lock and
// speaks through its unix socket; when none is running, the same interface is
// served inside the command. Either way the caller sees the same JSON.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/store"
)

// patience is how long Dial waits for a server that is starting or stopping, and
// for another command that holds the directory for a moment.
const patience = 5 * time.Second

// maxAnswer bounds an answer that is read whole.
const maxAnswer = 256 << 20

// Client speaks to one data directory. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	running bool
	info    store.LockInfo
	close   func() error
}

// Error is an error that the interface answered.
type Error struct {
	Status  int    // the HTTP status
	Code    string // stable; see package admin and docs/api.md
	Message string // for people: what happened and what to do
	Param   string // the parameter at fault, if one is
}

// Error is the message, which says what to do.
func (e *Error) Error() string { return e.Message }

// Is matches another *Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Open serves the interface of a data directory that no server runs on. It takes
// the directory's lock, and fails with an error matching store.ErrHeld when
// another process has it.
type Open func(ctx context.Context) (http.Handler, io.Closer, error)

// Dial connects to the running server of a data directory, or opens the
// directory for this process alone. What a killed server leaves behind, a lock
// file and a socket, is not taken for a running one: the lock ended with it.
//
// While another command holds the directory, or a server is just starting or
// stopping, Dial waits up to five seconds. Then the error matches store.ErrHeld
// and names the holder.
func Dial(ctx context.Context, dataDir string, open func(ctx context.Context) (http.Handler, io.Closer, error)) (*Client, error) {
	deadline := time.Now().Add(patience)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		info, held, err := store.ReadLock(dataDir)
		if err != nil {
			return nil, err
		}
		var failed error
		switch {
		case held && info.Socket != "":
			c, err := overSocket(ctx, info)
			if err == nil {
				return c, nil
			}
			// It holds the lock, yet does not answer: it is about to stop.
			failed = fmt.Errorf("the running server (process %d) does not answer on %s: %w", info.PID, info.Socket, err)
		case held:
			failed = &store.HeldError{Dir: dataDir, Info: info}
		default:
			h, closer, err := open(ctx)
			if err == nil {
				return inProcess(h, closer), nil
			}
			if !errors.Is(err, store.ErrHeld) {
				return nil, err
			}
			failed = err // another process was faster
		}
		if time.Now().Add(wait).After(deadline) {
			return nil, failed
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// overSocket makes a client of a running server, if it answers.
func overSocket(ctx context.Context, info store.LockInfo) (*Client, error) {
	var d net.Dialer
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", info.Socket)
		},
		DisableCompression: true,
	}
	try, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := d.DialContext(try, "unix", info.Socket)
	if err != nil {
		return nil, err
	}
	conn.Close()
	return &Client{http: &http.Client{Transport: transport}, running: true, info: info,
		close: func() error { transport.CloseIdleConnections(); return nil }}, nil
}

// inProcess makes a client of a handler.
func inProcess(h http.Handler, closer io.Closer) *Client {
	t := &handlerTransport{handler: admin.Trusted(h)}
	return &Client{http: &http.Client{Transport: t}, close: func() error {
		t.wait()
		if closer == nil {
			return nil
		}
		return closer.Close()
	}}
}

// Running says that a server is running, rather than this process serving itself.
func (c *Client) Running() bool { return c.running }

// Address is where the running server's gateway listens; "" when none is running.
func (c *Client) Address() string { return c.info.Address }

// Close ends the client. In-process it closes the database and releases the
// directory, so it must be called.
func (c *Client) Close() error { return c.close() }

// Get reads an address below the interface, such as "/api/v1/status", into out.
// Errors of the interface are *[Error].
func (c *Client) Get(ctx context.Context, path string, q url.Values, out any) error {
	return c.call(ctx, http.MethodGet, withQuery(path, q), nil, out)
}

// Post sends in as JSON and reads the answer into out; both may be nil.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	return c.call(ctx, http.MethodPost, path, in, out)
}

// Put is Post with the method PUT.
func (c *Client) Put(ctx context.Context, path string, in, out any) error {
	return c.call(ctx, http.MethodPut, path, in, out)
}

// Patch is Post with the method PATCH.
func (c *Client) Patch(ctx context.Context, path string, in, out any) error {
	return c.call(ctx, http.MethodPatch, path, in, out)
}

// Delete deletes an address and reads the answer into out, which may be nil.
func (c *Client) Delete(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodDelete, path, nil, out)
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, "application/json", in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, pathOnly(path), err)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the answer to %s %s is not what was expected (is the running server of another version?): %w", method, pathOnly(path), err)
	}
	return nil
}

// send sends a request; an answer of status 400 and above becomes an *Error.
func (c *Client) send(ctx context.Context, method, path, accept string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", method, pathOnly(path), err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://strata"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, pathOnly(path), err)
	}
	req.Header.Set("Accept", accept)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s %s: the server is gone: %w", method, pathOnly(path), err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e admin.ErrorBody
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(b, &e) != nil || e.Error.Code == "" {
		return nil, fmt.Errorf("%s %s: the server answered with status %d", method, pathOnly(path), resp.StatusCode)
	}
	return nil, errorOf(resp.StatusCode, &e)
}

func errorOf(status int, e *admin.ErrorBody) *Error {
	return &Error{Status: status, Code: e.Error.Code, Message: e.Error.Message, Param: e.Error.Param}
}

func pathOnly(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}
