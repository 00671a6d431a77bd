package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// NewID makes a UUIDv7: 48 bits of the time in milliseconds, then randomness.
// Ids made in the same millisecond are in no order; the ledger's order is Seq.
func NewID(now time.Time) string {
	var u uuid.UUID
	if _, err := rand.Read(u[:]); err != nil {
		panic(err) // crypto/rand.Read does not fail since Go 1.24
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(u[:6], ms[2:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}

// parseID reads an id in the notation of NewID; other notations of UUIDs are
// refused, so that an id has one spelling.
func parseID(what, id string) ([]byte, error) {
	u, err := uuid.Parse(id)
	if err != nil || len(id) != 36 || u.String() != id {
		return nil, fmt.Errorf("%w: %s %.40q is not a UUID in lower case", ErrInvalid, what, id)
	}
	return u[:], nil
}

func idString(b []byte) string {
	u, err := uuid.FromBytes(b)
	if err != nil {
		return fmt.Sprintf("%x", b)
	}
	return u.String()
}
