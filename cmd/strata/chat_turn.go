package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// chat is a conversation with a running server, over the same endpoint that
// every client uses.
type chat struct {
	base, key, model, system string
	maxTokens                int
	temperature              *float64
	out, notes               io.Writer
	colour                   bool

	history      []message
	turns        int
	unknownTurns int
	total        money.Sum
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// turn is one answered prompt.
type turn struct {
	Model        string      `json:"model"`
	Reply        string      `json:"reply"`
	FinishReason string      `json:"finish_reason"`
	CallID       string      `json:"call_id"`
	CostUSD      *money.Pico `json:"cost_usd"`
	PromptTokens *int64      `json:"prompt_tokens"`
	OutputTokens *int64      `json:"output_tokens"`
	Estimated    bool        `json:"estimated"`
	DurationMs   float64     `json:"duration_ms"`
}

// bill is one line on what the turn consumed and cost.
func (t *turn) bill() string {
	parts := []string{"cost " + maybeDollars(t.CostUSD)}
	if t.CostUSD == nil {
		parts[0] = "cost unknown"
	}
	if t.PromptTokens != nil && t.OutputTokens != nil {
		mark := ""
		if t.Estimated {
			mark = "~"
		}
		parts = append(parts, fmt.Sprintf("%s%s → %s tokens", mark, count(*t.PromptTokens), count(*t.OutputTokens)))
	}
	return strings.Join(append(parts, millis(&t.DurationMs)), " · ")
}

// httpClient has no overall timeout: an answer may stream for minutes.
var httpClient = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	ResponseHeaderTimeout: 5 * time.Minute,
}}

// apiError is an error that the server answered.
type apiError struct {
	status        int
	Code, Message string
}

func (e *apiError) Error() string { return e.Message }

func (s *chat) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, payload)
	if err != nil {
		return nil, usagef("--addr %s: %w", s.base, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Strata-Feature", "strata-chat")
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("no server answers at %s; start one in another terminal with: strata up", s.base)
		}
		return nil, fmt.Errorf("asking %s: %w", s.base, err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e struct{ Error apiError }
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(raw, &e) != nil || e.Error.Message == "" {
		return nil, fmt.Errorf("%s answered HTTP %d, and not as a Strata server does; check --addr", s.base, resp.StatusCode)
	}
	e.Error.status = resp.StatusCode
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return nil, &exitError{exitDenied, fmt.Errorf("%w; make a key with \"strata key create --name chat\" and give it with --api-key or STRATA_API_KEY", &e.Error)}
	case http.StatusForbidden, http.StatusPaymentRequired:
		return nil, &exitError{exitDenied, &e.Error}
	case http.StatusNotFound:
		return nil, &exitError{exitNoData, &e.Error}
	case http.StatusBadRequest:
		return nil, &exitError{exitUsage, &e.Error}
	}
	return nil, &e.Error
}

// models lists the served models.
func (s *chat) models(ctx context.Context) ([]string, error) {
	resp, err := s.do(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list struct{ Data []struct{ ID string } }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("the list of models from %s is not valid: %w; check --addr", s.base, err)
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.ID)
	}
	return names, nil
}

// findModel takes the first served model when none was named.
func (s *chat) findModel(ctx context.Context) error {
	if s.model != "" {
		return nil
	}
	names, err := s.models(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return noDataf("the server at %s serves no model; run \"strata model pull\" for the local one, or set a provider's key such as OPENAI_API_KEY and start strata up again", s.base)
	}
	s.model = names[0]
	return nil
}

// startingPatience is how long a turn waits for a local engine that starts.
const startingPatience = 45 * time.Second

// turn asks and streams the answer to s.out. The prompt and the reply become
// part of the conversation only when the reply ended well.
func (s *chat) turn(ctx context.Context, prompt string) (*turn, error) {
	var messages []message
	if s.system != "" {
		messages = append(messages, message{"system", s.system})
	}
	messages = append(append(messages, s.history...), message{"user", prompt})
	body := map[string]any{"model": s.model, "messages": messages, "stream": true,
		"stream_options": map[string]any{"include_usage": true}}
	if s.maxTokens > 0 {
		body["max_tokens"] = s.maxTokens
	}
	if s.temperature != nil {
		body["temperature"] = *s.temperature
	}
	start := time.Now()
	resp, err := s.do(ctx, http.MethodPost, "/v1/chat/completions", body)
	for told := false; err != nil; told = true {
		var e *apiError
		if !errors.As(err, &e) || e.Code != model.CodeUnavailable || time.Since(start) > startingPatience {
			return nil, err
		}
		if !told {
			fmt.Fprintln(s.notes, paint(colourful(s.notes), sgrDim, "The model is not ready yet; waiting for it …"))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		resp, err = s.do(ctx, http.MethodPost, "/v1/chat/completions", body)
	}
	defer resp.Body.Close()
	t := &turn{Model: s.model, CallID: resp.Header.Get("X-Strata-Call-Id")}
	err = s.stream(resp.Body, t)
	t.DurationMs = float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	// The cost is known only when the stream has ended: it comes in a trailer.
	if v := or(resp.Trailer.Get("X-Strata-Cost"), resp.Header.Get("X-Strata-Cost")); v != "" {
		if cost, err := money.ParsePico(v); err == nil {
			t.CostUSD = &cost
		}
	}
	t.Estimated = or(resp.Trailer.Get("X-Strata-Estimated"), resp.Header.Get("X-Strata-Estimated")) != ""
	s.addCost(t.CostUSD)
	s.history = append(s.history, message{"user", prompt}, message{"assistant", t.Reply})
	return t, nil
}

// chunk is one event of a streamed answer.
type chunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Index int `json:"index"`
		Delta struct {
			Content   string `json:"content"`
			Reasoning string `json:"reasoning_content"`
		} `json:"delta"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
	} `json:"usage"`
	Error *apiError `json:"error"`
}

// stream reads server-sent events until [DONE] and writes the text as it comes.
func (s *chat) stream(body io.Reader, t *turn) error {
	lines := bufio.NewReaderSize(body, 64<<10)
	var reply strings.Builder
	thinking, done := false, false
	for {
		line, err := lines.ReadString('\n')
		if data, ok := strings.CutPrefix(strings.TrimSpace(line), "data:"); ok {
			data = strings.TrimSpace(data)
			if data == "[DONE]" {
				done = true
			} else if err := s.chunk(data, t, &reply, &thinking); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			if reply.Len() > 0 {
				fmt.Fprintln(s.out)
			}
			return fmt.Errorf("the answer broke off: %w", err)
		}
	}
	if text := reply.String(); !strings.HasSuffix(text, "\n") {
		fmt.Fprintln(s.out)
	}
	t.Reply = strings.TrimSpace(reply.String())
	if !done {
		return errors.New("the answer broke off before its end; see strata calls for what was charged")
	}
	return nil
}

func (s *chat) chunk(data string, t *turn, reply *strings.Builder, thinking *bool) error {
	var c chunk
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return fmt.Errorf("the server at %s sent an event that is not JSON; check --addr", s.base)
	}
	if c.Error != nil {
		return c.Error
	}
	if c.Model != "" {
		t.Model = c.Model
	}
	if c.Usage != nil {
		t.PromptTokens, t.OutputTokens = &c.Usage.Prompt, &c.Usage.Completion
	}
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue
		}
		if r := choice.Delta.Reasoning; r != "" {
			*thinking = true
			fmt.Fprint(s.out, paint(s.colour, sgrDim, contentText(r)))
		}
		if text := choice.Delta.Content; text != "" {
			if *thinking {
				fmt.Fprint(s.out, "\n\n")
				*thinking = false
			}
			reply.WriteString(text)
			if _, err := fmt.Fprint(s.out, contentText(text)); err != nil {
				return err
			}
		}
		if choice.FinishReason != nil {
			t.FinishReason = *choice.FinishReason
		}
	}
	return nil
}
