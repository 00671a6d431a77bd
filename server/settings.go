package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stratahq/strata/config"
	"github.com/stratahq/strata/model/provider/openai"
)

// settings is what options, environment and file come to.
type settings struct {
	file *config.File
	// addr, dataDir and configFile are complete; configFile is "" without a file.
	addr, dataDir, configFile string
	adminSecret               string
	zone                      *time.Location
}

// load reads the configuration. An option wins over the environment, and the
// environment over the file.
func load(o *Options) (*settings, error) {
	s := &settings{}
	var err error
	if s.configFile, err = findConfigFile(o.ConfigFile, o.Env); err != nil {
		return nil, &InvalidError{err}
	}
	s.file = &config.File{}
	if s.configFile != "" {
		if s.file, err = config.Load(s.configFile, o.Env); err != nil {
			return nil, &InvalidError{err}
		}
	}
	s.file.AddKnown(openai.Known(), o.Env)
	if s.addr, err = parseAddr(first(o.Addr, o.Env("STRATA_ADDR"), s.file.Addr, DefaultAddr)); err != nil {
		return nil, err
	}
	s.dataDir, err = filepath.Abs(first(o.DataDir, o.Env("STRATA_DATA"), s.file.Data, DefaultDataDir(o.Env)))
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	switch p := first(o.LocalPrice, o.Env("STRATA_LOCAL_PRICE")); p {
	case "":
	case "free":
		s.file.Local.Price.Free, s.file.Local.Price.PerHour = true, ""
	default:
		s.file.Local.Price.Free, s.file.Local.Price.PerHour = false, p
	}
	s.adminSecret = first(o.Env("STRATA_ADMIN_SECRET"), s.file.AdminSecret.Reveal())
	s.zone = localZone(o.Env)
	if s.file.TimeZone != "" {
		if s.zone, err = time.LoadLocation(s.file.TimeZone); err != nil {
			return nil, invalidf("time_zone: %w", err)
		}
	}
	return s, nil
}

// localZone is the machine's time zone under its IANA name, which the console
// needs, or UTC where the name cannot be found out.
func localZone(env func(string) string) *time.Location {
	name := strings.TrimPrefix(env("TZ"), ":")
	if name == "" {
		target, err := filepath.EvalSymlinks("/etc/localtime")
		if _, after, ok := strings.Cut(filepath.ToSlash(target), "zoneinfo/"); err == nil && ok {
			name = after
		}
	}
	if zone, err := time.LoadLocation(name); err == nil && name != "" && name != "Local" {
		return zone
	}
	return time.UTC
}

// first is the first value that is not empty.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Place resolves where the data and the configuration are: a named directory
// or file wins, then the environment, then the configuration file, then the
// defaults. The configuration file is "" when there is none.
func Place(dataDir, configFile string, env func(string) string) (data, file string, err error) {
	o := Options{DataDir: dataDir, ConfigFile: configFile, Env: env}
	s, err := load(&o)
	if err != nil {
		return "", "", err
	}
	return s.dataDir, s.configFile, nil
}

// findConfigFile is the configuration file to read, or "" when none is named
// and the default one does not exist.
func findConfigFile(named string, env func(string) string) (string, error) {
	if named = first(named, env("STRATA_CONFIG")); named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("configuration file %s: %w; name one that exists with --config", named, errors.Unwrap(err))
		}
		return named, nil
	}
	file := DefaultConfigFile(env)
	switch _, err := os.Stat(file); {
	case err == nil:
		return file, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	default:
		return "", fmt.Errorf("configuration file: %w; fix its permissions or name another with --config", err)
	}
}
