package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/stratahq/strata/model/redact"
)

// Secret is a value that must not be seen. In a file it is written as
// "env:NAME" (an environment variable) or "file:PATH" (the trimmed content of a
// file); a literal is accepted too, and its From then says "literal".
type Secret = redact.Secret

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
