package usage

import "bytes"

// Stream reads a reply piece by piece. Where the pieces are cut makes no
// difference.
type Stream struct {
	format string
	buf    []byte // the line, or for whole bodies all bytes, not yet used
	data   []byte // the data lines of the event so far
	lines  int    // data lines in data
	begun  bool   // the byte order mark was looked for
	sse    bool   // a field of an SSE stream was seen
	skipLF bool   // the last byte was a CR that ended a line
	c      collector
}

// maxEvent bounds a line or event that is kept, as a guard of memory. A longer
// one is dropped and flagged.
const maxEvent = 64 << 20

// NewStream starts reading a reply.
func NewStream(provider, surface string, ctx Context, format string) *Stream {
	return &Stream{format: format, c: newCollector(provider, surface, ctx)}
}

// Write takes the next bytes. It never fails.
func (s *Stream) Write(p []byte) (int, error) {
	n := len(p)
	switch s.format {
	case "sse", "ndjson", "eventstream-as-ndjson":
		for len(p) > 0 {
			if s.skipLF {
				s.skipLF = false
				if p[0] == '\n' {
					p = p[1:]
					continue
				}
			}
			i := bytes.IndexAny(p, "\r\n")
			if i < 0 {
				s.keep(p)
				break
			}
			s.keep(p[:i])
			s.skipLF = p[i] == '\r'
			p = p[i+1:]
			s.line()
		}
	default:
		s.keep(p)
	}
	return n, nil
}

func (s *Stream) keep(p []byte) {
	if len(s.buf)+len(p) > maxEvent {
		s.c.flag(FlagMalformed)
		s.buf = s.buf[:0]
		return
	}
	s.buf = append(s.buf, p...)
}

var bom = []byte("\xef\xbb\xbf")

// line handles one line without its end.
func (s *Stream) line() {
	line := s.buf
	s.buf = s.buf[:0]
	if !s.begun {
		s.begun = true
		line = bytes.TrimPrefix(line, bom)
	}
	if s.format != "sse" {
		s.document(line, false)
		return
	}
	if len(line) == 0 {
		s.dispatch(false)
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch string(name) {
	case "data":
		s.sse = true
		if s.lines > 0 {
			s.data = append(s.data, '\n')
		}
		s.lines++
		s.data = append(s.data, bytes.TrimPrefix(value, []byte(" "))...)
		if len(s.data) > maxEvent {
			s.c.flag(FlagMalformed)
			s.data, s.lines = s.data[:0], 0
		}
	case "", "event", "id", "retry":
		s.sse = true
	default:
		if !s.sse && s.lines == 0 {
			// Not an event stream: an error body, or JSON that was asked for
			// as a stream. It is kept to be read as one document.
			s.data = append(append(s.data, line...), '\n')
		}
	}
}

// dispatch ends an event.
func (s *Stream) dispatch(atEnd bool) {
	if !s.sse {
		return
	}
	data := s.data
	s.data, s.lines = s.data[:0], 0
	s.document(data, atEnd)
}

// document hands one JSON document to the collector.
func (s *Stream) document(data []byte, atEnd bool) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return
	}
	if string(data) == "[DONE]" {
		s.c.ended = true
		return
	}
	doc, err := parseNode(data)
	if err != nil {
		if atEnd {
			s.c.flag(FlagTruncated)
		} else {
			s.c.flag(FlagMalformed)
		}
		return
	}
	s.c.observe(doc)
}

// Close ends the reply and says what it comes to.
func (s *Stream) Close() Result {
	switch s.format {
	case "sse":
		if len(s.buf) > 0 {
			s.line()
		}
		if s.sse {
			s.dispatch(true)
		} else {
			s.whole(s.data)
		}
	case "ndjson", "eventstream-as-ndjson":
		line := s.buf
		if !s.begun {
			line = bytes.TrimPrefix(line, bom)
		}
		s.document(line, true)
	default:
		s.whole(s.buf)
	}
	return s.c.result()
}

// whole reads a body that is one document, or a list of the chunks of a stream.
func (s *Stream) whole(body []byte) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, bom))
	if len(body) == 0 {
		return
	}
	doc, err := parseNode(body)
	if err != nil {
		s.c.flag(FlagMalformed)
		return
	}
	if doc.kind == 's' { // a body given as text
		s.whole([]byte(doc.text))
		return
	}
	s.c.wholeBody = true
	if doc.kind == 'a' {
		for _, item := range doc.vals {
			s.c.observe(item)
		}
		return
	}
	s.c.observe(doc)
}
