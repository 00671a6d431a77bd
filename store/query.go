package store

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"

	"github.com/ncruces/go-sqlite3"
)

// Querier reads. It is valid only inside the function that it was given to,
// and only on that function's goroutine.
type Querier interface {
	// Query runs a statement that returns rows. The rows must be closed, or
	// read to their end, before the function returns.
	Query(sql string, args ...any) (*Rows, error)
	// QueryRow runs a statement and keeps its first row for Scan.
	QueryRow(sql string, args ...any) *Row
}

// Tx is a Querier that also writes. Statements are prepared once per
// connection and kept, keyed by their text: pass constant text and arguments.
type Tx struct {
	*session
	// onRelease and afterCommit belong to the function that runs now.
	onRelease   []func()
	afterCommit []func()
}

// Result is what Exec did.
type Result struct{ RowsAffected, LastInsertID int64 }

// Exec runs a statement that returns no rows.
func (tx *Tx) Exec(query string, args ...any) (Result, error) {
	st, err := tx.statement(query)
	if err != nil {
		return Result{}, err
	}
	defer tx.put(st)
	if err := bindAll(st, args); err != nil {
		return Result{}, err
	}
	if err := st.Exec(); err != nil {
		return Result{}, err
	}
	return Result{tx.conn.Changes(), tx.conn.LastInsertRowID()}, nil
}

// OnRelease runs f on the writer's goroutine right after the current function
// has returned without an error, before any other function of the group runs.
// It is the place to fold what was written into state that BeforeCommit uses.
func (tx *Tx) OnRelease(f func()) { tx.onRelease = append(tx.onRelease, f) }

// AfterCommit runs f on the writer's goroutine after the group was committed
// (not yet fsynced). It is not run when the function or the commit failed.
func (tx *Tx) AfterCommit(f func()) { tx.afterCommit = append(tx.afterCommit, f) }

// session is a connection with its prepared statements.
type session struct {
	conn  *sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
}

// maxStatements bounds the statements kept per connection; filters make a
// limited but large number of texts.
const maxStatements = 256

func (s *session) statement(query string) (*sqlite3.Stmt, error) {
	if st, ok := s.stmts[query]; ok {
		// Taken out while in use, so that a query nested in its own rows gets
		// another statement.
		delete(s.stmts, query)
		return st, nil
	}
	st, tail, err := s.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	if st == nil || len(tail) > 0 && !blank(tail) {
		if st != nil {
			st.Close()
		}
		return nil, fmt.Errorf("store: want exactly one statement: %.80q", query)
	}
	return st, nil
}

func blank(s string) bool {
	for _, r := range s {
		if r != ' ' && r != '\n' && r != '\t' && r != ';' {
			return false
		}
	}
	return true
}

// put resets a statement and keeps it for the next use.
func (s *session) put(st *sqlite3.Stmt) {
	_ = st.Reset() // reports again the error that Step or Exec has reported
	if _, there := s.stmts[st.SQL()]; there || len(s.stmts) >= maxStatements {
		st.Close()
		return
	}
	_ = st.ClearBindings() // frees large blobs; it cannot fail on a live statement
	s.stmts[st.SQL()] = st
}

func (s *session) close() error {
	for _, st := range s.stmts {
		st.Close()
	}
	clear(s.stmts)
	return s.conn.Close()
}

// Query implements Querier.
func (s *session) Query(query string, args ...any) (*Rows, error) {
	st, err := s.statement(query)
	if err != nil {
		return nil, err
	}
	if err := bindAll(st, args); err != nil {
		s.put(st)
		return nil, err
	}
	return &Rows{s: s, st: st}, nil
}

// QueryRow implements Querier.
func (s *session) QueryRow(query string, args ...any) *Row {
	rows, err := s.Query(query, args...)
	return &Row{rows, err}
}

// Row is the first row of a query.
type Row struct {
	rows *Rows
	err  error
}

// Scan reads the row; sql.ErrNoRows when there is none.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	return r.rows.Scan(dest...)
}

// Rows steps through the rows of a query.
type Rows struct {
	s   *session
	st  *sqlite3.Stmt
	err error
}

// Next steps to the next row. At the end, or after an error, it closes the
// rows and returns false.
func (r *Rows) Next() bool {
	if r.st == nil {
		return false
	}
	if r.st.Step() {
		return true
	}
	r.err = r.st.Err()
	r.Close()
	return false
}

// Err is the error that ended the rows, if one did.
func (r *Rows) Err() error { return r.err }

// Close gives the statement back. Closing twice is fine.
func (r *Rows) Close() error {
	if r.st != nil {
		r.s.put(r.st)
		r.st = nil
	}
	return nil
}

// Scan copies the columns of the row. A destination is a pointer to an integer,
// float, bool, string, []byte (copied; nil for NULL) or any, or an sql.Scanner
// such as sql.NullInt64. NULL into a plain integer, float, bool or string gives
// its zero value.
func (r *Rows) Scan(dest ...any) error {
	if r.st == nil {
		return errors.New("store: scan without a row")
	}
	if n := r.st.ColumnCount(); n != len(dest) {
		return fmt.Errorf("store: %d columns scanned into %d values", n, len(dest))
	}
	for i, d := range dest {
		if err := scan(r.st, i, d); err != nil {
			return err
		}
	}
	return nil
}

// Int64 is column i of the row as an integer, without the cost of Scan.
func (r *Rows) Int64(i int) int64 { return r.st.ColumnInt64(i) }

// IsNull says whether column i of the row is NULL.
func (r *Rows) IsNull(i int) bool { return r.st.ColumnType(i) == sqlite3.NULL }

// RawBytes is column i of the row as bytes that are valid until the next call
// of any method.
func (r *Rows) RawBytes(i int) []byte { return r.st.ColumnRawBlob(i) }

func scan(st *sqlite3.Stmt, i int, dest any) error {
	switch d := dest.(type) {
	case *int64:
		*d = st.ColumnInt64(i)
	case *int:
		*d = st.ColumnInt(i)
	case *bool:
		*d = st.ColumnBool(i)
	case *float64:
		*d = st.ColumnFloat(i)
	case *string:
		*d = st.ColumnText(i)
	case *[]byte:
		if st.ColumnType(i) == sqlite3.NULL {
			*d = nil
		} else {
			*d = st.ColumnBlob(i, []byte{})
		}
	case *any:
		*d = column(st, i)
	case sql.Scanner:
		return d.Scan(column(st, i))
	default:
		v := reflect.ValueOf(dest)
		if v.Kind() == reflect.Pointer && v.Elem().CanInt() {
			v.Elem().SetInt(st.ColumnInt64(i))
			return nil
		}
		if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.String {
			v.Elem().SetString(st.ColumnText(i))
			return nil
		}
		return fmt.Errorf("store: cannot scan into %T", dest)
	}
	return nil
}

func column(st *sqlite3.Stmt, i int) any {
	switch st.ColumnType(i) {
	case sqlite3.INTEGER:
		return st.ColumnInt64(i)
	case sqlite3.FLOAT:
		return st.ColumnFloat(i)
	case sqlite3.TEXT:
		return st.ColumnText(i)
	case sqlite3.BLOB:
		return st.ColumnBlob(i, []byte{})
	}
	return nil
}

func bindAll(st *sqlite3.Stmt, args []any) error {
	if n := st.BindCount(); n != len(args) {
		return fmt.Errorf("store: %d arguments for %d parameters of %.80q", len(args), n, st.SQL())
	}
	for i, a := range args {
		if err := bind(st, i+1, a); err != nil {
			return err
		}
	}
	return nil
}

func bind(st *sqlite3.Stmt, i int, arg any) error {
	switch a := arg.(type) {
	case nil:
		return st.BindNull(i)
	case int64:
		return st.BindInt64(i, a)
	case int:
		return st.BindInt64(i, int64(a))
	case bool:
		return st.BindBool(i, a)
	case string:
		return st.BindText(i, a)
	case []byte:
		return st.BindBlob(i, a)
	case float64:
		return st.BindFloat(i, a)
	case driver.Valuer:
		v, err := a.Value()
		if err != nil {
			return err
		}
		return bind(st, i, v)
	}
	switch v := reflect.ValueOf(arg); {
	case v.CanInt():
		return st.BindInt64(i, v.Int())
	case v.Kind() == reflect.String:
		return st.BindText(i, v.String())
	}
	return fmt.Errorf("store: cannot bind %T", arg)
}
