package gateway

import (
	"net/http"
	"sync"
	"time"
)

// maxPending is how many bytes of a stream may wait for a slow client before the
// model is held up.
const maxPending = 256 << 10

// streamWriter sends a stream from a goroutine of its own: while one write is in
// the kernel, further events gather and leave together with the next. An event
// never waits for another, so that on an idle machine each leaves by itself; on
// a busy one the number of system calls falls instead of the throughput.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration

	mu      sync.Mutex
	changed sync.Cond // of mu: pending, failed and closed
	pending []byte
	failed  bool // the client left, or took too long
	closed  bool
	ended   chan struct{}
}

func newStreamWriter(w http.ResponseWriter, timeout time.Duration) *streamWriter {
	s := &streamWriter{w: w, control: http.NewResponseController(w), timeout: timeout, ended: make(chan struct{})}
	s.changed.L = &s.mu
	go s.run()
	return s
}

// append lets add append to the bytes that wait, and reports whether the client
// is still there.
func (s *streamWriter) append(add func(pending []byte) []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) > maxPending && !s.failed {
		s.changed.Wait()
	}
	if s.failed {
		return false
	}
	s.pending = add(s.pending)
	s.changed.Broadcast()
	return true
}

// close sends what waits and ends the goroutine. It reports whether everything
// was handed to the connection. It may be called again.
func (s *streamWriter) close() bool {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	<-s.ended
	return !s.failed
}

func (s *streamWriter) run() {
	defer close(s.ended)
	var sending []byte
	var deadline time.Time
	for {
		s.mu.Lock()
		for len(s.pending) == 0 && !s.closed {
			s.changed.Wait()
		}
		if len(s.pending) == 0 {
			s.mu.Unlock()
			return
		}
		sending, s.pending = s.pending, sending[:0]
		s.changed.Broadcast()
		s.mu.Unlock()
		// Moving the deadline costs something, so it moves by steps of a tenth.
		if now := time.Now(); deadline.Sub(now) < s.timeout-s.timeout/10 {
			deadline = now.Add(s.timeout)
			s.control.SetWriteDeadline(deadline)
		}
		_, err := s.w.Write(sending)
		if err == nil {
			err = s.control.Flush()
		}
		if err != nil {
			s.mu.Lock()
			s.failed, s.pending = true, nil
			s.changed.Broadcast()
			s.mu.Unlock()
			return
		}
	}
}
