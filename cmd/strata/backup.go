package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/admin/client"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/store"
)

var (
	_ = register(groupRecord, backupCommand)
	_ = register(groupRecord, restoreCommand)
)

func backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the database, also while strata up runs",
		Long: `Write a consistent copy of the whole database (calls, postings, keys, budgets)
to a new file. It works beside a running server, which goes on answering. The
file holds customers' records and hashes of keys: keep it as safe as the data.`,
		Example: `  strata backup strata-$(date +%F).db
  strata backup /backups/strata.db --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			// The server may run in another directory.
			path, err := filepath.Abs(args[0])
			if err != nil {
				return usagef("%s: %w", args[0], err)
			}
			if _, err := os.Stat(filepath.Dir(path)); err != nil {
				return usagef("the folder of %s: %w; make it first", path, errors.Unwrap(err))
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				b, err := c.Backup(ctx, path)
				if err != nil {
					return err
				}
				return p.report(b, func(w io.Writer) {
					fmt.Fprintf(w, "%s (%s)\n", b.Path, size(b.Bytes))
					fmt.Fprintf(w, "Bring it back with: strata restore %s\n", b.Path)
				})
			})
		},
	}
	outputFlags(c)
	return c
}

// restored is what "restore" reports.
type restored struct {
	DataDir      string             `json:"data_dir"`
	From         string             `json:"from"`
	Previous     string             `json:"previous,omitempty"` // where the replaced database lies
	Verification admin.Verification `json:"verification"`
}

func restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the database by a backup, after verifying the backup",
		Long: `Verify a backup (pages, schema, every line, posting and link of the ledger) and
put it in the place of the database. The replaced database is kept beside it.
A backup of an older version is brought to this version's schema.

A running server must be stopped first.`,
		Example: `  strata restore strata-2026-11-24.db`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			dataDir, _, err := place(cmd)
			if err != nil {
				return err
			}
			r, err := restore(cmd.Context(), dataDir, args[0])
			if err != nil {
				return explain(err)
			}
			return p.report(r, func(w io.Writer) {
				fmt.Fprintf(w, "Restored %s into %s: %s calls, and the ledger is whole.\n", r.From, r.DataDir, count(r.Verification.Calls))
				if r.Previous != "" {
					fmt.Fprintf(w, "The database before is kept as %s; delete it when you are sure.\n", r.Previous)
				}
			})
		},
	}
	outputFlags(c)
	return c
}

// restore verifies a copy of the backup, then lets the store put it in place.
func restore(ctx context.Context, dataDir, file string) (*restored, error) {
	if info, held, err := store.ReadLock(dataDir); err != nil {
		return nil, err
	} else if held {
		// Before anything is read: verifying a large backup takes a while.
		return nil, &store.HeldError{Dir: dataDir, Info: info}
	}
	from, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, noDataf("there is no file %s; name a backup that \"strata backup\" wrote", file)
	case err != nil:
		return nil, err
	case !from.Mode().IsRegular():
		return nil, usagef("%s is not a regular file; name a backup that \"strata backup\" wrote", file)
	}
	if old, err := os.Stat(filepath.Join(dataDir, store.FileName)); err == nil && os.SameFile(from, old) {
		return nil, usagef("%s is the database itself, not a backup", file)
	}
	if _, err := store.CheckFile(ctx, file); err != nil {
		return nil, fmt.Errorf("nothing was changed, since the backup cannot be used: %w", err)
	}
	stage, err := os.MkdirTemp("", "strata-restore-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(stage)
	if err := copyFile(filepath.Join(stage, store.FileName), file); err != nil {
		return nil, fmt.Errorf("copying %s: %w", file, err)
	}
	v, err := verifyCopy(ctx, stage)
	if err != nil {
		return nil, fmt.Errorf("nothing was changed, since the backup %s cannot be used: %w", file, err)
	}
	if !v.OK {
		return nil, fmt.Errorf("nothing was changed, since the ledger in %s is not whole: %s; use another backup", file, v.Errors[0])
	}
	aside, err := store.Restore(ctx, file, dataDir)
	if err != nil {
		return nil, err
	}
	return &restored{DataDir: dataDir, From: file, Previous: aside, Verification: v}, nil
}

// verifyCopy opens the database in dir, which brings it to this version's
// schema, verifies its ledger, and closes it with nothing left in its log.
func verifyCopy(ctx context.Context, dir string) (v admin.Verification, err error) {
	db, err := store.Open(ctx, store.Options{Path: dir})
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	l, err := ledger.New(ctx, db, ledger.Options{})
	if err != nil {
		return v, err
	}
	got, err := l.Verify(ctx, nil)
	if err != nil {
		return v, err
	}
	faults := got.Errors
	if faults == nil {
		faults = []string{} // a list also in JSON, as "ledger verify" has it
	}
	return admin.Verification{OK: got.OK, Calls: got.Calls, Postings: got.Postings, PostingsSum: got.PostingsSum, Head: got.Head, OpenHolds: got.OpenHolds, Errors: faults}, nil
}

// copyFile copies src to the new file dst and waits until it is on the disk.
func copyFile(dst, src string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
