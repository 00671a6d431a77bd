package openai

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

type readEvent struct{ name, data string }

// readAll reads every event, and the error that ended the stream with the data
// that came with it.
func readAll(r io.Reader, limit int) (events []readEvent, rest string, err error) {
	e := NewEventReader(r, limit)
	for {
		name, data, err := e.Next()
		if err != nil {
			return events, string(data), err
		}
		events = append(events, readEvent{name, string(data)})
	}
}

func TestEventReader(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []readEvent
		rest string
		err  error
	}{
		"empty":              {"", nil, "", io.EOF},
		"one":                {"data: a\n\n", []readEvent{{"", "a"}}, "", io.EOF},
		"crlf":               {"data: a\r\n\r\ndata: b\r\n\r\n", []readEvent{{"", "a"}, {"", "b"}}, "", io.EOF},
		"cr":                 {"data: a\r\rdata: b\r\r", []readEvent{{"", "a"}, {"", "b"}}, "", io.EOF},
		"mixed":              {"data: a\r\n\ndata: b\n\r\n", []readEvent{{"", "a"}, {"", "b"}}, "", io.EOF},
		"no space":           {"data:a\n\n", []readEvent{{"", "a"}}, "", io.EOF},
		"two spaces":         {"data:  a\n\n", []readEvent{{"", " a"}}, "", io.EOF},
		"comment":            {": hi\n\n:\ndata: a\n: x\n\n", []readEvent{{"", "a"}}, "", io.EOF},
		"lines":              {"data: a\ndata: b\ndata\ndata: c\n\n", []readEvent{{"", "a\nb\n\nc"}}, "", io.EOF},
		"event":              {"event: error\ndata: a\nid: 7\nretry: 9\n\ndata: b\n\n", []readEvent{{"error", "a"}, {"", "b"}}, "", io.EOF},
		"event without data": {"event: ping\n\ndata: b\n\n", []readEvent{{"", "b"}}, "", io.EOF},
		"other field":        {"database: a\ndata: b\n\n", []readEvent{{"", "b"}}, "", io.EOF},
		"empty data":         {"data:\n\n", []readEvent{{"", ""}}, "", io.EOF},
		"byte order mark":    {"\xef\xbb\xbfdata: a\n\n", []readEvent{{"", "a"}}, "", io.EOF},
		"blank lines":        {"\n\n\ndata: a\n\n\n\n", []readEvent{{"", "a"}}, "", io.EOF},
		"half line":          {"data: a\n\ndata: {\"x", []readEvent{{"", "a"}}, "{\"x", ErrHalfEvent},
		"half event":         {"data: a\n", nil, "a", ErrHalfEvent},
		"half of two lines":  {"data: a\ndata: b", nil, "a\nb", ErrHalfEvent},
		"half field":         {"data: a\n\neve", []readEvent{{"", "a"}}, "", ErrHalfEvent},
		"cut comment":        {"data: a\n\n: pi", []readEvent{{"", "a"}}, "", io.EOF},
		"done without end":   {"data: a\n\ndata: [DONE]", []readEvent{{"", "a"}}, "[DONE]", ErrHalfEvent},
		"too large":          {"data: " + strings.Repeat("x", 200) + "\n\n", nil, "", ErrEventTooLarge},
		"too large lines":    {strings.Repeat("data: "+strings.Repeat("x", 30)+"\n", 10) + "\n", nil, "", ErrEventTooLarge},
	} {
		for way, reader := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader,
			"by halves": iotest.HalfReader, "with error": iotest.DataErrReader,
		} {
			got, rest, err := readAll(reader(strings.NewReader(c.in)), 100)
			if !reflect.DeepEqual(got, c.want) || rest != c.rest || !errors.Is(err, c.err) {
				t.Errorf("%s, %s: got %q, %q, %v; want %q, %q, %v", name, way, got, rest, err, c.want, c.rest, c.err)
			}
		}
	}
}

func TestEventReaderMemoryIsBounded(t *testing.T) {
	// Endless comments, and an endless line, both without a blank line.
	endless := io.LimitReader(repeat(": keep alive\n"), 64<<20)
	if _, _, err := readAll(endless, 1000); err != io.EOF {
		t.Errorf("comments: %v", err)
	}
	e := NewEventReader(repeat("x"), 1000)
	if _, _, err := e.Next(); err != ErrEventTooLarge {
		t.Errorf("a line: %v", err)
	}
	if len(e.buf) > 10000 {
		t.Errorf("the buffer grew to %d bytes", len(e.buf))
	}
}

// repeat reads the same text for ever.
func repeat(text string) io.Reader { return &repeater{text: text} }

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], r.text[r.at:])
		n += m
		r.at = (r.at + m) % len(r.text)
	}
	return n, nil
}

func TestEventReaderGivesUpOnAReaderThatGivesNothing(t *testing.T) {
	if _, _, err := readAll(nothing{}, 100); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestReadEventsReportsTheError(t *testing.T) {
	boom := errors.New("boom")
	var got []string
	var last error
	for data, err := range ReadEvents(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n\n"), iotest.ErrReader(boom)), 100) {
		if last = err; err == nil {
			got = append(got, string(data))
		}
	}
	if len(got) != 2 || last != boom {
		t.Errorf("got %q, %v", got, last)
	}
}

// FuzzEventReader checks that the way in which bytes arrive changes nothing.
func FuzzEventReader(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\nevent: x\rdata: b\rdata: c\n\n: c\n"), uint8(3))
	f.Add([]byte("data: {\"a\":1}\n\ndata: [DONE]\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		want, rest, err := readAll(bytes.NewReader(in), 1<<20)
		got, rest2, err2 := readAll(&stepReader{bytes.NewReader(in), int(step%7) + 1}, 1<<20)
		if !reflect.DeepEqual(want, got) || rest != rest2 || !errors.Is(err2, err) {
			t.Fatalf("%q: at once %q %q %v, in steps %q %q %v", in, want, rest, err, got, rest2, err2)
		}
		for _, e := range want {
			if strings.ContainsRune(e.data, '\r') {
				t.Fatalf("%q: a carriage return is inside the data %q", in, e.data)
			}
			// Framing what was read gives the same data again.
			again, _, err := readAll(bytes.NewReader(appendData(nil, []byte(e.data))), 1<<20)
			if err != io.EOF || len(again) != 1 || again[0].data != e.data {
				t.Fatalf("%q is framed as %q, %v", e.data, again, err)
			}
		}
	})
}

type stepReader struct {
	r    io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.step)]) }

const benchChunk = `{"id":"chatcmpl-AbCdEf0123456789","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}`

// BenchmarkStream reads, decodes and writes one chunk of a stream.
func BenchmarkStream(b *testing.B) {
	frame := []byte("data: " + benchChunk + "\n\n")
	r := NewEventReader(repeat(string(frame)), 1<<20)
	r.buf = make([]byte, 16<<10)
	var d Decoder
	req, err := DecodeChat([]byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	enc := NewChunkEncoder(req)
	var buf []byte
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		_, data, err := r.Next()
		if err != nil {
			b.Fatal(err)
		}
		events, _, err := d.Chunk("openai.chat", data)
		if err != nil {
			b.Fatal(err)
		}
		buf = enc.Append(buf[:0], &events[0])
	}
	if string(buf) != string(frame) {
		b.Fatalf("got %s", buf)
	}
}
