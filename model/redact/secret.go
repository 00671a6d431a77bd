package redact

import (
	"fmt"
	"log/slog"
)

// Secret is a value that must not be shown: it prints, logs and marshals as a
// mark. Configurations fill it from env:NAME, file:PATH or a literal.
type Secret struct{ value, from string }

// NewSecret makes a secret of a value.
func NewSecret(value string) Secret { return Secret{value: value, from: "literal"} }

// SetSecret sets the value and says where it came from: "env:NAME", "file:PATH"
// or "literal".
func (s *Secret) SetSecret(value, from string) { s.value, s.from = value, from }

// Reveal returns the value. Call it only where the value is used.
func (s Secret) Reveal() string { return s.value }

// From says where the value came from; "" when there is none.
func (s Secret) From() string { return s.from }

// IsSet says that there is a value.
func (s Secret) IsSet() bool { return s.value != "" }

// String hides the value.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return Mark
}

// GoString keeps %#v from showing the value.
func (s Secret) GoString() string { return s.String() }

// Format keeps every verb from showing the value.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText keeps encoders from showing the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps logs from showing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
