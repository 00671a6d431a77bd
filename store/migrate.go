package store

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// The migrations, numbered from 0001. PRAGMA user_version holds the number of
// the newest one that a database has seen. A released file is never edited.
//
//go:embed schema/*.sql
var schemaFiles embed.FS

type migration struct {
	version int
	name    string
	sql     string
}

func migrations() ([]migration, error) {
	names, err := fs.Glob(schemaFiles, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	list := make([]migration, 0, len(names))
	for i, name := range names {
		base := strings.TrimPrefix(name, "schema/")
		number, _, _ := strings.Cut(base, "_")
		v, err := strconv.Atoi(number)
		if err != nil || v != i+1 {
			return nil, fmt.Errorf("store: schema file %s: want number %04d", base, i+1)
		}
		text, err := schemaFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, migration{v, base, string(text)})
	}
	return list, nil
}

// SchemaVersion is the number of the newest schema that this program knows.
func SchemaVersion() int {
	list, err := migrations()
	if err != nil {
		panic(err) // the files are embedded; a test reads them all
	}
	return len(list)
}

func schemaOf(c *sqlite3.Conn) (int, error) {
	st, _, err := c.Prepare("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	defer st.Close()
	if !st.Step() {
		return 0, st.Err()
	}
	return st.ColumnInt(0), nil
}

// migrate brings the schema up to date, each step in a transaction of its own
// together with its number, so that a crash leaves a whole older schema.
func (db *DB) migrate(c *sqlite3.Conn) error {
	list, err := migrations()
	if err != nil {
		return err
	}
	have, err := schemaOf(c)
	if err != nil {
		return err
	}
	if have > len(list) {
		return &Error{Kind: ErrNewerSchema, Path: db.file,
			Err: fmt.Errorf("its schema is %d, this program knows %d", have, len(list))}
	}
	if have < len(list) && db.o.ReadOnly {
		return &Error{Kind: ErrOlderSchema, Path: db.file,
			Err: fmt.Errorf("its schema is %d, this program needs %d", have, len(list))}
	}
	for _, m := range list[have:] {
		if err := step(c, m); err != nil {
			return fmt.Errorf("schema %s: %w", m.name, err)
		}
		db.log.Info("database schema upgraded", "file", db.file, "to", m.version)
	}
	return nil
}

func step(c *sqlite3.Conn, m migration) (err error) {
	tx, err := c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	if err := c.Exec(m.sql); err != nil {
		return err
	}
	return c.Exec("PRAGMA user_version = " + strconv.Itoa(m.version))
}
