package server

import (
	"path/filepath"
	"testing"
)

func TestParseAddr(t *testing.T) {
	for _, c := range []struct {
		in, want string
		loopback bool
	}{
		{"4000", "127.0.0.1:4000", true},
		{"localhost:1", "localhost:1", true},
		{"LOCALHOST:1", "LOCALHOST:1", true},
		{"[::1]:1", "[::1]:1", true},
		{"127.8.9.1:1", "127.8.9.1:1", true},
		{":1", ":1", false},
		{"0.0.0.0:1", "0.0.0.0:1", false},
		{"[::]:1", "[::]:1", false},
		{"192.168.0.1:1", "192.168.0.1:1", false},
		{"localhost.example:1", "localhost.example:1", false},
		{"nohost", "", false},
		{"127.0.0.1:http", "", false},
		{"127.0.0.1:70000", "", false},
		{"", "", false},
	} {
		got, err := parseAddr(c.in)
		if got != c.want || (err == nil) != (c.want != "") || c.want != "" && isLoopback(got) != c.loopback {
			t.Errorf("%q: %q, loopback %t, %v", c.in, got, isLoopback(got), err)
		}
	}
}

func TestTheStartNamesAnAddressThatCanBeOpened(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:4000":   "127.0.0.1:4000",
		"[::]:4000":        "127.0.0.1:4000",
		"0.0.0.0:80":       "127.0.0.1:80",
		"[::1]:4000":       "[::1]:4000",
		"192.168.0.7:4000": "192.168.0.7:4000",
		"localhost:4000":   "localhost:4000",
	} {
		if got := openable(addr); got != want {
			t.Errorf("%s is shown as %s, want %s", addr, got, want)
		}
	}
}

func TestPlace(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{"XDG_DATA_HOME": dir, "XDG_CONFIG_HOME": dir}
	lookup := func(name string) string { return env[name] }
	if got := DefaultDataDir(lookup); got != filepath.Join(dir, "strata") {
		t.Skipf("this system has its own place for data: %s", got)
	}
	data, file, err := Place("", "", lookup)
	if err != nil || data != filepath.Join(dir, "strata") || file != "" {
		t.Errorf("defaults: %q %q %v", data, file, err)
	}
	env["STRATA_DATA"] = filepath.Join(dir, "from-env")
	if data, _, _ = Place("", "", lookup); data != env["STRATA_DATA"] {
		t.Errorf("environment: %q", data)
	}
	if data, _, _ = Place(filepath.Join(dir, "flag"), "", lookup); data != filepath.Join(dir, "flag") {
		t.Errorf("flag: %q", data)
	}
	if _, _, err = Place("", filepath.Join(dir, "none.yaml"), lookup); err == nil {
		t.Error("a configuration file that is not there is accepted")
	}
	// A relative XDG path is to be ignored.
	env["XDG_DATA_HOME"] = "relative"
	if got := DefaultDataDir(lookup); got == filepath.Join("relative", "strata") {
		t.Errorf("a relative XDG_DATA_HOME is used: %s", got)
	}
}
