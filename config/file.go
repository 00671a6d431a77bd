// Package config is Strata's configuration: one strict YAML file, and the
// registry of modules that a file can name.
//
// Most people need no file: keys found in the environment configure their
// providers ([Default]), and names of the form provider/model pass through.
// Unknown keys, duplicates, wrong types and contradictions are refused with
// file, line and column, all at once.
package config

import (
	"time"

	"go.yaml.in/yaml/v4"
)

// File is the configuration.
type File struct {
	// Addr is the address to listen on, host:port. The default is
	// 127.0.0.1:4000. On any address but loopback keys are required and
	// admin_secret must be set.
	Addr string `yaml:"addr"`
	// Data is the directory of the database. The default is the user's data
	// directory.
	Data string `yaml:"data"`
	// TimeZone is the business time zone (IANA name, such as Asia/Shanghai): day
	// and month boundaries of budgets and reports. The default is the
	// machine's; UTC where that is not known.
	TimeZone string `yaml:"time_zone"`
	// AdminSecret opens the console and the admin API. Required off loopback.
	// The environment variable STRATA_ADMIN_SECRET sets it too.
	AdminSecret Secret `yaml:"admin_secret"`
	// RequireKeys asks for a key even on loopback before any key exists.
	RequireKeys bool `yaml:"require_keys"`
	// Hosts are further names under which the server may be addressed, besides
	// localhost and the listening address (protection from DNS rebinding).
	Hosts []string `yaml:"hosts"`
	// Origins are web origins, such as https://app.example, whose pages may call
	// /v1 besides the server's own console. The default is none.
	Origins []string `yaml:"origins"`

	// Upstreams are the providers that can be called, by name.
	Upstreams map[string]Upstream `yaml:"upstreams"`
	// Models are the served models, by the name that clients ask for.
	Models map[string]Model `yaml:"models"`
	// Passthrough serves provider/model names of every upstream without listing
	// them under models. The default is true.
	Passthrough *bool `yaml:"passthrough"`

	// Prices override the price book, by served or upstream model name, in the
	// notation of price overrides: {input: 0.20 USD/Mtok, output: 0.80 USD/Mtok}.
	Prices yaml.Node `yaml:"prices"`
	// PriceFiles are files of price overrides, applied in order.
	PriceFiles []string `yaml:"price_files"`
	// Tariffs say what customers are charged; the default passes the cost through.
	Tariffs yaml.Node `yaml:"tariffs"`

	// Local configures the embedded engine.
	Local Local `yaml:"local"`
	// Content says what text is kept with calls.
	Content Content `yaml:"content"`
	// Limits bound what one client can take.
	Limits Limits `yaml:"limits"`
	// Drain is how long open streams may go on after Ctrl-C. The default is 30s.
	Drain *time.Duration `yaml:"drain"`

	// OnDisconnect says what becomes of a running answer when its client leaves:
	// cancel (the default) ends the upstream call, and its usage is estimated
	// unless it was stated; drain reads the answer to its end, for at most two
	// minutes, so that the usage is the upstream's own.
	OnDisconnect string `yaml:"on_disconnect"`

	// Path is the file that was read; "" for the defaults.
	Path string `yaml:"-"`
}

// Upstream is a provider: the module that speaks to it, and the module's own
// settings, which the module decodes strictly.
type Upstream struct {
	// Module is the namespaced id, such as provider.openai.
	Module string
	// Node holds the module's settings.
	Node *yaml.Node
}

// Model is one served model. Either Upstream is set, or Module with settings of
// its own (a route or a thinking strategy over other served models).
type Model struct {
	// Upstream names the provider that answers.
	Upstream string
	// Name is the upstream's own name for the model; the served name when empty.
	Name string
	// Module is the namespaced id of a model that wraps others.
	Module string
	// MaxOutput is the largest number of output tokens the model can give, when
	// the price book does not say.
	MaxOutput int64
	// Node holds the module's settings.
	Node *yaml.Node
}

// Local configures the embedded engine.
type Local struct {
	// Enabled is true unless switched off here or by --no-local.
	Enabled *bool `yaml:"enabled"`
	// Name is the served name; the default comes from the model file.
	Name string `yaml:"name"`
	// Path is a GGUF file to serve instead of the default model.
	Path string `yaml:"path"`
	// Library is the directory of the llama.cpp libraries, instead of the
	// fetched ones.
	Library string `yaml:"library"`
	// Threads to decode with; 0 chooses by the machine.
	Threads int `yaml:"threads"`
	// Context is the context window in tokens; 0 takes the model's.
	Context int `yaml:"context"`
	// Parallel is how many requests are decoded together; 0 chooses.
	Parallel int `yaml:"parallel"`
	// Price says what a local token costs.
	Price LocalPrice `yaml:"price"`
}

// LocalPrice is the price of the local model: from a cost per hour of the
// machine and the measured throughput, or nothing when Free is set. With
// neither, a documented price of a small rented machine is assumed, and every
// price made from it says so.
type LocalPrice struct {
	// PerHour is what an hour of the machine costs, such as "0.08 USD/h".
	PerHour string `yaml:"per_hour"`
	// TokensPerSecond is the measured throughput to divide by; 0 takes the
	// engine's own measurement.
	TokensPerSecond float64 `yaml:"tokens_per_second"`
	// Free records the local model at a cost of zero.
	Free bool `yaml:"free"`
}

// Content says what text is kept.
type Content struct {
	// Log keeps request and reply text of every call, secrets redacted. The
	// default is off; a key can switch it on for itself.
	Log bool `yaml:"log"`
}

// Limits bound what one client can take; zero means the default.
type Limits struct {
	// Body is the largest request body; the default is 32 MiB.
	Body Bytes `yaml:"body"`
	// HeaderTimeout is how long a client may take to send headers (10s).
	HeaderTimeout time.Duration `yaml:"header_timeout"`
	// BodyTimeout is how long a client may take to send a body (60s).
	BodyTimeout time.Duration `yaml:"body_timeout"`
	// WriteTimeout is how long a client may take to accept one write (60s).
	WriteTimeout time.Duration `yaml:"write_timeout"`
}

// LocalEnabled says whether the embedded engine is wanted.
func (f *File) LocalEnabled() bool { return f.Local.Enabled == nil || *f.Local.Enabled }

// PassesThrough says whether provider/model names are served unlisted.
func (f *File) PassesThrough() bool { return f.Passthrough == nil || *f.Passthrough }

// DrainFor is how long open streams may go on after Ctrl-C.
func (f *File) DrainFor() time.Duration {
	if f.Drain == nil {
		return 30 * time.Second
	}
	return *f.Drain
}

// Drains says whether answers are read on when their client has left.
func (f *File) Drains() bool { return f.OnDisconnect == "drain" }
