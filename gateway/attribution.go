package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/stratahq/strata/model"
)

// The request headers that say on whose account a call is made.
const (
	headerCustomer = "X-Strata-Customer"
	headerFeature  = "X-Strata-Feature"
	headerTags     = "X-Strata-Tags"
)

// Limits of attribution. OpenAI's metadata has the same: 16 pairs, names of 64
// and values of 512 characters (https://platform.openai.com/docs/api-reference/chat/create,
// read 2026-11-24).
const (
	maxName     = 200
	maxTags     = 16
	maxTagName  = 64
	maxTagValue = 512
)

// attribute reads the headers of attribution and checks them against the key.
func attribute(h http.Header, c Caller) (model.Attribution, *model.Error) {
	a := model.Attribution{KeyID: c.KeyID, Customer: c.Customer, Feature: c.Feature, LogContent: c.LogContent}
	customer, err := single(h, headerCustomer)
	if err != nil {
		return a, err
	}
	if customer != "" && customer != c.Customer {
		if c.Customer != "" && !c.Open {
			e := model.Errorf(http.StatusForbidden, model.CodeCustomerMismatch,
				"this key is bound to another customer than %s names; leave the header out or use a key of that customer", headerCustomer)
			e.Param = headerCustomer
			return a, e
		}
		a.Customer = customer
	}
	feature, err := single(h, headerFeature)
	if err != nil {
		return a, err
	}
	if feature != "" {
		a.Feature = feature
	}
	if values := h.Values(headerTags); len(values) > 0 {
		tags, err := parseTags(strings.Join(values, ","))
		if err != nil {
			e := model.Errorf(http.StatusBadRequest, model.CodeInvalidRequest, "%s: %v; write it as name=value,name2=value2", headerTags, err)
			e.Param = headerTags
			return a, e
		}
		a.Tags = tags
	}
	return a, nil
}

// single is the value of a header that names one thing.
func single(h http.Header, name string) (string, *model.Error) {
	values := h.Values(name)
	if len(values) == 0 {
		return "", nil
	}
	v := strings.TrimSpace(values[0])
	problem := ""
	switch {
	case len(values) > 1:
		problem = "is given more than once"
	case len(v) > maxName:
		problem = fmt.Sprintf("is longer than %d bytes", maxName)
	case !cleanText(v):
		problem = "holds control characters or text that is not UTF-8"
	}
	if problem == "" {
		return v, nil
	}
	e := model.Errorf(http.StatusBadRequest, model.CodeInvalidRequest, "the header %s %s", name, problem)
	e.Param = name
	return "", e
}

// parseTags reads "name=value,name2=value2". Names are not empty and not
// repeated; spaces around names and values do not count; a value may be empty
// and may hold "=" but no comma.
func parseTags(s string) (map[string]string, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	parts := strings.Split(s, ",")
	if len(parts) > maxTags {
		return nil, fmt.Errorf("more than %d tags", maxTags)
	}
	tags := make(map[string]string, len(parts))
	for _, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		_, twice := tags[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("%q has no \"=\"", printable(strings.TrimSpace(part)))
		case name == "":
			return nil, fmt.Errorf("a tag has no name")
		case len(name) > maxTagName:
			return nil, fmt.Errorf("the name of a tag is longer than %d bytes", maxTagName)
		case len(value) > maxTagValue:
			return nil, fmt.Errorf("the value of %q is longer than %d bytes", printable(name), maxTagValue)
		case !cleanText(name) || !cleanText(value):
			return nil, fmt.Errorf("a tag holds control characters or text that is not UTF-8")
		case twice:
			return nil, fmt.Errorf("the tag %q is given twice", printable(name))
		}
		tags[name] = value
	}
	return tags, nil
}

// cleanText says that s is UTF-8 without control characters.
func cleanText(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == '\ufffd' {
			return false
		}
	}
	return true
}

// merge completes the attribution of the headers with what the body says:
// OpenAI's `user` is the end user and `metadata` becomes tags, where a tag of the
// header wins over one of the same name. Without `user`, metadata.user_id is the
// end user. Metadata that is too long for a tag is the provider's to judge: it is
// forwarded but makes no tag.
func merge(a model.Attribution, body model.Attribution) model.Attribution {
	if len(body.EndUser) <= maxTagValue && cleanText(body.EndUser) {
		a.EndUser = body.EndUser
	}
	// In the order of names, so that which tags are left out does not vary.
	for _, name := range slices.Sorted(maps.Keys(body.Tags)) {
		value := body.Tags[name]
		if name == "" || len(name) > maxTagName || len(value) > maxTagValue || !cleanText(name) || !cleanText(value) {
			continue
		}
		if name == "user_id" && a.EndUser == "" {
			a.EndUser = value
		}
		if _, taken := a.Tags[name]; taken || len(a.Tags) >= maxTags {
			continue
		}
		if a.Tags == nil {
			a.Tags = make(map[string]string, len(body.Tags))
		}
		a.Tags[name] = value
	}
	return a
}
