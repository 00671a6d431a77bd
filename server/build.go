package server

import (
	"runtime"
	"runtime/debug"
)

// Build says what this binary was built from.
type Build struct {
	// Version is the module version, or "devel" for a build from a checkout.
	Version string `json:"version"`
	// Commit is the Git commit, with "-dirty" when the tree had changes; "" when
	// the build had no Git information.
	Commit string `json:"commit"`
	// Time is the commit's time in RFC 3339; "" when not known.
	Time string `json:"time"`
	Go   string `json:"go"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
}

// ReadBuild reads the information that the Go toolchain left in the binary.
func ReadBuild() Build {
	b := Build{Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value + b.Commit
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				b.Commit += "-dirty"
			}
		}
	}
	return b
}
