package cache

import (
	"encoding/binary"

	"apiproxy.internal/dataplane/internal/http1"
)

// Meta is what the rules remember of a stored answer. Spans and instants are
// nanoseconds of the node's clock.
type Meta struct {
	Status     int
	Stored     int64 // when the answer was received or, later, validated
	InitialAge int64 // its age at that moment (RFC 9111 §4.2.3)
	Lifetime   int64 // the age up to which it is fresh (§4.2.1)

	WhileRevalidate int64 // how far beyond Lifetime a copy may be used while it is asked about (RFC 5861 §3)
	IfError         int64 // the same, when the provider fails (§4); absent (-1) if the answer does not say

	NoCache        bool // only after a successful validation (§5.2.2.4)
	MustRevalidate bool // never stale (§5.2.2.2, §5.2.2.8, §5.2.2.10)
	Immutable      bool // RFC 8246
	// ForEveryone says that requests with an Authorization that the provider
	// sees may be answered too (§3.5).
	ForEveryone bool
}

// metaSize is the length of a Meta in a stored head, in bytes.
const metaSize = 48

// fieldSizes is the length of the two numbers before each stored field.
const fieldSizes = 6

const (
	flagNoCache = 1 << iota
	flagMustRevalidate
	flagImmutable
	flagForEveryone
)

// AppendHead appends what is stored before the body: the meta data, the variant
// that AppendVariant made, and the fields as they go to a client. A name is
// shorter than 64 KiB, as a whole head is.
func AppendHead(dst []byte, m *Meta, variant []byte, fields []http1.Field) []byte {
	var flags uint16
	set := func(flag uint16, on bool) {
		if on {
			flags |= flag
		}
	}
	set(flagNoCache, m.NoCache)
	set(flagMustRevalidate, m.MustRevalidate)
	set(flagImmutable, m.Immutable)
	set(flagForEveryone, m.ForEveryone)
	little := binary.LittleEndian
	dst = little.AppendUint16(dst, uint16(m.Status))
	dst = little.AppendUint16(dst, flags)
	dst = little.AppendUint32(dst, uint32(len(variant)))
	for _, n := range [...]int64{m.Stored, m.InitialAge, m.Lifetime, m.WhileRevalidate, m.IfError} {
		dst = little.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, variant...)
	for _, f := range fields {
		// With lengths, because lines would have to be parsed anew at every hit.
		dst = little.AppendUint16(dst, uint16(len(f.Name)))
		dst = little.AppendUint32(dst, uint32(len(f.Value)))
		dst = append(append(dst, f.Name...), f.Value...)
	}
	return dst
}

// StoredFields appends the fields of a stored block, which they point into.
func StoredFields(dst []http1.Field, block []byte) []http1.Field {
	little := binary.LittleEndian
	for len(block) >= fieldSizes {
		name := int(little.Uint16(block))
		end := name + int(little.Uint32(block[2:]))
		block = block[fieldSizes:]
		if end > len(block) {
			break
		}
		dst = append(dst, http1.Field{Name: block[:name:name], Value: block[name:end:end]})
		block = block[end:]
	}
	return dst
}

// ParseHead reads a head of AppendHead. The slices point into it; block is for
// StoredFields.
func ParseHead(head []byte) (m Meta, variant, block []byte, ok bool) {
	if len(head) < metaSize {
		return m, nil, nil, false
	}
	little := binary.LittleEndian
	flags := little.Uint16(head[2:])
	length := uint64(little.Uint32(head[4:]))
	if length > uint64(len(head)-metaSize) {
		return m, nil, nil, false
	}
	at := func(i int) int64 { return int64(little.Uint64(head[8+8*i:])) }
	m = Meta{
		Status: int(little.Uint16(head)),
		Stored: at(0), InitialAge: at(1), Lifetime: at(2), WhileRevalidate: at(3), IfError: at(4),
		NoCache:        flags&flagNoCache != 0,
		MustRevalidate: flags&flagMustRevalidate != 0,
		Immutable:      flags&flagImmutable != 0,
		ForEveryone:    flags&flagForEveryone != 0,
	}
	return m, head[metaSize : metaSize+length], head[metaSize+length:], true
}
