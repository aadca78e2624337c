package lease

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// addrHash is SipHash-2-4 (J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast
// short-input PRF", 2012) of an address's network: whoever does not know the key
// can aim at no other address. All nodes use the same key.
func addrHash(key [16]byte, addr netip.Addr, prefix int) uint64 {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(min(max(prefix, 0), 128)); err == nil {
			addr = p.Addr()
		}
	}
	message := addr.As16()
	k0, k1 := binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:])
	s := sip{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	for _, m := range [...]uint64{
		binary.LittleEndian.Uint64(message[:]),
		binary.LittleEndian.Uint64(message[8:]),
		16 << 56, // the length
	} {
		s[3] ^= m
		s.round()
		s.round()
		s[0] ^= m
	}
	s[2] ^= 0xff
	for range 4 {
		s.round()
	}
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}

type sip [4]uint64

func (s *sip) round() {
	s[0] += s[1]
	s[2] += s[3]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[1]
	s[0] += s[3]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] = bits.RotateLeft64(s[2], 32)
}
