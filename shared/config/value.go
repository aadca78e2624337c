package config

import (
	"encoding/json"
	"errors"
	"math"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time in nanoseconds, written with a unit: "5s", "100ms".
type Duration time.Duration

// String is the shortest form that Parse reads: "10m", not "10m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Duration) read(n *node) *Problem {
	const remedy = `write a number with a unit, such as "100ms", "5s" or "10m"`
	switch n.kind {
	case kindNumber:
		return &Problem{Message: "a duration needs a unit", Remedy: remedy}
	case kindString:
		value, err := time.ParseDuration(n.text)
		if err != nil {
			return &Problem{Message: quote(n.text) + " is not a duration", Remedy: remedy}
		}
		*d = Duration(value)
		return nil
	}
	return wrongType(n, "a duration", remedy)
}

// ByteSize is a number of bytes, written "256KiB", "10MB" or as a bare number.
type ByteSize int64

const (
	kibibyte ByteSize = 1 << 10
	mebibyte ByteSize = 1 << 20
	gibibyte ByteSize = 1 << 30
	tebibyte ByteSize = 1 << 40
)

// byteUnits has the units that String uses, largest first, ahead of the others.
var byteUnits = []struct {
	name  string
	bytes ByteSize
}{
	{"TiB", tebibyte}, {"GiB", gibibyte}, {"MiB", mebibyte}, {"KiB", kibibyte},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// String has the largest binary unit that loses nothing, or plain bytes.
func (s ByteSize) String() string {
	for _, unit := range byteUnits[:4] {
		if s != 0 && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalJSON is String as text if it has a unit, else a number.
func (s ByteSize) MarshalJSON() ([]byte, error) {
	text := s.String()
	if strings.HasSuffix(text, "B") {
		return json.Marshal(text)
	}
	return []byte(text), nil
}

func (s *ByteSize) read(n *node) *Problem {
	const remedy = `write whole bytes, or a whole number with KiB, MiB, GiB, TiB, KB, MB, GB or TB, such as "10MiB"`
	switch n.kind {
	case kindNumber:
		bytes, err := parseInteger(n.text)
		if err != nil {
			return &Problem{Message: n.text + " " + err.Error(), Remedy: remedy}
		}
		*s = ByteSize(bytes)
		return nil
	case kindString:
		bytes, ok := parseByteSize(n.text)
		if !ok {
			return &Problem{Message: quote(n.text) + " is not a size", Remedy: remedy}
		}
		*s = bytes
		return nil
	}
	return wrongType(n, "a size", remedy)
}

func parseByteSize(text string) (ByteSize, bool) {
	for _, unit := range byteUnits {
		digits, found := strings.CutSuffix(text, unit.name)
		if !found {
			continue
		}
		count, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || count > math.MaxInt64/uint64(unit.bytes) {
			return 0, false
		}
		return ByteSize(count) * unit.bytes, true
	}
	return 0, false
}

// readPrefix accepts a single address as the prefix of only itself. Mapped IPv4
// becomes IPv4, as client addresses do, and bits beyond the mask are dropped.
func readPrefix(p *netip.Prefix, n *node) *Problem {
	const remedy = `write an address such as "10.1.2.3" or a range such as "10.0.0.0/8"`
	if n.kind != kindString {
		return wrongType(n, "an address or a range of addresses", remedy)
	}
	prefix, err := netip.ParsePrefix(n.text)
	if err != nil {
		addr, err := netip.ParseAddr(n.text)
		if err != nil || addr.Zone() != "" {
			return &Problem{Message: quote(n.text) + " is not an address or a range of addresses", Remedy: remedy}
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return &Problem{Message: quote(n.text) + " mixes IPv4 and IPv6", Remedy: "write the IPv4 range by itself"}
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	*p = prefix.Masked()
	return nil
}

var (
	errNotNumber = errors.New("is not a finite number")
	errNegative  = errors.New("is negative")
	errTooLarge  = errors.New("is too large")
	errExponent  = errors.New("has an exponent out of range")
	errFraction  = errors.New("is not a whole number")
)

// parseInteger reads a number that is whole however it is written: 500, 5e2, 500.0.
func parseInteger(text string) (int64, error) {
	mantissa, decimals, err := parseDecimal(text)
	switch {
	case err != nil:
		return 0, err
	case decimals > 0:
		return 0, errFraction
	case mantissa > math.MaxInt64:
		return 0, errTooLarge
	}
	return int64(mantissa), nil
}

// parseDecimal reads a number exactly: its value is mantissa / 10^decimals, with
// as few decimals as possible. It knows every spelling of JSON and of the YAML
// core schema but hexadecimal and octal.
func parseDecimal(text string) (mantissa uint64, decimals int, err error) {
	if strings.HasPrefix(text, "-") {
		return 0, 0, errNegative
	}
	base, exponent, hasExponent := strings.Cut(strings.ToLower(strings.TrimPrefix(text, "+")), "e")
	whole, fraction, _ := strings.Cut(base, ".")
	if digits := whole + fraction; digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, 0, errNotNumber
	}
	scale := 0
	if hasExponent {
		if scale, err = strconv.Atoi(exponent); err != nil || scale < -100 || scale > 100 {
			return 0, 0, errExponent
		}
	}
	fraction = strings.TrimRight(fraction, "0")
	if mantissa, err = strconv.ParseUint("0"+whole+fraction, 10, 64); err != nil {
		return 0, 0, errTooLarge
	}
	return normalizeDecimal(mantissa, len(fraction)-scale)
}

func normalizeDecimal(mantissa uint64, decimals int) (uint64, int, error) {
	if mantissa == 0 {
		return 0, 0, nil
	}
	for ; decimals > 0 && mantissa%10 == 0; decimals-- {
		mantissa /= 10
	}
	for ; decimals < 0; decimals++ {
		high, low := bits.Mul64(mantissa, 10)
		if high > 0 {
			return 0, 0, errTooLarge
		}
		mantissa = low
	}
	return mantissa, decimals, nil
}
