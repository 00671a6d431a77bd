package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errLogBroken = errors.New("the log's checksums do not match")

// rewriteLog reads the first want frames of the log back, checks the checksum
// chain, and writes the same bytes again, so that the kernel holds them as not
// yet written and the next fsync writes them. The format is SQLite's
// (sqlite.org/walformat.html, read in November 2026): a header of 32 bytes, then
// frames of a 24-byte header and a page; each checksum continues the one before.
func (l *logFile) rewriteLog(want int64) error {
	if want == 0 {
		return nil // nothing is committed in it
	}
	f := l.watched.File.File
	var head [32]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head[0:]) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return fmt.Errorf("%w: no header", errLogBroken)
	}
	size := int64(binary.BigEndian.Uint32(head[8:]))
	s0, s1 := checksum(order, 0, 0, head[:24])
	if s0 != binary.BigEndian.Uint32(head[24:]) || s1 != binary.BigEndian.Uint32(head[28:]) || size < 512 || size > 65536 {
		return fmt.Errorf("%w: header", errLogBroken)
	}
	if _, err := f.WriteAt(head[:], 0); err != nil {
		return fmt.Errorf("writing the log again: %w", err)
	}
	frame := make([]byte, 24+size)
	for i := range want {
		if _, err := f.ReadAt(frame, 32+i*int64(len(frame))); err != nil {
			return fmt.Errorf("%w: frame %d of %d: %w", errLogBroken, i+1, want, err)
		}
		s0, s1 = checksum(order, s0, s1, frame[:8])
		s0, s1 = checksum(order, s0, s1, frame[24:])
		if string(frame[8:16]) != string(head[16:24]) ||
			s0 != binary.BigEndian.Uint32(frame[16:]) || s1 != binary.BigEndian.Uint32(frame[20:]) {
			return fmt.Errorf("%w: frame %d of %d", errLogBroken, i+1, want)
		}
		if _, err := f.WriteAt(frame, 32+i*int64(len(frame))); err != nil {
			return fmt.Errorf("writing the log again: %w", err)
		}
	}
	return nil
}

func checksum(order binary.ByteOrder, s0, s1 uint32, b []byte) (uint32, uint32) {
	for ; len(b) >= 8; b = b[8:] {
		s0 += order.Uint32(b) + s1
		s1 += order.Uint32(b[4:]) + s0
	}
	return s0, s1
}
