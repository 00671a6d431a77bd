package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSecretsAreTakenOut(t *testing.T) {
	for _, secret := range []string{
		"sk-proj-abcdef0123456789", "sk-ant-api03-abcdefghij", "gsk_abcdefghijklmnop", "xai-abcdefghijklmnop", "hf_abcdefghijklmnop",
		"nvapi-abcdefghijkl", "pplx-abcdefghijkl", "ghp_abcdefghijklmnop1234", "xoxb-123456789012-abc", "AKIAABCDEFGHIJKLMNOP",
		"AIzaSyabcdefghijklmnopqrstu", "eyJhbGciOiJIUzI1NiJ9.eyJhcGlfa2V5IjoiYSJ9.c2lnbmF0dXJl", "0123456789abcdef0123456789abcdef.ABCDEFGHIJKLMNOP",
	} {
		for _, around := range []string{"%s", "the key %s is bad", `{"k":"%s"}`, "Bearer %s", "a=%s&b"} {
			in := fmt.Sprintf(around, secret)
			if got := string(Secrets([]byte(in))); strings.Contains(got, secret) || !strings.Contains(got, Mark) {
				t.Errorf("%s became %s", in, got)
			}
			if got := Message(in, 500); strings.Contains(got, secret) {
				t.Errorf("message %s became %s", in, got)
			}
		}
	}
	in := "-----BEGIN RSA PRIVATE KEY-----\nabc\ndef\n-----END RSA PRIVATE KEY----- rest"
	if got := string(Secrets([]byte(in))); got != Mark+" rest" {
		t.Errorf("got %q", got)
	}
	for _, in := range []string{"api_key: hunter2hunter2", `"password": "hunter2hunter2"`, "Authorization: Basic hunter2hunter2"} {
		if got := string(Secrets([]byte(in))); strings.Contains(got, "hunter2") {
			t.Errorf("%s became %s", in, got)
		}
	}
}

func TestPlainTextIsKept(t *testing.T) {
	for _, in := range []string{
		"This model's maximum context length is 8192 tokens, however you requested 9000.",
		"Invalid value for 'temperature': expected at most 2.", "the basic idea of a bearer bond", "task-based risk-free",
		"what is my password policy?", "模型不存在", "",
	} {
		if got := string(Secrets([]byte(in))); got != in {
			t.Errorf("%q became %q", in, got)
		}
		if got := Message(in, 500); got != in {
			t.Errorf("message %q became %q", in, got)
		}
	}
}

func TestMessageHidesAddressesAndOpaqueTexts(t *testing.T) {
	got := Message("at http://10.0.0.7:8000/v1?k=abc see "+strings.Repeat("aB3", 20)+"\r\nX: y mykey", 500, "mykey")
	if got != "at "+Mark+" see "+Mark+"  X: y "+Mark {
		t.Errorf("got %q", got)
	}
	if got := Message(strings.Repeat("é ", 1000), 100); len(got) > 110 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("got %q", got)
	}
}

func TestSecretIsNotShown(t *testing.T) {
	s := NewSecret("hunter2hunter2")
	j, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "p", &s, "in", struct{ S Secret }{s})
	for _, shown := range []string{fmt.Sprint(s, &s), fmt.Sprintf("%v %+v %#v %s %q %x %X %d", s, s, s, s, s, s, s, s), string(j), log.String()} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("shown in %s", shown)
		}
	}
	if s.Reveal() != "hunter2hunter2" || !s.IsSet() || s.From() != "literal" {
		t.Error("the value is lost")
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("key sk-abcdefgh at http://x \x00\xff", 20)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = limit&0xfff + 1
		got := Message(text, limit, "forbidden")
		if !utf8.ValidString(got) || len(got) > limit+len("…") {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
