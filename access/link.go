package access

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stratahq/strata/store"
)

// codePrefix begins the code of a login link.
const codePrefix = "login-"

// LinkLife is how long a login link works.
const LinkLife = 10 * time.Minute

// maxCodes bounds the login links that are open at once; the oldest goes first.
const maxCodes = 20

// loginCode is a login link that nobody has used yet.
type loginCode struct {
	Hash    string    `json:"hash"` // hex SHA-256
	Expires time.Time `json:"expires"`
}

// LoginCode makes a code that opens one administrator's session, once, within
// [LinkLife]. It is how `strata key admin` lets the owner of the data directory
// into the console without any secret to remember.
func (a *Access) LoginCode(ctx context.Context) (code string, expires time.Time, err error) {
	var b [32]byte
	if err := a.random(b[:]); err != nil {
		return "", time.Time{}, err
	}
	code = codePrefix + hex.EncodeToString(b[:])
	hash := hashSecret(code)
	now := a.now().UTC()
	expires = now.Add(LinkLife).Truncate(time.Second)
	err = a.db.Write(ctx, true, func(tx *store.Tx) error {
		codes, err := openCodes(tx, now)
		if err != nil {
			return err
		}
		if len(codes) >= maxCodes {
			codes = codes[1:]
		}
		if err := storeCodes(tx, append(codes, loginCode{hex.EncodeToString(hash[:]), expires})); err != nil {
			return err
		}
		return a.audit(ctx, tx, "admin_link.create", "", "")
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("access: make login link: %w", err)
	}
	return code, expires, nil
}

// useLoginCode takes the code out of the database, in one transaction, so that
// it works once whatever the concurrency.
func (a *Access) useLoginCode(ctx context.Context, code string) error {
	hash := hashSecret(code)
	want := []byte(hex.EncodeToString(hash[:]))
	now := a.now().UTC()
	found := false
	err := a.db.Write(ctx, true, func(tx *store.Tx) error {
		codes, err := openCodes(tx, now)
		if err != nil {
			return err
		}
		var rest []loginCode
		found = false
		for _, c := range codes {
			if subtle.ConstantTimeCompare([]byte(c.Hash), want) == 1 {
				found = true
				continue
			}
			rest = append(rest, c)
		}
		return storeCodes(tx, rest)
	})
	if err != nil {
		return fmt.Errorf("access: use login link: %w", err)
	}
	if !found {
		return ErrLoginCode
	}
	return nil
}

// openCodes reads the codes that have not expired.
func openCodes(q store.Querier, now time.Time) ([]loginCode, error) {
	raw, err := getSetting(q, settingLoginCodes)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	var all, open []loginCode
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("setting %s: %w", settingLoginCodes, err)
	}
	for _, c := range all {
		if now.Before(c.Expires) {
			open = append(open, c)
		}
	}
	return open, nil
}

func storeCodes(tx *store.Tx, codes []loginCode) error {
	raw, err := json.Marshal(codes)
	if err != nil {
		return err
	}
	return setSetting(tx, settingLoginCodes, raw)
}
