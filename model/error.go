package model

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Codes of errors. They are stable: clients and the console's translations rely
// on them. Where OpenAI has a code for the same thing, it is that code.
const (
	CodeInvalidRequest    = "invalid_request"          // 400
	CodeInvalidJSON       = "invalid_json"             // 400
	CodeUnsupported       = "unsupported"              // 400: the model cannot do what was asked
	CodeContextLength     = "context_length_exceeded"  // 400
	CodeInvalidKey        = "invalid_api_key"          // 401
	CodeMissingKey        = "missing_api_key"          // 401
	CodeBudgetExceeded    = "budget_exceeded"          // 402
	CodeForbidden         = "forbidden"                // 403
	CodeCustomerMismatch  = "customer_mismatch"        // 403: the key is bound to another customer
	CodeModelNotFound     = "model_not_found"          // 404
	CodeUnknownURL        = "unknown_url"              // 404: no such path
	CodeMethod            = "method_not_allowed"       // 405
	CodeTooLarge          = "request_too_large"        // 413
	CodeMediaType         = "unsupported_media_type"   // 415
	CodeRateLimited       = "rate_limit_exceeded"      // 429
	CodeCanceled          = "client_disconnected"      // 499
	CodeStopping          = "server_stopping"          // 503: the server was stopped before the answer was complete
	CodeInternal          = "internal_error"           // 500
	CodeUpstreamStatus    = "upstream_error"           // 502: the upstream answered with an error
	CodeUpstreamProtocol  = "upstream_protocol_error"  // 502: the upstream's reply is not valid
	CodeUpstreamReset     = "upstream_connection_lost" // 502
	CodeUpstreamAuth      = "upstream_auth_failed"     // 502: our key was refused by the upstream
	CodeUnavailable       = "model_unavailable"        // 503: e.g. the local engine is starting or restarting
	CodeLedgerUnavailable = "ledger_unavailable"       // 503: the database is full, locked or corrupt
	CodeDeadline          = "upstream_timeout"         // 504
)

// Error is how a Model fails. Message is written for the client and holds
// neither secrets nor raw upstream text; Err is the cause, for logs only.
type Error struct {
	// Status is the HTTP status that a gateway should answer.
	Status int
	Code   string
	// Message says what happened, where, and what to do.
	Message string
	// Param names the request field at fault, if one is.
	Param string
	// Retryable says that the same request may succeed later.
	Retryable bool
	// MayHaveBeenCharged says that the upstream may bill for the attempt.
	MayHaveBeenCharged bool
	// RetryAfter is how long the upstream asked to wait; 0 when not stated.
	RetryAfter time.Duration
	// Usage is what is known to have been consumed; nil when unknown.
	Usage *Usage
	// Err is the cause. It is never shown to clients.
	Err error
}

// Error is the code and message, without the cause.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a status, a code and a client-safe message.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap sets the cause and returns e.
func (e *Error) Wrap(cause error) *Error {
	e.Err = cause
	return e
}

// AsError finds the *Error in err's chain. Context errors become CodeCanceled or
// CodeDeadline, and anything else CodeInternal with a message that reveals
// nothing. AsError(nil) is nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled):
		return Errorf(499, CodeCanceled, "the client closed the request").Wrap(err)
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: 504, Code: CodeDeadline, Message: "the request did not finish in time", Retryable: true, Err: err}
	}
	return Errorf(500, CodeInternal, "an internal error occurred; the log has the details").Wrap(err)
}
