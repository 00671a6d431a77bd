package console_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBuildIsCommitted rebuilds the console and compares the result with the
// committed build, byte for byte: what is embedded is what the source says. It
// also runs the type check and the unit tests of the TypeScript. It needs node
// and installed modules (`npm ci` in console/); in CI they must be there.
func TestBuildIsCommitted(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the console; not in short mode")
	}
	npx, err := exec.LookPath("npx")
	if _, statErr := os.Stat("node_modules/.bin/vite"); err != nil || statErr != nil {
		const reason = "node or console/node_modules is missing; run `npm ci` in console/"
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), npx, append([]string{"--no-install"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("npx %v: %v\n%s", args, err, out)
		}
	}
	built := t.TempDir()
	run("vite", "build", "--outDir", built, "--emptyOutDir", "--logLevel", "warn")
	fresh, committed := files(t, built), files(t, "dist")
	for name, body := range fresh {
		if !bytes.Equal(body, committed[name]) {
			t.Errorf("dist/%s is not what the source builds; run `npm run build` in console/ and commit dist", name)
		}
	}
	for name := range committed {
		if _, ok := fresh[name]; !ok {
			t.Errorf("dist/%s is left from an older build", name)
		}
	}
	run("svelte-check", "--tsconfig", "./tsconfig.json", "--fail-on-warnings", "--output", "human")
	run("vitest", "run")
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
