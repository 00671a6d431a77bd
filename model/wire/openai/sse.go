package openai

import (
	"bytes"
	"errors"
	"io"
	"iter"
)

// Errors of an event stream. Errors of the underlying reader are returned as
// they are.
var (
	// ErrHalfEvent says that the stream ended inside an event.
	ErrHalfEvent = errors.New("the event stream ended inside an event")
	// ErrEventTooLarge says that one event is larger than the limit.
	ErrEventTooLarge = errors.New("an event of the stream is too large")
)

// EventReader reads server-sent events as the HTML standard defines them
// (Living Standard, 9.2.5 and 9.2.6, as quoted in public code): lines end with LF, CRLF
// or CR; lines that begin with a colon are comments; the data lines of one event
// are joined with LF. Unlike a browser it reports an event that is cut off by
// the end of the stream, because a cut answer must not pass for a whole one.
type EventReader struct {
	r     io.Reader
	limit int
	buf   []byte
	// buf[start:end] is unread; buf[start:scanned] holds no line end.
	start, scanned, end int
	skipLF              bool // a CR was consumed, and an LF after it belongs to it
	begun               bool
	err                 error
	name                []byte
	joined              []byte
}

// NewEventReader reads events of at most limit bytes of data each.
func NewEventReader(r io.Reader, limit int) *EventReader {
	e := &EventReader{buf: make([]byte, 4096)}
	e.Reset(r, limit)
	return e
}

// Reset makes the reader read another stream, with the buffers that it has.
func (e *EventReader) Reset(r io.Reader, limit int) {
	*e = EventReader{r: r, limit: limit, buf: e.buf, joined: e.joined[:0], name: e.name[:0]}
}

// Next returns the event type ("" means message) and the data of the next
// event, valid until the next call. At a clean end it returns [io.EOF]; an end
// inside an event is [ErrHalfEvent] together with the data so far.
func (e *EventReader) Next() (name string, data []byte, err error) {
	e.name = e.name[:0]
	var single []byte // the only data line so far, inside buf
	lines := 0
	for {
		// A line that is kept aliases the buffer, so it must be saved before the
		// buffer moves.
		line, ok := e.buffered()
		if !ok {
			if lines == 1 && single != nil {
				e.joined = append(e.joined[:0], single...)
				single = nil
			}
			line, err = e.line()
			if err != nil {
				if err == io.EOF && (lines > 0 || (len(line) > 0 && line[0] != ':')) {
					if v, ok := field(line, "data"); ok {
						if lines > 0 {
							e.joined = append(e.joined, '\n')
						} else {
							e.joined = e.joined[:0]
						}
						e.joined = append(e.joined, v...)
						single, lines = nil, lines+1
					}
					if lines > 0 {
						data = e.joined
						if single != nil {
							data = single
						}
					}
					err = ErrHalfEvent
				}
				return string(e.name), data, err
			}
		}
		if len(line) == 0 {
			if lines == 0 {
				e.name = e.name[:0]
				continue
			}
			data = e.joined
			if single != nil {
				data = single
			}
			if len(data) > e.limit {
				return "", nil, ErrEventTooLarge
			}
			return string(e.name), data, nil
		}
		if v, ok := field(line, "data"); ok {
			switch {
			case lines == 0:
				single = v
			default:
				if single != nil {
					e.joined = append(e.joined[:0], single...)
					single = nil
				}
				e.joined = append(append(e.joined, '\n'), v...)
				if len(e.joined) > e.limit {
					return "", nil, ErrEventTooLarge
				}
			}
			lines++
		} else if v, ok := field(line, "event"); ok {
			e.name = append(e.name[:0], v...)
		}
	}
}

// field returns the value of a line "name: value" or "name:value" or "name".
func field(line []byte, name string) ([]byte, bool) {
	if len(line) < len(name) || string(line[:len(name)]) != name {
		return nil, false
	}
	rest := line[len(name):]
	if len(rest) == 0 {
		return rest, true
	}
	if rest[0] != ':' {
		return nil, false
	}
	rest = rest[1:]
	if len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	return rest, true
}

// buffered returns the next line if the buffer holds all of it.
func (e *EventReader) buffered() ([]byte, bool) {
	if e.skipLF && e.start < e.end {
		if e.buf[e.start] == '\n' {
			e.start++
		}
		e.scanned = max(e.scanned, e.start)
		e.skipLF = false
	}
	window := e.buf[e.scanned:e.end]
	i := bytes.IndexByte(window, '\n')
	if i >= 0 {
		window = window[:i]
	}
	if j := bytes.IndexByte(window, '\r'); j >= 0 {
		line := e.buf[e.start : e.scanned+j]
		e.start = e.scanned + j + 1
		e.scanned = e.start
		e.skipLF = true
		return e.first(line), true
	}
	if i < 0 {
		e.scanned = e.end
		return nil, false
	}
	line := e.buf[e.start : e.scanned+i]
	e.start = e.scanned + i + 1
	e.scanned = e.start
	return e.first(line), true
}

// first drops the byte order mark that may stand before the first line.
func (e *EventReader) first(line []byte) []byte {
	if !e.begun {
		e.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	return line
}

// line reads until the buffer holds a line. At the end of the stream it returns
// what is left with [io.EOF].
func (e *EventReader) line() ([]byte, error) {
	empty := 0
	for {
		if e.err != nil {
			rest := e.first(e.buf[e.start:e.end])
			e.start, e.scanned = e.end, e.end
			return rest, e.err
		}
		if e.start > 0 {
			copy(e.buf, e.buf[e.start:e.end])
			e.end -= e.start
			e.scanned -= e.start
			e.start = 0
		}
		if e.end == len(e.buf) {
			if e.end > e.limit+64 {
				return nil, ErrEventTooLarge
			}
			e.buf = append(e.buf, make([]byte, len(e.buf))...)
		}
		n, err := e.r.Read(e.buf[e.end:])
		e.end += n
		e.err = err
		if n > 0 {
			empty = 0
		} else if empty++; empty > 100 && err == nil {
			e.err = io.ErrNoProgress
		}
		if line, ok := e.buffered(); ok {
			return line, nil
		}
	}
}

// ReadEvents ranges over the data of a stream's events, valid until the next
// step. It ends after the stream or at the first error.
func ReadEvents(r io.Reader, limit int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		e := NewEventReader(r, limit)
		for {
			_, data, err := e.Next()
			if err == io.EOF {
				return
			}
			if !yield(data, err) || err != nil {
				return
			}
		}
	}
}
