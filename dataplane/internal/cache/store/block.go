package store

import (
	"bytes"
	"encoding/binary"
)

// unit is the alignment of blocks in bytes, and what a reference counts in.
const unit = 16

// block is an entry in an arena: a fixed part, then key, head, body and padding.
//
//	 0  size in units     4  reference of the next block of the bucket
//	 8  sum              16  until
//	24  length of key    28  of its group   32  of head   36  of body
//	40  owner            42  heat           43  live
type block []byte

const fixedPart = 48

// maxHeat is how often an entry may go round without being read.
const maxHeat = 3

var little = binary.LittleEndian

func blockSize(key, head, body int) int {
	return (fixedPart + key + head + body + unit - 1) &^ (unit - 1)
}

// reference is what links hold; 0 refers to nothing.
func reference(at int) uint32 { return uint32(at/unit) + 1 }
func position(ref uint32) int { return int(ref-1) * unit }

func (sh *shard) block(at int) block {
	size := int(little.Uint32(sh.arena[at:])) * unit
	return block(sh.arena[at : at+size : at+size])
}

func (b block) write(k Key, sum uint64, e *Entry, size int, heat uint8) {
	little.PutUint32(b[0:], uint32(size/unit))
	little.PutUint32(b[4:], 0)
	little.PutUint64(b[8:], sum)
	little.PutUint64(b[16:], uint64(e.Until))
	little.PutUint32(b[24:], uint32(len(k.Bytes)))
	little.PutUint32(b[28:], uint32(k.Group))
	little.PutUint32(b[32:], uint32(len(e.Head)))
	little.PutUint32(b[36:], uint32(len(e.Body)))
	little.PutUint16(b[40:], uint16(e.Owner))
	b[42], b[43] = heat, 1
	n := fixedPart
	n += copy(b[n:], k.Bytes)
	n += copy(b[n:], e.Head)
	copy(b[n:], e.Body)
}

func (b block) size() int          { return int(little.Uint32(b)) * unit }
func (b block) next() uint32       { return little.Uint32(b[4:]) }
func (b block) setNext(ref uint32) { little.PutUint32(b[4:], ref) }
func (b block) sum() uint64        { return little.Uint64(b[8:]) }
func (b block) until() int64       { return int64(little.Uint64(b[16:])) }
func (b block) group() int         { return int(little.Uint32(b[28:])) }
func (b block) owner() Owner       { return Owner(little.Uint16(b[40:])) }
func (b block) heat() uint8        { return b[42] }
func (b block) isLive() bool       { return b[43] == 1 }
func (b block) kill()              { b[43] = 0 }
func (b block) cool()              { b[42]-- }

func (b block) touch() { b[42] = min(b[42]+1, maxHeat) }

func (b block) key() []byte { return b[fixedPart : fixedPart+little.Uint32(b[24:])] }

func (b block) head() []byte {
	start := fixedPart + little.Uint32(b[24:])
	return b[start : start+little.Uint32(b[32:])]
}

func (b block) body() []byte {
	start := fixedPart + little.Uint32(b[24:]) + little.Uint32(b[32:])
	return b[start : start+little.Uint32(b[36:])]
}

func (b block) belongs(resource []byte) bool {
	return b.group() == len(resource) && bytes.HasPrefix(b.key(), resource)
}
