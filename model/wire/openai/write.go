package openai

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			// U+2028 and U+2029 end lines in JavaScript, so they are escaped.
			if (r != utf8.RuneError || size > 1) && r != 0x2028 && r != 0x2029 {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			switch r {
			case 0x2028:
				dst = append(dst, `\u2028`...)
			case 0x2029:
				dst = append(dst, `\u2029`...)
			default:
				dst = append(dst, `\ufffd`...)
			}
			i += size
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendField appends a comma unless dst ends with an opening bracket, then the
// quoted name and a colon. Names are plain ASCII.
func appendField(dst []byte, name string) []byte {
	dst = appendComma(dst)
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func appendComma(dst []byte) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	return dst
}

// appendFloat appends a finite number. JSON has no infinities, so a probability
// of zero is written as OpenAI writes it: the log probability -9999.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, -1) || math.IsNaN(f):
		return append(dst, "-9999.0"...)
	case math.IsInf(f, 1):
		f = math.MaxFloat64
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}
