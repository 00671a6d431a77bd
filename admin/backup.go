package admin

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/model"
)

// BackupRequest is the body of POST /api/v1/backup: a new file on the machine
// that serves. An absolute path is for the socket only; elsewhere, and when it
// is empty, the file goes into the backups folder of the data directory.
type BackupRequest struct {
	Path string `json:"path"`
}

// Backup is its answer.
type Backup struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// postBackup writes a consistent copy of the running database.
func (s *service) postBackup(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	var body BackupRequest
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	path := body.Path
	if path == "" {
		path = "strata-" + s.Now().UTC().Format("20060102-150405") + ".db"
	}
	if !filepath.IsAbs(path) {
		if s.BackupDir == "" {
			return badParam("path", "path must be absolute")
		}
		if !filepath.IsLocal(path) || filepath.Base(path) != path {
			return badParam("path", "path must be a plain file name, or an absolute path given to the command line")
		}
		if err := os.MkdirAll(s.BackupDir, 0o700); err != nil {
			return model.Errorf(http.StatusInternalServerError, model.CodeInternal, "the folder for backups cannot be made").Wrap(err)
		}
		path = filepath.Join(s.BackupDir, path)
	} else if !isTrusted(r.Context()) {
		// Over the network even an administrator must not write files anywhere.
		return model.Errorf(http.StatusForbidden, model.CodeForbidden, "over the network a backup goes to the backups folder of the data directory: give a plain file name")
	}
	if _, err := os.Lstat(path); err == nil {
		return model.Errorf(http.StatusConflict, CodeConflict, "the file %s is there already; give another name", filepath.Base(path))
	} else if !errors.Is(err, os.ErrNotExist) {
		return model.Errorf(http.StatusBadRequest, CodeInvalidParameter, "the file %s cannot be made there", filepath.Base(path)).Wrap(err)
	}
	return long(s, w, r, func(func(done, total int64)) (Backup, error) {
		if err := s.DB.Backup(r.Context(), path); err != nil {
			return Backup{}, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return Backup{}, err
		}
		if err := s.Access.Audit(r.Context(), "backup", filepath.Base(path), ""); err != nil {
			return Backup{}, err
		}
		return Backup{Path: path, Bytes: info.Size()}, nil
	})
}
