package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/proto"
)

// child is a running child process.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	w     *proto.Writer
	log   *tail

	mu     sync.Mutex
	calls  map[uint64]*call
	nextID uint64
	err    error // why it takes no more calls; set once

	exited chan struct{} // closed when the process has been waited for
	exit   error
}

// call is a request that the child works on.
type call struct {
	id uint64

	mu     sync.Mutex
	queue  []*proto.FromChild
	err    error
	signal chan struct{} // capacity 1: something changed
	ended  bool          // the last message has been queued
}

func (c *call) put(m *proto.FromChild, err error) {
	c.mu.Lock()
	if m != nil {
		c.queue = append(c.queue, m)
		c.ended = c.ended || m.Kind == proto.End || m.Kind == proto.Fail
	}
	if err != nil && c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// next waits for the next message.
func (c *call) next(ctx context.Context) (*proto.FromChild, error) {
	for {
		c.mu.Lock()
		if len(c.queue) > 0 {
			m := c.queue[0]
			c.queue = c.queue[1:]
			c.mu.Unlock()
			return m, nil
		}
		err := c.err
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.signal:
		}
	}
}

// tail keeps the last bytes of what a child writes on standard error.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(p), nil
}

// complaint is the line that says most about why the child ended.
func (t *tail) complaint() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last, found string
	for line := range strings.SplitSeq(string(t.buf), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "goroutine ") && found != "" {
			break
		}
		low := strings.ToLower(line)
		for _, word := range []string{"assert", "error", "failed", "abort", "terminate called", "what():", "sigsegv", "signal", "panic"} {
			if strings.Contains(low, word) {
				found = line
				break
			}
		}
		last = line
	}
	if found == "" {
		found = last
	}
	if len(found) > 300 {
		found = found[:300] + "…"
	}
	return found
}

// startChild starts a child that will serve spec, and returns at once. The
// goroutine that started it stays locked to its thread until the child ends:
// on Linux the kernel ends the child when that thread ends.
func startChild(command []string, spec *proto.LoadSpec) (*child, error) {
	c := &child{log: &tail{}, calls: map[uint64]*call{}, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c.cmd = exec.Command(command[0], command[1:]...)
		// A native abort shall not start a debugger.
		c.cmd.Env = append(os.Environ(), "GGML_NO_BACKTRACE=1", "GOTRACEBACK=single")
		c.cmd.Stderr = c.log
		isolate(c.cmd)
		stdin, err := c.cmd.StdinPipe()
		if err != nil {
			started <- err
			return
		}
		stdout, err := c.cmd.StdoutPipe()
		if err != nil {
			started <- err
			return
		}
		if err := c.cmd.Start(); err != nil {
			started <- fmt.Errorf("starting the engine's process: %w", err)
			return
		}
		c.stdin, c.w = stdin, proto.NewWriter(stdin)
		started <- nil
		c.read(stdout)
		c.exit = c.cmd.Wait()
		close(c.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	ready := &call{signal: make(chan struct{}, 1)}
	c.mu.Lock()
	c.calls[0] = ready // messages without an id: ready and failed
	c.mu.Unlock()
	if err := c.w.Write(&proto.ToChild{Kind: proto.Load, Load: spec}); err != nil {
		c.stop()
		return nil, fmt.Errorf("the engine's process ended at once: %s", c.log.complaint())
	}
	return c, nil
}

var errGone = errors.New("the engine's process ended")

// read hands messages to their calls until the child's output ends.
func (c *child) read(out io.Reader) {
	r := proto.NewReader(out)
	for {
		m := new(proto.FromChild)
		if err := r.Read(m); err != nil {
			c.closeCalls(err)
			if !errors.Is(err, io.EOF) {
				c.cmd.Process.Kill() // it writes what nobody can read
			}
			io.Copy(io.Discard, out)
			return
		}
		c.mu.Lock()
		call := c.calls[m.ID]
		c.mu.Unlock()
		if call != nil {
			call.put(m, nil)
		}
	}
}

// closeCalls fails every call: the child is gone.
func (c *child) closeCalls(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		e := model.Errorf(503, model.CodeUnavailable, "the local engine's process ended while it worked on the request; it is being restarted")
		e.Retryable, e.RetryAfter = true, time.Second
		c.err = e.Wrap(errors.Join(errGone, cause))
	}
	for _, call := range c.calls {
		// Each call gets its own copy: usage is set on it.
		var e *model.Error
		errors.As(c.err, &e)
		copied := *e
		call.put(nil, &copied)
	}
}

// send starts a call.
func (c *child) send(m *proto.ToChild) (*call, error) {
	c.mu.Lock()
	if c.err != nil {
		var e *model.Error
		errors.As(c.err, &e)
		copied := *e
		c.mu.Unlock()
		return nil, &copied
	}
	c.nextID++
	m.ID = c.nextID
	call := &call{id: m.ID, signal: make(chan struct{}, 1)}
	c.calls[m.ID] = call
	c.mu.Unlock()
	if err := c.w.Write(m); err != nil {
		c.drop(call)
		if errors.Is(err, proto.ErrFrame) {
			return nil, model.Errorf(413, model.CodeTooLarge, "the request is too large for the local engine").Wrap(err)
		}
		e := model.Errorf(503, model.CodeUnavailable, "the local engine's process has ended; it is being restarted")
		e.Retryable, e.RetryAfter = true, time.Second
		return nil, e.Wrap(err)
	}
	return call, nil
}

// drop forgets a call, and cancels it when it has not ended.
func (c *child) drop(call *call) {
	call.mu.Lock()
	ended := call.ended
	call.mu.Unlock()
	c.mu.Lock()
	delete(c.calls, call.id)
	gone := c.err != nil
	c.mu.Unlock()
	if !ended && !gone {
		c.w.Write(&proto.ToChild{Kind: proto.Cancel, ID: call.id})
	}
}

// settle cancels a call and waits for what it has consumed; nil if the child
// does not say in time.
func (c *child) settle(call *call, wait time.Duration) *proto.Usage {
	if c.w.Write(&proto.ToChild{Kind: proto.Cancel, ID: call.id}) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	var last *proto.Usage
	for {
		m, err := call.next(ctx)
		if err != nil {
			return last
		}
		if m.Usage != nil {
			last = m.Usage
		}
		if m.Kind == proto.End || m.Kind == proto.Fail {
			return last
		}
	}
}

// load counts the calls, as far as they are active and queued.
func (c *child) load(parallel int) (active, queued int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.calls)
	if _, starting := c.calls[0]; starting {
		n--
	}
	return min(n, parallel), max(n-parallel, 0)
}

// stop ends the child: closing its standard input makes it exit; if it does
// not, it is killed. It returns when the process is gone.
func (c *child) stop() {
	c.stdin.Close()
	select {
	case <-c.exited:
		return
	case <-time.After(2 * time.Second):
	}
	c.cmd.Process.Kill()
	<-c.exited
}
