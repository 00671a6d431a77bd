package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// DefaultDataDir is the data directory when none is named:
//
//	Linux and other Unix   $XDG_DATA_HOME/strata, else ~/.local/share/strata
//	macOS                  ~/Library/Application Support/strata
//	Windows                %LOCALAPPDATA%\strata
//
// Without a home directory it is "strata-data" in the working directory.
func DefaultDataDir(env func(string) string) string {
	home, err := os.UserHomeDir()
	switch runtime.GOOS {
	case "windows":
		if dir := env("LOCALAPPDATA"); dir != "" {
			return filepath.Join(dir, "strata")
		}
	case "darwin", "ios":
		if err == nil {
			return filepath.Join(home, "Library", "Application Support", "strata")
		}
	default:
		// The XDG specification says that a relative path is to be ignored.
		if dir := env("XDG_DATA_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "strata")
		}
		if err == nil {
			return filepath.Join(home, ".local", "share", "strata")
		}
	}
	return "strata-data"
}

// DefaultConfigFile is the configuration file that is read, if it exists, when
// none is named: strata/strata.yaml in the user's configuration directory
// ($XDG_CONFIG_HOME or ~/.config on Unix). The working directory is not
// searched: a file in a directory that someone else made must not decide where
// requests and keys are sent.
func DefaultConfigFile(env func(string) string) string {
	dir, err := os.UserConfigDir()
	if x := env("XDG_CONFIG_HOME"); filepath.IsAbs(x) && runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		dir, err = x, nil
	}
	if err != nil {
		return filepath.Join("strata-config", "strata.yaml")
	}
	return filepath.Join(dir, "strata", "strata.yaml")
}

// findConfigFile is the configuration file to read, or "" when none is named
// and the default one does not exist.
func findConfigFile(named string, env func(string) string) (string, error) {
	if named != "" {
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

// Place resolves where the data and the configuration are: a named directory
// or file wins, then the defaults. The configuration file is "" when there is
// none.
func Place(dataDir, configFile string, env func(string) string) (data, file string, err error) {
	file, err = findConfigFile(configFile, env)
	if err != nil {
		return "", "", err
	}
	if dataDir == "" {
		dataDir = DefaultDataDir(env)
	}
	data, err = filepath.Abs(dataDir)
	if err != nil {
		return "", "", fmt.Errorf("data directory %s: %w", dataDir, err)
	}
	return data, file, nil
}
