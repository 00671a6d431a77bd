package ledger

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// erasedName is what a customer is called after erasure.
func erasedName(id int64) string { return "erased-" + strconv.FormatInt(id, 10) }

// sealOf is the commitment that stands in the chain for what can identify a
// customer. Without the key nobody can test a guess against it.
func sealOf(t *tenant, callID, private, contentMAC []byte) []byte {
	p := &packer{}
	p.string("strata-seal-1")
	p.bytes(callID)
	p.string(t.name)
	p.bytes(private)
	p.bytes(contentMAC)
	return mac(t.key, p.b)
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

func packContent(c *Content) []byte {
	p := &packer{b: make([]byte, 0, len(c.Request)+len(c.Reply)+16)}
	p.byte(packVersion)
	p.bytes(c.Request)
	p.bytes(c.Reply)
	return p.b
}

// contentMAC commits to a call's content.
func contentMAC(t *tenant, plain []byte) []byte {
	return mac(mac(t.key, []byte("strata-content-mac-1")), plain)
}

func contentCipher(t *tenant) (cipher.AEAD, error) {
	block, err := aes.NewCipher(mac(t.key, []byte("strata-content-key-1")))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// encrypt seals content with AES-256-GCM under a key derived from the tenant's,
// bound to its call. Nonces are random 96-bit numbers: NIST SP 800-38D allows
// 2^32 messages under one key with them, and a tenant's calls stay below.
func encrypt(t *tenant, callID, plain []byte) ([]byte, error) {
	c, err := contentCipher(t)
	if err != nil {
		return nil, err
	}
	return c.Seal(nil, nil, plain, callID), nil
}

var errContent = errors.New("the stored content does not decrypt")

func decrypt(t *tenant, callID, sealed []byte) (*Content, []byte, error) {
	if t.key == nil {
		return nil, nil, fmt.Errorf("%w: its customer was erased", errContent)
	}
	c, err := contentCipher(t)
	if err != nil {
		return nil, nil, err
	}
	plain, err := c.Open(nil, nil, sealed, callID)
	if err != nil {
		return nil, nil, errContent
	}
	u := &unpacker{b: plain}
	u.version()
	content := &Content{Request: u.bytes(), Reply: u.bytes()}
	return content, plain, u.err
}

// hashRow is the canonical hash of a call's row: every column that never
// changes, with names as text.
func hashRow(r *row) [32]byte {
	p := &packer{b: make([]byte, 0, 512)}
	p.string("strata-call-1")
	p.int(r.seq)
	p.bytes(r.id)
	p.bytes(r.root)
	p.bytes(r.parent)
	for _, v := range [...]int64{r.time, r.ttft, r.tpot, r.duration, r.outcome, r.status, r.flags, r.customer} {
		p.int(v)
	}
	for _, s := range [...]string{r.op, r.key, r.feature, r.model, r.served, r.upstream, r.provider, r.code, r.version, r.source, r.tariff, r.errText} {
		p.string(s)
	}
	p.amount(r.cost, r.costKnown)
	p.amount(r.charge, r.chargeKnown)
	p.bytes(r.usage)
	p.byte(bit(r.usage == nil))
	p.bytes(r.body)
	p.bytes(r.seal)
	return sha256.Sum256(p.b)
}

func (p *packer) amount(v int64, known bool) {
	p.byte(bit(known))
	if known {
		p.int(v)
	}
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// hashCorrection is the canonical hash of a correction's row.
func hashCorrection(seq, call, at int64, cost, charge int64, costKnown, chargeKnown bool, body []byte) [32]byte {
	p := &packer{}
	p.string("strata-correction-1")
	p.int(seq)
	p.int(call)
	p.int(at)
	p.amount(cost, costKnown)
	p.amount(charge, chargeKnown)
	p.bytes(body)
	return sha256.Sum256(p.b)
}

// genesisOf begins an epoch's chain from the head before it.
func genesisOf(epoch, started int64, before [32]byte) [32]byte {
	p := &packer{}
	p.string("strata-epoch-1")
	p.int(epoch)
	p.int(started)
	p.bytes(before[:])
	return sha256.Sum256(p.b)
}

// linkHash continues the chain over a batch.
type linkHash struct {
	before          [32]byte
	epoch, id       int64
	callsTo, corrTo int64
	rows, corrs     [][32]byte
	postings        []namedPosting
}

type namedPosting struct {
	account   string
	usd, pico int64
}

func (k *linkHash) sum() [32]byte {
	h := sha256.New()
	p := &packer{}
	p.string("strata-link-1")
	p.bytes(k.before[:])
	for _, v := range [...]int64{k.epoch, k.id, k.callsTo, k.corrTo, int64(len(k.rows)), int64(len(k.corrs)), int64(len(k.postings))} {
		p.int(v)
	}
	h.Write(p.b)
	for i := range k.rows {
		h.Write(k.rows[i][:])
	}
	for i := range k.corrs {
		h.Write(k.corrs[i][:])
	}
	p.b = p.b[:0]
	for _, x := range k.postings {
		p.string(x.account)
		p.b = binary.BigEndian.AppendUint64(p.b, uint64(x.usd))
		p.b = binary.BigEndian.AppendUint64(p.b, uint64(x.pico))
	}
	h.Write(p.b)
	return [32]byte(h.Sum(nil))
}
