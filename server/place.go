package server

import (
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
