package gguf

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const stories = "../testdata/stories260K.gguf"

func TestCheck(t *testing.T) {
	info, err := Check(stories)
	if err != nil {
		t.Fatal(err)
	}
	if info.Architecture != "llama" || info.Tokens != 512 || info.Tensors == 0 || info.Needed > info.Size || info.ContextTrain == 0 {
		t.Errorf("got %+v", info)
	}
	data, err := os.ReadFile(stories)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":          {nil, "only 0 bytes"},
		"garbage":        {[]byte(strings.Repeat("garbage ", 100)), `"garb" instead of GGUF`},
		"other version":  {append([]byte("GGUF\x09\x00\x00\x00"), data[8:]...), "version is 9"},
		"half":           {data[:len(data)/2], "truncated"},
		"short by one":   {data[:len(data)-1], "truncated"},
		"header only":    {data[:100], "truncated"},
		"absurd tensors": {append([]byte("GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f"), data[16:]...), "claims"},
		"no tokenizer":   {bytes.Replace(data, []byte("tokenizer.ggml.tokens"), []byte("tokenizer.ggml.tokenz"), 1), "no tokenizer"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.gguf")
			os.WriteFile(file, c.data, 0o644)
			_, err := Check(file)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	data, err := os.ReadFile(stories)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:2000], int64(len(data)))
	f.Add([]byte("GGUF\x03\x00\x00\x00"), int64(8))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		info, err := Read(bytes.NewReader(b), size)
		if err == nil && (info.Needed > size || info.Tokens == 0) {
			t.Errorf("accepted %+v", info)
		}
	})
}
