package mock

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func post(t *testing.T, url, body string) (*http.Response, string, error) {
	t.Helper()
	c := http.Client{Timeout: 5 * time.Second}
	resp, err := c.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func TestWholeReplyHonoursTheLimit(t *testing.T) {
	u := New(Options{Tokens: 8})
	s := httptest.NewServer(u)
	defer s.Close()
	_, body, err := post(t, s.URL+"/v1/chat/completions", `{"model":"mock","messages":[{"role":"user","content":"hello"}],"max_tokens":3}`)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Choices []struct {
			Message      struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage struct {
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Choices[0].Message.Content != "w0 w1 w2 " || got.Choices[0].FinishReason != "length" || got.Usage.CompletionTokens != 3 {
		t.Errorf("reply %s", body)
	}
	if st := u.Stats(); st.Requests != 1 || st.Whole != 1 || st.CompletionTokens != 3 {
		t.Errorf("stats %+v", st)
	}
}

func TestStreamEndsWithUsageAndDone(t *testing.T) {
	s := httptest.NewServer(New(Options{}))
	defer s.Close()
	_, body, err := post(t, s.URL+"/v1/chat/completions", `{"model":"mock@3","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	sc := bufio.NewScanner(strings.NewReader(body))
	for sc.Scan() {
		if d, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
			data = append(data, d)
		}
	}
	if n := len(data); n != 1+3+1+1+1 || data[n-1] != "[DONE]" || !strings.Contains(data[n-2], `"completion_tokens":3`) {
		t.Errorf("events %q", data)
	}
}

func TestFaults(t *testing.T) {
	u := New(Options{})
	s := httptest.NewServer(u)
	defer s.Close()
	for fault, c := range map[Fault]struct {
		status      int
		with, error string
	}{
		Status429: {429, SecretInErrors, ""}, Status500: {500, SecretInErrors, ""}, WrongJSON: {200, "<html>", ""},
		Empty: {200, "", ""}, Reset: {0, "", "reset"}, ResetMid: {0, "", "reset"}, NegativeUsage: {200, `"completion_tokens":-5`, ""},
		NoUsage: {200, `"usage":null`, ""},
	} {
		resp, body, err := post(t, s.URL+"/v1/chat/completions", `{"model":"mock-`+string(fault)+`","messages":[]}`)
		switch {
		case c.error != "":
			if err == nil || !strings.Contains(err.Error(), c.error) && !strings.Contains(err.Error(), "EOF") {
				t.Errorf("%s: %v", fault, err)
			}
		case err != nil || resp.StatusCode != c.status || !strings.Contains(body, c.with):
			t.Errorf("%s: %v %s %v", fault, resp, body, err)
		}
	}
	if u.Stats().Whole != 2 {
		t.Errorf("only replies that were written to the end count as whole: %+v", u.Stats())
	}
}
