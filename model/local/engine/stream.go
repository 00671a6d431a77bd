package engine

import (
	"strings"
	"unicode/utf8"

	"github.com/stratahq/strata/model/local/proto"
)

// streamer turns the bytes of tokens into text that can be sent: whole runes
// only, and nothing that may still turn out to begin a stop string.
type streamer struct {
	stops []string
	// held is text that is not yet decided, in whole runes, then the bytes of
	// an unfinished rune.
	held    string
	partial []byte
	// marks are the log probabilities of tokens whose text is held, with where
	// each token's text begins, counted from the start of held.
	marks []mark
	// matched is the stop string that was completed, and rest what followed it.
	matched, rest string
}

type mark struct {
	at int
	lp proto.Logprob
}

// push adds the bytes of one token. It returns the text to send, the log
// probabilities that go with it, and whether a stop string was completed.
func (s *streamer) push(piece []byte, lp *proto.Logprob) (text string, lps []proto.Logprob, stopped bool) {
	if lp != nil {
		s.marks = append(s.marks, mark{len(s.held), *lp})
	}
	s.partial = append(s.partial, piece...)
	s.held += s.runes(false)
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 && (!stopped || i < len(text)) {
			text, stopped = s.held[:i], true
			s.matched, s.rest = stop, s.held[i+len(stop):]
		}
	}
	if stopped {
		for _, m := range s.marks {
			if m.at < len(text) {
				lps = append(lps, m.lp)
			}
		}
		s.held, s.partial, s.marks = "", nil, nil
		return text, lps, true
	}
	keep := 0
	for _, stop := range s.stops {
		keep = max(keep, overlap(s.held, stop))
	}
	return s.release(len(s.held) - keep)
}

// flush returns everything that is still held; bytes that never became a rune
// turn into U+FFFD.
func (s *streamer) flush() (text string, lps []proto.Logprob) {
	s.held += s.runes(true)
	text, lps, _ = s.release(len(s.held))
	for _, m := range s.marks {
		lps = append(lps, m.lp)
	}
	s.marks = nil
	return text, lps
}

func (s *streamer) release(n int) (text string, lps []proto.Logprob, stopped bool) {
	text, s.held = s.held[:n], s.held[n:]
	rest := s.marks[:0]
	for _, m := range s.marks {
		if m.at < n || m.at == n && n == 0 && len(s.held) == 0 && len(s.partial) == 0 {
			lps = append(lps, m.lp)
			continue
		}
		m.at -= n
		rest = append(rest, m)
	}
	s.marks = rest
	return text, lps, false
}

// runes takes the whole runes out of partial. Bytes that cannot be part of a
// rune become U+FFFD at once, an unfinished rune only when it is the last.
func (s *streamer) runes(last bool) string {
	var b strings.Builder
	p := s.partial
	for len(p) > 0 {
		if !last && !utf8.FullRune(p) {
			break
		}
		r, n := utf8.DecodeRune(p)
		b.WriteRune(r)
		p = p[n:]
	}
	s.partial = append(s.partial[:0], p...)
	return b.String()
}

// overlap is the length of the longest end of text that begins stop.
func overlap(text, stop string) int {
	for n := min(len(text), len(stop)-1); n > 0; n-- {
		if strings.HasSuffix(text, stop[:n]) {
			return n
		}
	}
	return 0
}

// splitText cuts a text of any length into pieces of at most n bytes, between
// a blank and what precedes it where there is one, so that counting tokens
// piece by piece differs from counting the whole by next to nothing. NUL bytes
// become spaces: native code ends a string there.
func splitText(text string, n int) func(yield func(string) bool) {
	text = strings.ReplaceAll(text, "\x00", " ")
	return func(yield func(string) bool) {
		for len(text) > n {
			cut := strings.LastIndexAny(text[:n], " \n")
			if cut <= 0 {
				for cut = n; cut > n-utf8.UTFMax && !utf8.RuneStart(text[cut]); cut-- {
				}
			}
			if !yield(text[:cut]) {
				return
			}
			text = text[cut:]
		}
		if text != "" {
			yield(text)
		}
	}
}
