package openai

import (
	"errors"

	"github.com/stratahq/strata/model"
)

// decodeError words a scanner's failure as a refusal of the client's request.
func decodeError(err error) *model.Error {
	var syntax *syntaxError
	var typ *typeError
	var e *model.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &syntax):
		return model.Errorf(400, model.CodeInvalidJSON,
			"the request body is not valid JSON: %s at byte %d", syntax.what, syntax.pos)
	case errors.As(err, &typ):
		e := model.Errorf(400, model.CodeInvalidRequest, "%s", typ.Error())
		e.Param = typ.path
		return e
	}
	return model.Errorf(400, model.CodeInvalidRequest, "the request cannot be read").Wrap(err)
}

// invalid is a refusal that names the field at fault.
func invalid(param, format string, args ...any) *model.Error {
	e := model.Errorf(400, model.CodeInvalidRequest, format, args...)
	e.Param = param
	return e
}

// ErrorType is OpenAI's error type for an error's status. Clients branch on the
// status and code; the type is for people.
func ErrorType(e *model.Error) string {
	switch {
	case e.Status == 401:
		return "authentication_error"
	case e.Status == 402:
		return "insufficient_quota"
	case e.Status == 403:
		return "permission_error"
	case e.Status == 429:
		return "rate_limit_error"
	case e.Status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

// AppendError appends an error body: {"error":{message,type,param,code}}.
func AppendError(dst []byte, e *model.Error) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = appendString(dst, e.Message)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, ErrorType(e)...)
	dst = append(dst, `","param":`...)
	if e.Param == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendString(dst, e.Param)
	}
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, e.Code)
	return append(dst, "}}"...)
}
