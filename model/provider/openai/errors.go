package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/redact"
	wire "github.com/stratahq/strata/model/wire/openai"
)

// timeoutError is the cause of a cancellation by one of the upstream's timeouts.
type timeoutError struct {
	what  string
	limit time.Duration
}

func (e *timeoutError) Error() string { return fmt.Sprintf("%s within %s", e.what, e.limit) }

// broken words a failure of the connection. charged says that the upstream may
// bill for the call.
func (u *Upstream) broken(parent, ctx context.Context, err error, charged bool) *model.Error {
	if cause := parent.Err(); cause != nil {
		e := *model.AsError(cause)
		e.MayHaveBeenCharged = charged
		return &e
	}
	var timeout *timeoutError
	if errors.As(context.Cause(ctx), &timeout) {
		return &model.Error{Status: 504, Code: model.CodeDeadline, Retryable: true, MayHaveBeenCharged: charged, Err: timeout,
			Message: fmt.Sprintf("upstream %s %s", u.name, timeout.Error())}
	}
	e := &model.Error{Status: 502, Code: model.CodeUpstreamReset, Retryable: true, MayHaveBeenCharged: charged, Err: err,
		Message: fmt.Sprintf("the connection to upstream %s was lost", u.name)}
	var op *net.OpError
	var dns *net.DNSError
	var nt net.Error
	switch {
	case errors.As(err, &dns):
		e.Message = fmt.Sprintf("upstream %s cannot be found: its host name does not resolve", u.name)
		e.MayHaveBeenCharged = false
	case errors.As(err, &op) && op.Op == "dial":
		e.Message = fmt.Sprintf("upstream %s cannot be reached: is it running?", u.name)
		e.MayHaveBeenCharged = false
	case errors.As(err, &nt) && nt.Timeout():
		e.Status, e.Code = 504, model.CodeDeadline
		e.Message = fmt.Sprintf("upstream %s did not answer in time", u.name)
	case strings.Contains(err.Error(), "tls:") || strings.Contains(err.Error(), "x509:"):
		e.Message = fmt.Sprintf("upstream %s cannot be trusted: its TLS certificate or handshake failed", u.name)
		e.Retryable, e.MayHaveBeenCharged = false, false
	}
	return e
}

// protocol words a reply that is not what it should be. The upstream has
// answered, so it may bill.
func (u *Upstream) protocol(cause error, what string) *model.Error {
	return &model.Error{Status: 502, Code: model.CodeUpstreamProtocol, MayHaveBeenCharged: true, Err: cause,
		Message: fmt.Sprintf("upstream %s %s", u.name, what)}
}

// maxMessage bounds the part of an upstream's message that a client sees.
const maxMessage = 500

// refused words an error status.
func (u *Upstream) refused(resp *http.Response) *model.Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	f := wire.DecodeFailure(body)
	e := u.status(resp.StatusCode, f)
	e.RetryAfter = retryAfter(resp.Header)
	return e
}

// status words an error by its HTTP status and body.
func (u *Upstream) status(status int, f *wire.Failure) *model.Error {
	// The cause is for the log. It holds what the upstream said without what
	// looks like a secret.
	cause := fmt.Errorf("upstream %s answered %d: type %q, code %q: %s", u.name, status,
		redact.Message(f.Type, 80, u.secrets...), redact.Message(f.Code, 80, u.secrets...),
		redact.Message(f.Message, maxMessage, u.secrets...))
	e := &model.Error{Err: cause}
	said := func() string {
		text := redact.Message(f.Message, maxMessage, u.secrets...)
		if text == "" {
			return fmt.Sprintf("upstream %s refused the request and did not say why", u.name)
		}
		return fmt.Sprintf("upstream %s refused the request: %s", u.name, text)
	}
	switch {
	case status == 401 || status == 403:
		e.Status, e.Code = 502, model.CodeUpstreamAuth
		e.Message = fmt.Sprintf("upstream %s refused the key that Strata has for it (status %d); check upstreams: %s: api_key", u.name, status, u.name)
	case status == 402 || f.Code == "insufficient_quota":
		e.Status, e.Code = 502, model.CodeUpstreamStatus
		e.Message = fmt.Sprintf("the account at upstream %s has no credit left", u.name)
	case status == 429:
		e.Status, e.Code, e.Retryable = 429, model.CodeRateLimited, true
		e.Message = fmt.Sprintf("upstream %s limits the rate of requests; try again later", u.name)
	case status == 404:
		e.Status, e.Code, e.Message, e.Param = 404, model.CodeModelNotFound, said(), "model"
	case status == 413:
		e.Status, e.Code, e.Message = 413, model.CodeTooLarge, said()
	case status == 400 || status == 422:
		e.Status, e.Code, e.Message = 400, model.CodeInvalidRequest, said()
		if f.Code == model.CodeContextLength {
			e.Code = model.CodeContextLength
		}
		e.Param = redact.Message(f.Param, 80, u.secrets...)
	case status == 408 || status == 504:
		e.Status, e.Code, e.Retryable, e.MayHaveBeenCharged = 504, model.CodeDeadline, true, true
		e.Message = fmt.Sprintf("upstream %s reported a timeout (status %d)", u.name, status)
	case status == 503 || status == 529:
		e.Status, e.Code, e.Retryable = 503, model.CodeUnavailable, true
		e.Message = fmt.Sprintf("upstream %s is overloaded or down (status %d); try again later", u.name, status)
	case status >= 500:
		e.Status, e.Code, e.Retryable = 502, model.CodeUpstreamStatus, true
		// A proxy in front of the upstream may have given up on a call that was
		// answered and billed.
		e.MayHaveBeenCharged = status == 502
		e.Message = fmt.Sprintf("upstream %s failed (status %d)", u.name, status)
	case status >= 300 && status < 400:
		e.Status, e.Code = 502, model.CodeUpstreamStatus
		e.Message = fmt.Sprintf("upstream %s redirects (status %d), which Strata does not follow; check base_url", u.name, status)
	default:
		e.Status, e.Code = 502, model.CodeUpstreamStatus
		e.Message = fmt.Sprintf("upstream %s answered with status %d", u.name, status)
	}
	return e
}

// inReply words an error that came in place of a reply, or inside a stream.
func (u *Upstream) inReply(f *wire.Failure, begun bool) *model.Error {
	status := f.Status
	if status < 400 || status > 599 {
		if status = 500; f.Code == "rate_limit_exceeded" || f.Type == "rate_limit_error" {
			status = 429
		}
	}
	e := u.status(status, f)
	if begun {
		e.Status, e.Code, e.Retryable = 502, model.CodeUpstreamStatus, false
		e.Message = fmt.Sprintf("upstream %s reported an error inside its answer", u.name)
	}
	e.MayHaveBeenCharged = true
	return e
}

// maxRetryAfter bounds how long an upstream can tell clients to wait.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads the Retry-After headers: milliseconds, seconds or a date.
func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 && ms < 1e9 {
		return min(time.Duration(ms*float64(time.Millisecond)), maxRetryAfter)
	}
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 && s < 1e6 {
		return min(time.Duration(s*float64(time.Second)), maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil {
		if sent, err := http.ParseTime(h.Get("Date")); err == nil && at.After(sent) {
			return min(at.Sub(sent), maxRetryAfter)
		}
	}
	return 0
}
