package openai

import "bytes"

// Edit changes one top-level field of a JSON object.
type Edit struct {
	Field string
	// Value is the JSON to put there; nil keeps the value.
	Value []byte
	// Rename is the field's new name; "" keeps the name.
	Rename string
}

// Rewrite appends body to dst with only the named top-level fields changed. All
// other bytes are kept as they stand, white space and member order included. A
// field that is absent is added at the end, unless its Value is nil. A field
// that occurs twice is changed at each place. There can be at most 64 edits.
func Rewrite(dst, body []byte, edits ...Edit) ([]byte, error) {
	var s scanner
	s.reset(body)
	if !s.open('{') {
		return dst, decodeError(s.err)
	}
	var found uint64 // one bit per edit
	written := 0     // body[:written] is in dst
	last := s.pos    // end of the last value, or of the opening brace
	members := 0
	for s.key(&members) {
		edit := -1
		for i := range edits {
			if string(s.name) == edits[i].Field {
				edit = i
				break
			}
		}
		if edit < 0 {
			s.skip()
			last = s.pos
			continue
		}
		found |= 1 << edit
		if name := edits[edit].Rename; name != "" {
			// The name's opening quote: the first one after the member before,
			// for only white space and a comma stand between.
			quote := last + bytes.IndexByte(body[last:], '"')
			dst = append(append(append(append(dst, body[written:quote]...), '"'), name...), '"')
			written = s.pos - 1 // the colon; white space before it is dropped
		}
		s.space()
		start := s.pos
		s.skip()
		if s.err != nil {
			break
		}
		if value := edits[edit].Value; value != nil && !bytes.Equal(value, body[start:s.pos]) {
			dst = append(append(dst, body[written:start]...), value...)
			written = s.pos
		}
		last = s.pos
	}
	s.end()
	if s.err != nil {
		return dst, decodeError(s.err)
	}
	dst = append(dst, body[written:last]...)
	for i := range edits {
		if found&(1<<i) != 0 || edits[i].Value == nil {
			continue
		}
		name := edits[i].Field
		if edits[i].Rename != "" {
			name = edits[i].Rename
		}
		if members > 0 {
			dst = append(dst, ',')
		}
		members++
		dst = append(append(append(dst, '"'), name...), '"', ':')
		dst = append(dst, edits[i].Value...)
	}
	return append(dst, body[last:]...), nil
}

// limitFields are the values of the fields that a forwarded request may have to
// change; nil where one is absent. They are found in one pass.
type limitFields struct{ maxTokens, maxCompletion, stream, options []byte }

func findLimitFields(body []byte) (f limitFields) {
	var s scanner
	s.reset(body)
	if !s.open('{') {
		return f
	}
	for n := 0; s.key(&n); {
		switch string(s.name) {
		case LimitMaxTokens:
			f.maxTokens = s.raw()
		case LimitMaxCompletionTokens:
			f.maxCompletion = s.raw()
		case "stream":
			f.stream = s.raw()
		case "stream_options":
			f.options = s.raw()
		default:
			s.skip()
		}
	}
	return f
}

// remove appends body to dst without one top-level field and its comma. All
// other bytes are kept.
func remove(dst, body []byte, name string) ([]byte, error) {
	var s scanner
	s.reset(body)
	if !s.open('{') {
		return dst, decodeError(s.err)
	}
	from, to, last := -1, -1, s.pos
	for n := 0; s.key(&n); {
		found := string(s.name) == name
		s.skip()
		if found && from < 0 && s.err == nil {
			if from, to = last, s.pos; n == 1 {
				// The first member goes with the comma after it.
				if s.space(); s.pos < len(body) && body[s.pos] == ',' {
					to = s.pos + 1
				}
			}
		}
		last = s.pos
	}
	s.end()
	if s.err != nil {
		return dst, decodeError(s.err)
	}
	if from < 0 {
		return append(dst, body...), nil
	}
	return append(append(dst, body[:from]...), body[to:]...), nil
}

// Field returns the bytes of a top-level field's value, or nil when the body has
// no such field or is not a JSON object.
func Field(body []byte, name string) []byte {
	var s scanner
	s.reset(body)
	if !s.open('{') {
		return nil
	}
	for n := 0; s.key(&n); {
		if string(s.name) == name {
			return s.raw()
		}
		s.skip()
	}
	return nil
}
