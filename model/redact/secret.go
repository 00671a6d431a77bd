package redact

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// Secret is a value that must not be shown. It prints, logs and marshals as a
// mark, never as itself. In a configuration it is written as
//
//	env:NAME    the environment variable NAME
//	file:PATH   the contents of a file, without white space at its ends
//
// or, less safely, as the value itself.
type Secret struct {
	ref   string // as written, when it is a reference
	value string
}

// NewSecret makes a secret of a value.
func NewSecret(value string) Secret { return Secret{value: value} }

// maxSecret bounds a file that holds a secret.
const maxSecret = 64 << 10

// Reveal returns the value. Call it only where the value is used.
func (s Secret) Reveal() string { return s.value }

// IsZero says that there is neither a value nor a reference.
func (s Secret) IsZero() bool { return s == Secret{} }

// Ref is the reference as it was written, such as "env:OPENAI_API_KEY"; "" for a
// value that was written out.
func (s Secret) Ref() string { return s.ref }

// Resolve reads what the reference names. Its error names the reference and
// never the value.
func (s *Secret) Resolve(env func(string) string) error {
	if name, ok := strings.CutPrefix(s.ref, "env:"); ok {
		if s.value = env(name); s.value == "" {
			return fmt.Errorf("the environment variable %s is not set", name)
		}
	}
	if path, ok := strings.CutPrefix(s.ref, "file:"); ok {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		buf := make([]byte, maxSecret+1)
		n := 0
		for n < len(buf) {
			m, err := f.Read(buf[n:])
			n += m
			if err != nil {
				break
			}
		}
		if n > maxSecret {
			return fmt.Errorf("%s is larger than a secret can be (%d bytes)", path, maxSecret)
		}
		if s.value = strings.TrimSpace(string(buf[:n])); s.value == "" {
			return fmt.Errorf("%s is empty", path)
		}
	}
	return nil
}

// UnmarshalText reads a secret as written in a configuration.
func (s *Secret) UnmarshalText(b []byte) error {
	text := string(b)
	*s = Secret{}
	for _, scheme := range [...]string{"env:", "file:"} {
		if rest, ok := strings.CutPrefix(text, scheme); ok {
			if rest == "" {
				return fmt.Errorf("%s names nothing: write env:NAME or file:PATH", text)
			}
			s.ref = text
			return nil
		}
	}
	s.value = text
	return nil
}

// MarshalText writes the reference, or the mark in place of a value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the reference, or the mark in place of a value.
func (s Secret) String() string {
	switch {
	case s.ref != "":
		return s.ref
	case s.value == "":
		return ""
	}
	return Mark
}

// GoString keeps %#v from showing the value.
func (s Secret) GoString() string { return "redact.Secret(" + s.String() + ")" }

// Format keeps every verb from showing the value.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue keeps logs from showing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
