package config

import (
	"fmt"
	"os"
	"strings"
)

// Secret is a value that must not be seen: it prints, marshals and formats as
// "(secret)". In a file it is written as "env:NAME" (an environment variable)
// or "file:PATH" (the trimmed content of a file); a literal is accepted too, and
// [Secret.From] then says "literal".
type Secret struct{ value, from string }

// SetSecret sets the value and where it came from. Types in other packages that
// have this method are filled by [Load] in the same way.
func (s *Secret) SetSecret(value, from string) { s.value, s.from = value, from }

// Reveal returns the value. Call it only where the secret is used.
func (s Secret) Reveal() string { return s.value }

// From says where the value came from: "env:NAME", "file:PATH", "literal", or
// "" when there is none.
func (s Secret) From() string { return s.from }

// IsSet says that there is a value.
func (s Secret) IsSet() bool { return s.value != "" }

// String hides the value.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "(secret)"
}

// GoString, MarshalText and Format hide the value from %#v, encoders and every
// other verb.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Format hides the value, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// secretSetter is a field that holds a secret.
type secretSetter interface{ SetSecret(value, from string) }

// resolveSecret turns the text of a file into a secret's value.
func resolveSecret(text string, env func(string) string) (value, from string, err error) {
	switch kind, arg, ok := strings.Cut(text, ":"); {
	case ok && kind == "env":
		v := env(arg)
		if v == "" {
			return "", "", fmt.Errorf("the environment variable %s is not set; set it, or remove this entry", arg)
		}
		return v, text, nil
	case ok && kind == "file":
		b, err := os.ReadFile(arg)
		if err != nil {
			return "", "", fmt.Errorf("the secret file cannot be read: %w", err)
		}
		v := strings.TrimSpace(string(b))
		if v == "" {
			return "", "", fmt.Errorf("the secret file %s is empty", arg)
		}
		return v, text, nil
	case text == "":
		return "", "", nil
	}
	return text, "literal", nil
}
