// Package redact takes secrets out of text that is about to be kept or shown:
// content logs, and the upstream messages that a client may see.
package redact

import (
	"bytes"
	"regexp"
)

// Mark stands in for what was taken out.
const Mark = "[redacted]"

// secrets match the forms in which keys are commonly issued. The forms are from
// memory and were not checked with each provider, so the provider names beside
// the patterns are hints, not claims: a form that is missing here is caught by
// tokens, in Message only, when it is long enough.
var secrets = regexp.MustCompile(`(?i:` +
	`\b(?:authorization|x-api-key|api[-_]?key|access[-_]?token|secret|password)["']?\s*[:=]\s*["']?(?:bearer\s+|basic\s+)?[^\s"',;&{}]{6,}` +
	`|\b(?:bearer|basic)\s+[a-z0-9._~+/=-]{12,}` +
	`)` +
	`|\b(?:sk|pk|rk|gsk|xai|nvapi|pplx|hf|fw|tgp_v1|r8|key)[-_][A-Za-z0-9_\-*.]{6,}` + // OpenAI, Anthropic, Stripe, Groq, xAI, NVIDIA, Perplexity, Hugging Face, Fireworks, Together, Replicate
	`|\b(?:ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abprs])[-_][A-Za-z0-9_\-]{10,}` + // GitHub, GitLab, Slack
	`|\b(?:AKIA|ASIA)[A-Z0-9]{12,}` + // AWS
	`|\bAIza[A-Za-z0-9_\-]{20,}` + // Google
	`|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*` + // JSON web tokens (Moonshot, Zhipu)
	`|\b[0-9a-f]{32}\.[A-Za-z0-9]{16}\b` + // Zhipu
	`|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`)

// addresses match URLs, which can name internal hosts or carry keys.
var addresses = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.\-]{1,15}://[^\s"'<>)\]}]+`)

// tokens match long strings without a known form that are likely to be keys.
var tokens = regexp.MustCompile(`[A-Za-z0-9_\-+/=]{32,}`)

// Secrets replaces what looks like a key, token or password.
func Secrets(b []byte) []byte { return secrets.ReplaceAll(b, []byte(Mark)) }

// Message makes an upstream's error text fit for a client: keys, URLs, long
// opaque strings and control characters go, and so does everything beyond limit
// bytes. extra are further texts that must not appear, such as the key in use.
func Message(text string, limit int, extra ...string) string {
	b := []byte(text)
	if len(b) > 4*limit {
		b = b[:4*limit]
	}
	for _, x := range extra {
		if x != "" {
			b = bytes.ReplaceAll(b, []byte(x), []byte(Mark))
		}
	}
	b = addresses.ReplaceAll(b, []byte(Mark))
	b = secrets.ReplaceAll(b, []byte(Mark))
	b = tokens.ReplaceAll(b, []byte(Mark))
	b = bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, bytes.ToValidUTF8(b, []byte("?")))
	b = bytes.TrimSpace(b)
	if len(b) > limit {
		b = append(bytes.ToValidUTF8(b[:limit], nil), "…"...)
	}
	return string(b)
}
