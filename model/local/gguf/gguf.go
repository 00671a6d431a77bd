// Package gguf reads the header of a GGUF model file, to tell before a native
// library maps the file whether it is whole and can be served. llama.cpp ends
// the process on some damaged files; here they become errors.
//
// The format is documented in ggml's docs/gguf.md (read November 2026).
package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// ErrInvalid is wrapped by every error about the content of a file.
var ErrInvalid = errors.New("not a usable GGUF file")

// Info is what the header says.
type Info struct {
	Version      uint32
	Architecture string
	Name         string
	ContextTrain int64
	Tensors      int
	// Tokens is the size of the vocabulary; 0 when the file has no tokenizer.
	Tokens       int
	ChatTemplate string
	// Size is the file's size in bytes, and Needed what its header implies.
	Size, Needed int64
}

// Limits against absurd headers.
const (
	maxEntries = 1 << 20
	maxString  = 64 << 20
	maxArray   = 1 << 28
	maxDepth   = 2
)

// The types of metadata values.
const (
	tUint8, tInt8, tUint16, tInt16, tUint32, tInt32, tFloat32, tBool, tString, tArray, tUint64, tInt64, tFloat64 = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
)

var scalarSize = map[uint32]int64{tUint8: 1, tInt8: 1, tUint16: 2, tInt16: 2, tUint32: 4, tInt32: 4, tFloat32: 4, tBool: 1, tUint64: 8, tInt64: 8, tFloat64: 8}

// block sizes of tensor types: elements per block and bytes per block. A type
// that is not listed is not checked against the file's size.
var blocks = map[uint32][2]int64{
	0: {1, 4}, 1: {1, 2}, 2: {32, 18}, 3: {32, 20}, 6: {32, 22}, 7: {32, 24}, 8: {32, 34}, 9: {32, 36},
	10: {256, 84}, 11: {256, 110}, 12: {256, 144}, 13: {256, 176}, 14: {256, 210}, 15: {256, 292},
	20: {32, 18}, 24: {1, 1}, 25: {1, 2}, 26: {1, 4}, 27: {1, 8}, 28: {1, 8}, 30: {1, 2},
}

type reader struct {
	r    *bufio.Reader
	at   int64
	size int64
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Check reads the header of the file and compares its size with what the
// header implies.
func Check(path string) (*Info, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, bad("%s is a directory; name the .gguf file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := Read(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// Read reads a header from r; size is the size of the whole file.
func Read(r io.Reader, size int64) (*Info, error) {
	d := &reader{r: bufio.NewReaderSize(r, 1<<16), size: size}
	info := &Info{Size: size}
	var magic [4]byte
	if err := d.full(magic[:]); err != nil {
		return nil, bad("it has only %d bytes", size)
	}
	if string(magic[:]) != "GGUF" {
		return nil, bad("it starts with %q instead of GGUF", magic[:])
	}
	var err error
	if info.Version, err = d.u32(); err != nil {
		return nil, err
	}
	if info.Version < 2 || info.Version > 3 {
		return nil, bad("its version is %d; 2 and 3 can be read", info.Version)
	}
	tensors, err := d.u64()
	if err != nil {
		return nil, err
	}
	entries, err := d.u64()
	if err != nil {
		return nil, err
	}
	if tensors > maxEntries || entries > maxEntries {
		return nil, bad("its header claims %d tensors and %d entries", tensors, entries)
	}
	info.Tensors = int(tensors)
	align := int64(32)
	for range entries {
		if err := d.entry(info, &align); err != nil {
			return nil, err
		}
	}
	var end int64
	for range tensors {
		name, err := d.str()
		if err != nil {
			return nil, err
		}
		bytes, offset, err := d.tensor(name)
		if err != nil {
			return nil, err
		}
		end = max(end, offset+bytes)
	}
	info.Needed = (d.at+align-1)/align*align + end
	switch {
	case info.Needed > size:
		return nil, bad("it is truncated: its header needs %d bytes and the file has %d; fetch it again", info.Needed, size)
	case info.Architecture == "":
		return nil, bad("it does not say its architecture (general.architecture)")
	case info.Tensors == 0:
		return nil, bad("it holds no weights, only a header")
	case info.Tokens == 0:
		return nil, bad("it holds no tokenizer (tokenizer.ggml.tokens), so text cannot be turned into tokens")
	}
	return info, nil
}

func (d *reader) entry(info *Info, align *int64) error {
	key, err := d.str()
	if err != nil {
		return err
	}
	t, err := d.u32()
	if err != nil {
		return err
	}
	switch {
	case t == tString:
		v, err := d.str()
		if err != nil {
			return err
		}
		switch key {
		case "general.architecture":
			info.Architecture = v
		case "general.name":
			info.Name = v
		case "tokenizer.chat_template":
			info.ChatTemplate = v
		}
		return nil
	case t == tArray:
		n, err := d.array(0)
		if key == "tokenizer.ggml.tokens" {
			info.Tokens = int(n)
		}
		return err
	case t == tUint32 || t == tUint64:
		v, err := uint64(0), error(nil)
		if t == tUint32 {
			var w uint32
			w, err = d.u32()
			v = uint64(w)
		} else {
			v, err = d.u64()
		}
		if err != nil {
			return err
		}
		switch key {
		case "general.alignment":
			if v == 0 || v > 1<<20 || v&(v-1) != 0 {
				return bad("its alignment is %d", v)
			}
			*align = int64(v)
		case info.Architecture + ".context_length":
			info.ContextTrain = int64(min(v, math.MaxInt32))
		}
		return nil
	}
	n, ok := scalarSize[t]
	if !ok {
		return bad("the entry %.60q has the unknown type %d", key, t)
	}
	return d.skip(n)
}

func (d *reader) array(depth int) (uint64, error) {
	t, err := d.u32()
	if err != nil {
		return 0, err
	}
	n, err := d.u64()
	if err != nil {
		return 0, err
	}
	if n > maxArray || depth >= maxDepth {
		return 0, bad("an array of %d elements, nested %d deep", n, depth)
	}
	if s, ok := scalarSize[t]; ok {
		return n, d.skip(int64(n) * s)
	}
	for range n {
		switch t {
		case tString:
			l, err := d.u64()
			if err != nil {
				return 0, err
			}
			if l > maxString {
				return 0, bad("a string of %d bytes", l)
			}
			if err := d.skip(int64(l)); err != nil {
				return 0, err
			}
		case tArray:
			if _, err := d.array(depth + 1); err != nil {
				return 0, err
			}
		default:
			return 0, bad("an array of the unknown type %d", t)
		}
	}
	return n, nil
}

// tensor reads the description of one tensor after its name.
func (d *reader) tensor(name string) (bytes, offset int64, err error) {
	dims, err := d.u32()
	if err != nil {
		return 0, 0, err
	}
	if dims > 8 {
		return 0, 0, bad("the tensor %.60q has %d dimensions", name, dims)
	}
	elements := int64(1)
	for range dims {
		n, err := d.u64()
		if err != nil {
			return 0, 0, err
		}
		if n == 0 || n > 1<<40 || elements > (1<<44)/int64(n) {
			return 0, 0, bad("the tensor %.60q is of absurd size", name)
		}
		elements *= int64(n)
	}
	t, err := d.u32()
	if err != nil {
		return 0, 0, err
	}
	off, err := d.u64()
	if err != nil {
		return 0, 0, err
	}
	if off > 1<<46 {
		return 0, 0, bad("the tensor %.60q lies at %d", name, off)
	}
	if b, ok := blocks[t]; ok {
		bytes = (elements + b[0] - 1) / b[0] * b[1]
	}
	return bytes, int64(off), nil
}

func (d *reader) full(p []byte) error {
	n, err := io.ReadFull(d.r, p)
	d.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad("it is truncated: its header ends at byte %d; fetch it again", d.at)
	}
	return err
}

func (d *reader) u32() (uint32, error) {
	var b [4]byte
	err := d.full(b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

func (d *reader) u64() (uint64, error) {
	var b [8]byte
	err := d.full(b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

func (d *reader) str() (string, error) {
	n, err := d.u64()
	if err != nil {
		return "", err
	}
	if n > maxString || int64(n) > d.size-d.at {
		return "", bad("it is truncated: a string of %d bytes at byte %d of %d", n, d.at, d.size)
	}
	// Grown while reading, so that a false length costs no memory.
	b, err := io.ReadAll(io.LimitReader(d.r, int64(n)))
	d.at += int64(len(b))
	if err == nil && uint64(len(b)) < n {
		return "", bad("it is truncated: its header ends at byte %d; fetch it again", d.at)
	}
	return string(b), err
}

func (d *reader) skip(n int64) error {
	if n > d.size-d.at {
		return bad("it is truncated: its header ends at byte %d; fetch it again", d.size)
	}
	for n > 0 {
		k, err := d.r.Discard(int(min(n, 1<<30)))
		d.at += int64(k)
		n -= int64(k)
		if err != nil {
			return bad("it is truncated: its header ends at byte %d; fetch it again", d.at)
		}
	}
	return nil
}
