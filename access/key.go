package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stratahq/strata/store"
)

// SecretPrefix begins every key, so that people and secret scanners know one.
const SecretPrefix = "sk-strata-"

// Limits of names, in bytes. They keep hostile input out of tables and pages.
const (
	maxName     = 100
	maxCustomer = 200
)

// Key is a virtual key. Its secret is shown once, when it is made; only the
// secret's hash is stored.
type Key struct {
	ID         string // "key_…"
	Name       string
	Prefix     string // the first characters of the secret, for recognition
	Customer   string // bound to this customer; "" when its calls may name one
	Feature    string // the feature of calls that name none
	Admin      bool   // may administer
	LogContent bool   // keep request and reply text of its calls
	Created    time.Time
	LastUsed   time.Time // zero when never used; exact to the second in memory, to a minute after a crash
	Revoked    time.Time // zero while it is valid
}

// KeySpec describes a key to make.
type KeySpec struct {
	Name       string
	Customer   string
	Feature    string
	Admin      bool
	LogContent bool
}

// KeyChange says what to change of a key; nil fields stay.
type KeyChange struct {
	Name       *string
	LogContent *bool
}

// entry is a key in memory.
type entry struct {
	key  Key
	hash [sha256.Size]byte
	use  *lastUse
}

// lastUse outlives reloads of the keyring.
type lastUse struct {
	at      atomic.Int64 // Unix nanoseconds; 0 when never
	flushed atomic.Int64 // the value that the database has
}

// keyring is an immutable snapshot of all keys.
type keyring struct {
	byHash map[[sha256.Size]byte]*entry
	byID   map[string]*entry
}

func (k *keyring) empty() bool { return len(k.byID) == 0 }

// hashSecret is plain SHA-256. A slow, salted hash such as bcrypt protects
// secrets that people choose, which can be guessed; a key has 256 random bits,
// which cannot, and a slow hash on every call would only slow down the calls.
func hashSecret(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// newSecret is SecretPrefix and 256 random bits in base 62.
func (a *Access) newSecret() (string, error) {
	var b [32]byte
	if err := a.random(b[:]); err != nil {
		return "", err
	}
	s := new(big.Int).SetBytes(b[:]).Text(62)
	const digits = 43 // ceil(256 / log2(62))
	return SecretPrefix + strings.Repeat("0", digits-len(s)) + s, nil
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func (a *Access) newID(prefix string) (string, error) {
	var b [10]byte
	if err := a.random(b[:]); err != nil {
		return "", err
	}
	return prefix + idEncoding.EncodeToString(b[:]), nil
}

// Create makes a key and returns it with its secret, which cannot be had again.
func (a *Access) Create(ctx context.Context, spec KeySpec) (Key, string, error) {
	spec.Name = strings.TrimSpace(spec.Name)
	if spec.Name == "" {
		return Key{}, "", fmt.Errorf("%w: a key needs a name", ErrInvalid)
	}
	if err := checkText("name", spec.Name, maxName); err != nil {
		return Key{}, "", err
	}
	if err := checkText("customer", spec.Customer, maxCustomer); err != nil {
		return Key{}, "", err
	}
	if err := checkText("feature", spec.Feature, maxCustomer); err != nil {
		return Key{}, "", err
	}
	id, err := a.newID("key_")
	if err != nil {
		return Key{}, "", err
	}
	secret, err := a.newSecret()
	if err != nil {
		return Key{}, "", err
	}
	k := Key{ID: id, Name: spec.Name, Prefix: secret[:len(SecretPrefix)+4], Customer: spec.Customer, Feature: spec.Feature,
		Admin: spec.Admin, LogContent: spec.LogContent, Created: a.now().UTC().Truncate(time.Microsecond)}
	hash := hashSecret(secret)
	detail := fmt.Sprintf("name %q, customer %q", k.Name, k.Customer)
	if k.Admin {
		detail += ", admin"
	}
	err = a.change(ctx, func(tx *store.Tx) error {
		if err := insertKey(tx, &k, hash); err != nil {
			return err
		}
		return a.audit(ctx, tx, "key.create", id, detail)
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create key: %w", err)
	}
	return k, secret, nil
}

// checkText refuses text that is too long, not UTF-8, or holds control characters.
func checkText(what, s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrInvalid, what, limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %s is not valid UTF-8", ErrInvalid, what)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%w: %s holds control characters", ErrInvalid, what)
	}
	return nil
}

// List returns all keys, revoked ones too, in order of creation.
func (a *Access) List(context.Context) ([]Key, error) {
	ring := a.keys.Load()
	keys := make([]Key, 0, len(ring.byID))
	for e := range maps.Values(ring.byID) {
		keys = append(keys, e.view())
	}
	slices.SortFunc(keys, func(x, y Key) int {
		if c := x.Created.Compare(y.Created); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return keys, nil
}

// Get returns the key with this id, or ErrNotFound.
func (a *Access) Get(id string) (Key, error) {
	e, ok := a.keys.Load().byID[id]
	if !ok {
		return Key{}, fmt.Errorf("%w: %q", ErrNotFound, clip(id))
	}
	return e.view(), nil
}

func (e *entry) view() Key {
	k := e.key
	if at := e.use.at.Load(); at != 0 {
		k.LastUsed = time.Unix(0, at).UTC()
	}
	return k
}

// Update changes the name or the content logging of a key.
func (a *Access) Update(ctx context.Context, id string, c KeyChange) (Key, error) {
	if c.Name != nil {
		name := strings.TrimSpace(*c.Name)
		if name == "" {
			return Key{}, fmt.Errorf("%w: a key needs a name", ErrInvalid)
		}
		if err := checkText("name", name, maxName); err != nil {
			return Key{}, err
		}
		c.Name = &name
	}
	k, err := a.Get(id)
	if err != nil {
		return Key{}, err
	}
	var what []string
	if c.Name != nil {
		what = append(what, fmt.Sprintf("name %q to %q", k.Name, *c.Name))
		k.Name = *c.Name
	}
	if c.LogContent != nil {
		what = append(what, fmt.Sprintf("log_content %t to %t", k.LogContent, *c.LogContent))
		k.LogContent = *c.LogContent
	}
	if len(what) == 0 {
		return k, nil
	}
	err = a.change(ctx, func(tx *store.Tx) error {
		if err := updateKey(tx, id, c); err != nil {
			return err
		}
		return a.audit(ctx, tx, "key.update", id, strings.Join(what, ", "))
	})
	if err != nil {
		return Key{}, fmt.Errorf("update key: %w", err)
	}
	return a.Get(id)
}

// Revoke ends a key for good; revoking it twice changes nothing. Sessions that
// were opened with it end too.
func (a *Access) Revoke(ctx context.Context, id string) (Key, error) {
	k, err := a.Get(id)
	if err != nil {
		return Key{}, err
	}
	if !k.Revoked.IsZero() {
		return k, nil
	}
	err = a.change(ctx, func(tx *store.Tx) error {
		if err := revokeKey(tx, id, a.now()); err != nil {
			return err
		}
		return a.audit(ctx, tx, "key.revoke", id, fmt.Sprintf("name %q, customer %q", k.Name, k.Customer))
	})
	if err != nil {
		return Key{}, fmt.Errorf("revoke key: %w", err)
	}
	return a.Get(id)
}

// change runs fn durably and reloads the keyring before it returns, so that the
// next call sees the change.
func (a *Access) change(ctx context.Context, fn func(tx *store.Tx) error) error {
	a.changeMu.Lock()
	defer a.changeMu.Unlock()
	if err := a.db.Write(ctx, true, fn); err != nil {
		return err
	}
	// The change is committed whatever becomes of the caller: load it even when
	// ctx has just ended.
	return a.loadKeys(context.WithoutCancel(ctx))
}

func (a *Access) loadKeys(ctx context.Context) error {
	ring := &keyring{byHash: map[[sha256.Size]byte]*entry{}, byID: map[string]*entry{}}
	old := a.keys.Load()
	err := a.db.Read(ctx, func(q store.Querier) error {
		return eachKey(q, func(k Key, hash [sha256.Size]byte) {
			e := &entry{key: k, hash: hash}
			if old != nil && old.byID[k.ID] != nil {
				e.use = old.byID[k.ID].use
			} else {
				e.use = &lastUse{}
				if !k.LastUsed.IsZero() {
					e.use.at.Store(k.LastUsed.UnixNano())
					e.use.flushed.Store(k.LastUsed.UnixNano())
				}
			}
			ring.byHash[hash] = e
			ring.byID[k.ID] = e
		})
	})
	if err != nil {
		return err
	}
	a.keys.Store(ring)
	return nil
}

// Lookup finds the key of a secret: ErrUnknownKey, ErrRevoked. The key must not
// be changed by the caller.
//
// The comparison does not leak: what indexes the map is a hash, and whoever
// could learn a hash's first bytes by timing would still need its preimage; the
// hash found is compared in constant time on top.
func (a *Access) Lookup(secret string) (*Key, error) {
	if !strings.HasPrefix(secret, SecretPrefix) {
		return nil, ErrUnknownKey
	}
	hash := hashSecret(secret)
	e, ok := a.keys.Load().byHash[hash]
	if !ok || subtle.ConstantTimeCompare(e.hash[:], hash[:]) != 1 {
		return nil, ErrUnknownKey
	}
	if !e.key.Revoked.IsZero() {
		return nil, ErrRevoked
	}
	a.touch(e)
	return &e.key, nil
}

// touch notes the use of a key. Memory is exact to a second, and the database
// is written at most once a minute for all keys together, by a goroutine that
// Close waits for: a call never waits for this.
func (a *Access) touch(e *entry) {
	now := a.now().UnixNano()
	last := e.use.at.Load()
	if now-last < 1e9 { // also when the clock has gone back
		return
	}
	e.use.at.Store(now)
	if now-e.use.flushed.Load() < 60e9 || !a.flushing.CompareAndSwap(false, true) {
		return
	}
	a.flushers.Go(func() {
		defer a.flushing.Store(false)
		if err := a.flushLastUsed(context.Background()); err != nil {
			a.log.Warn("cannot write the keys' times of last use", "error", err)
		}
	})
}

func (a *Access) flushLastUsed(ctx context.Context) error {
	type use struct {
		id string
		at int64
		u  *lastUse
	}
	var uses []use
	for id, e := range a.keys.Load().byID {
		if at := e.use.at.Load(); at != e.use.flushed.Load() {
			uses = append(uses, use{id, at, e.use})
		}
	}
	if len(uses) == 0 {
		return nil
	}
	for _, u := range uses {
		// Before the write, so that a database that cannot be written is tried
		// once a minute and not on every call.
		u.u.flushed.Store(u.at)
	}
	return a.db.Write(ctx, false, func(tx *store.Tx) error {
		for _, u := range uses {
			if err := setLastUsed(tx, u.id, u.at); err != nil {
				return err
			}
		}
		return nil
	})
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
