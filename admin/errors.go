package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/store"
)

// Codes of this interface beside those of package model. They are stable.
const (
	CodeUnknownParameter = "unknown_parameter" // 400: a query parameter or body field that does not exist
	CodeInvalidParameter = "invalid_parameter" // 400: its value is not valid
	CodeInvalidCursor    = "invalid_cursor"    // 400
	CodeLoginRequired    = "login_required"    // 401: nobody is logged in
	CodeAdminRequired    = "admin_required"    // 403: the caller is a key's holder
	CodeForeignHost      = "foreign_host"      // 403: the Host header names another server
	CodeForeignOrigin    = "foreign_origin"    // 403: another site's page sent this
	CodeNotFound         = "not_found"         // 404
	CodeConflict         = "conflict"          // 409: not in this state
	CodeBadContentType   = "unsupported_media_type"
	CodeBadMethod        = "method_not_allowed"
)

// maxBody bounds the JSON bodies of this interface; the largest legitimate one
// is a price book in a reprice request.
const maxBody = 8 << 20

func badParam(param, format string, args ...any) *model.Error {
	e := model.Errorf(http.StatusBadRequest, CodeInvalidParameter, format, args...)
	e.Param = param
	return e
}

func notFound(format string, args ...any) *model.Error {
	return model.Errorf(http.StatusNotFound, CodeNotFound, format, args...)
}

// asError gives every error its status, code and client-safe message.
func asError(err error) *model.Error {
	var e *model.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ledger.ErrNotFound):
		return notFound("nothing has this id").Wrap(err)
	case errors.Is(err, ledger.ErrInvalid):
		return model.Errorf(http.StatusBadRequest, CodeInvalidParameter, "%s", err).Wrap(err)
	case errors.Is(err, store.ErrExists):
		return model.Errorf(http.StatusConflict, CodeConflict, "the file is there already; give another name").Wrap(err)
	case errors.Is(err, ledger.ErrUnavailable), errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrLocked):
		return &model.Error{Status: http.StatusServiceUnavailable, Code: model.CodeLedgerUnavailable, Retryable: true,
			Message: "the database cannot be used now (full, locked or damaged); `strata doctor` says which and how to mend it", Err: err}
	}
	return access.ModelError(err)
}

func (s *service) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	if e.Status >= 500 {
		s.Log.Error("admin request failed", "method", r.Method, "path", r.URL.Path, "code", e.Code, "error", e.Err)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
	}
	var body ErrorBody
	body.Error.Code, body.Error.Message, body.Error.Param = e.Code, e.Message, e.Param
	writeJSON(w, e.Status, body)
}

// writeJSON answers with v. A failure to write means that the client is gone,
// which is nobody's error.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		// Only our own types are marshalled, and none of them can fail.
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal_error","message":"the answer cannot be written as JSON"}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// readJSON decodes a body strictly: one object, known fields only, within limits.
// The content type must be JSON, which a foreign page cannot send without asking first.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return model.Errorf(http.StatusUnsupportedMediaType, CodeBadContentType, "send the body as Content-Type: application/json")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return bodyError(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return model.Errorf(http.StatusBadRequest, model.CodeInvalidJSON, "the body holds more than one JSON value")
	}
	return nil
}

func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &tooLarge):
		return model.Errorf(http.StatusRequestEntityTooLarge, model.CodeTooLarge, "the body is larger than %d bytes", tooLarge.Limit)
	case errors.As(err, &wrongType):
		return badParam(wrongType.Field, "%s must be a %s, not a JSON %s", wrongType.Field, wrongType.Type, wrongType.Value)
	case errors.As(err, &syntax):
		return model.Errorf(http.StatusBadRequest, model.CodeInvalidJSON, "the body is not valid JSON at byte %d", syntax.Offset)
	case errors.Is(err, io.EOF):
		return model.Errorf(http.StatusBadRequest, model.CodeInvalidJSON, "the body is empty; a JSON object is expected")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return model.Errorf(http.StatusBadRequest, model.CodeInvalidJSON, "the body ends in the middle of its JSON")
	}
	var name string
	if _, scan := fmt.Sscanf(err.Error(), "json: unknown field %q", &name); scan == nil {
		e := model.Errorf(http.StatusBadRequest, CodeUnknownParameter, "the body has no field %q", clip(name))
		e.Param = clip(name)
		return e
	}
	return model.Errorf(http.StatusBadRequest, model.CodeInvalidJSON, "the body cannot be read as the expected JSON object").Wrap(err)
}

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
