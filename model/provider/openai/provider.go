// Package openai is the Model for any server that speaks OpenAI's wire: hosted
// providers, gateways, and servers that a user runs.
//
// A request that came on the same wire is forwarded with only the model's name,
// the output limit, stream and stream_options changed; the events of the reply
// are passed on as they stood. The usage of a stream is asked for even when the
// client did not ask, and the extra chunk is kept from the client.
//
// What an upstream says in an error reaches a client only for faults of the
// client's own request (400, 404, 413, 422), with keys, URLs and opaque strings
// taken out. The key is in no error and no log.
package openai

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stratahq/strata/model/redact"
)

// ModuleID is the id under which configurations name this module.
const ModuleID = "provider.openai"

// Defaults of a [Config].
const (
	DefaultConnectTimeout   = 10 * time.Second
	DefaultFirstByteTimeout = 5 * time.Minute
	DefaultIdleTimeout      = 3 * time.Minute
	DefaultTotalTimeout     = 30 * time.Minute
	// DefaultMaxReply bounds a whole reply in bytes; it holds 2048 embeddings of
	// 3072 dimensions as text.
	DefaultMaxReply = 128 << 20
	// DefaultMaxEvent bounds one event of a stream in bytes.
	DefaultMaxEvent = 8 << 20
	// maxErrorBody bounds how much of an error reply is read.
	maxErrorBody = 64 << 10
)

// Config configures an upstream (module provider.openai).
type Config struct {
	// BaseURL is the address in front of /chat/completions, such as
	// http://127.0.0.1:9000/v1. Empty means the dialect's own.
	BaseURL string `yaml:"base_url"`
	// APIKey is the key: env:NAME, file:PATH, or the key itself. Empty means the
	// dialect's environment variable, or no key for a server of your own.
	APIKey redact.Secret `yaml:"api_key"`
	// Dialect names a row of the dialect table (openai, deepseek, qwen, vllm, …).
	// Empty means that the address or the upstream's name tells.
	Dialect string `yaml:"dialect"`
	// Provider is the price book's name of the provider, when it differs from
	// the dialect.
	Provider string `yaml:"provider"`
	// Headers are added to every request; values may be env:NAME or file:PATH.
	Headers map[string]redact.Secret `yaml:"headers"`
	// IncludeUsage says whether the server understands
	// stream_options.include_usage. Not given means as the dialect says.
	IncludeUsage *bool `yaml:"include_usage"`
	// LimitField is the field of the output limit, max_tokens or
	// max_completion_tokens. Empty means as the dialect says.
	LimitField string `yaml:"limit_field"`
	// ConnectTimeout is how long connecting may take. 0 means 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// FirstByteTimeout is how long the answer may take to begin. For a whole
	// reply that is until it is complete at most servers. 0 means 5 minutes.
	FirstByteTimeout time.Duration `yaml:"first_byte_timeout"`
	// IdleTimeout is how long the answer may pause. 0 means 3 minutes.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// TotalTimeout is how long an answer may take in all. 0 means 30 minutes.
	TotalTimeout time.Duration `yaml:"total_timeout"`
	// MaxReply bounds a whole reply in bytes. 0 means 128 MiB.
	MaxReply int64 `yaml:"max_reply_bytes"`
}

// Validate checks what can be checked without the upstream. The name is the
// upstream's in the configuration.
func (c *Config) Validate(name string) error {
	d, ok := dialectOf(name, c)
	switch {
	case !ok && c.Dialect != "":
		return fmt.Errorf("dialect: %q is not known; the dialects are %s", c.Dialect, strings.Join(names(), ", "))
	case !ok:
		return fmt.Errorf("base_url: is missing, and %q is not the name of a provider; give base_url, or a dialect of %s",
			name, strings.Join(names(), ", "))
	case c.BaseURL == "" && d.BaseURL == "":
		return fmt.Errorf("base_url: is missing; %s has a different address for every customer", d.Name)
	}
	if c.BaseURL != "" {
		u, err := url.Parse(c.BaseURL)
		switch {
		case err != nil:
			return errors.New("base_url: is not a URL; write it as http://127.0.0.1:9000/v1")
		case u.Scheme != "http" && u.Scheme != "https":
			return errors.New("base_url: must begin with http:// or https://")
		case u.Host == "":
			return errors.New("base_url: has no host")
		case u.User != nil:
			return errors.New("base_url: must not hold a user or password; put the key into api_key")
		case u.RawQuery != "" || u.Fragment != "":
			return errors.New("base_url: must not have a query or fragment")
		}
		if strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/chat/completions") {
			return errors.New("base_url: must end before /chat/completions")
		}
	}
	switch c.LimitField {
	case "", "max_tokens", "max_completion_tokens":
	default:
		return fmt.Errorf("limit_field: %q is not known; it is max_tokens or max_completion_tokens", c.LimitField)
	}
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"connect_timeout", c.ConnectTimeout}, {"first_byte_timeout", c.FirstByteTimeout},
		{"idle_timeout", c.IdleTimeout}, {"total_timeout", c.TotalTimeout}} {
		if t.d < 0 {
			return fmt.Errorf("%s: must not be negative", t.name)
		}
	}
	if c.MaxReply < 0 {
		return errors.New("max_reply_bytes: must not be negative")
	}
	for name, v := range c.Headers {
		if !validHeader(name, v.Reveal()) {
			return fmt.Errorf("headers: %s cannot be sent as a header", redact.Message(name, 80))
		}
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Accept-Encoding":
			return fmt.Errorf("headers: %s is set by Strata itself", name)
		}
	}
	if !validHeader("Authorization", c.APIKey.Reveal()) {
		return errors.New("api_key: holds a character that no key can hold, such as a line end")
	}
	return nil
}

func names() []string {
	list := make([]string, len(dialects))
	for i := range dialects {
		list[i] = dialects[i].Name
	}
	return list
}

func validHeader(name, value string) bool {
	if name == "" {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Deps are what an upstream needs from its surroundings. The zero value works.
type Deps struct {
	// Transport replaces the HTTP transport, for tests.
	Transport http.RoundTripper
	// Env looks up the dialect's environment variables when no key is
	// configured; nil means that none is looked up.
	Env func(string) string
}

// Upstream is one configured server. It is safe for use by many goroutines.
type Upstream struct {
	name    string
	dialect Dialect
	base    string
	headers http.Header
	secrets []string // texts that must not appear in messages
	client  *http.Client
	askUse  bool
	limit   string
	book    string // the price book's name

	firstByte, idle, total time.Duration
	maxReply               int64
	maxEvent               int
}

// New makes an upstream. Secrets in c are resolved already.
func New(name string, c Config, deps Deps) (*Upstream, error) {
	if err := c.Validate(name); err != nil {
		return nil, fmt.Errorf("upstream %s: %w", name, err)
	}
	d, _ := dialectOf(name, &c)
	u := &Upstream{
		name: name, dialect: d, base: c.BaseURL, askUse: d.AskUsage, limit: d.Limit, book: c.Provider,
		firstByte: c.FirstByteTimeout, idle: c.IdleTimeout, total: c.TotalTimeout, maxReply: c.MaxReply, maxEvent: DefaultMaxEvent,
	}
	if u.base == "" {
		u.base = d.BaseURL
	}
	u.base = strings.TrimRight(u.base, "/")
	if u.book == "" {
		if u.book = d.Name; d.Local {
			u.book = name
		}
	}
	if c.IncludeUsage != nil {
		u.askUse = *c.IncludeUsage
	}
	if c.LimitField != "" {
		u.limit = c.LimitField
	}
	orDefault(&u.firstByte, DefaultFirstByteTimeout)
	orDefault(&u.idle, DefaultIdleTimeout)
	orDefault(&u.total, DefaultTotalTimeout)
	if u.maxReply == 0 {
		u.maxReply = DefaultMaxReply
	}
	u.headers = http.Header{
		"Content-Type": {"application/json"},
		"User-Agent":   {"strata"},
	}
	key := c.APIKey.Reveal()
	if key == "" && deps.Env != nil && ownHost(u.base, d.BaseURL) {
		// Only at the provider's own host: a key must not follow a dialect's name
		// to somebody else's server.
		for _, name := range d.Env {
			if key = deps.Env(name); key != "" {
				break
			}
		}
		if !validHeader("Authorization", key) {
			return nil, fmt.Errorf("upstream %s: the key in the environment holds a character that no key can hold, such as a line end", name)
		}
	}
	if key != "" {
		u.secrets = append(u.secrets, key)
		if d.KeyHeader != "" {
			u.headers.Set(d.KeyHeader, key)
		} else {
			u.headers.Set("Authorization", "Bearer "+key)
		}
	}
	for name, v := range c.Headers {
		u.headers.Set(name, v.Reveal())
		u.secrets = append(u.secrets, v.Reveal())
	}
	transport := deps.Transport
	if transport == nil {
		connect := c.ConnectTimeout
		orDefault(&connect, DefaultConnectTimeout)
		transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: connect,
			ForceAttemptHTTP2:   true,
			// Idle connections up to what many concurrent calls need: a new TLS
			// connection per call would cost more than the gateway itself.
			MaxIdleConns:        2048,
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     90 * time.Second,
			// Streams are passed on as they arrive; compression would only delay
			// them.
			DisableCompression: true,
			WriteBufferSize:    16 << 10,
			ReadBufferSize:     16 << 10,
		}
	}
	u.client = &http.Client{
		Transport: transport,
		// A redirect would carry the key to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return u, nil
}

// ownHost says that an address is at the host of a dialect's own.
func ownHost(base, own string) bool {
	a, err := url.Parse(base)
	if err != nil || own == "" {
		return false
	}
	b, err := url.Parse(own)
	return err == nil && a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Name is the upstream's name in the configuration.
func (u *Upstream) Name() string { return u.name }

// Dialect is the row that applies.
func (u *Upstream) Dialect() Dialect { return u.dialect }

// Provider is the price book's name of the provider: the dialect's for a hosted
// provider, and the upstream's own for a server that a user runs.
func (u *Upstream) Provider() string { return u.book }

// BaseURL is the address in use. It holds no secrets.
func (u *Upstream) BaseURL() string { return u.base }

// Close ends idle connections.
func (u *Upstream) Close() { u.client.CloseIdleConnections() }

// request makes an HTTP request with the upstream's headers.
func (u *Upstream) request(ctx context.Context, method, path string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, u.base+path, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range u.headers {
		r.Header[k] = v
	}
	return r, nil
}
