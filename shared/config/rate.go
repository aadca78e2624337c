package config

import (
	"errors"
	"strconv"
	"strings"
)

const (
	maxRate         = 1e9 // requests per second
	maxRateDecimals = 6
)

// Rate is an exact number of requests per unit of time, 0 to 1e9 a second with at
// most 6 decimals, written as a number per second or as "5/m", "100/h". The zero
// value is 0. Rates compare with == as they are written: "60/m" is not 1.
type Rate struct {
	mantissa uint64 // the count is mantissa / 10^decimals,
	decimals uint8  // in lowest terms
	unit     byte   // a key of rateUnits, or 0 for a plain number per second
}

// rateUnits are the seconds of each unit.
var rateUnits = map[byte]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}

var (
	errRateForm     = errors.New("is not a rate")
	errRateDecimals = errors.New("has more than 6 decimals")
	errRateRange    = errors.New("is more than 1e9 per second")
)

const rateRemedy = `write a number per second such as 300 or 0.5, or text such as "5/m" or "100/h"`

// ParseRate reads a number per second ("300", "0.5") or a count with a unit
// ("10/s", "5/m", "100/h", "1000/d"). It refuses whatever Parse refuses.
func ParseRate(text string) (Rate, error) {
	r, p := parseRate(text)
	if p != nil {
		return Rate{}, p
	}
	return r, nil
}

func parseRate(text string) (Rate, *Problem) {
	count, unit, err := cutUnit(text)
	if err == nil {
		var r Rate
		if r, err = newRate(count, unit); err == nil {
			return r, nil
		}
	}
	return Rate{}, &Problem{Message: quote(text) + " " + err.Error(), Remedy: rateRemedy}
}

func cutUnit(text string) (count string, unit byte, err error) {
	count, name, found := strings.Cut(text, "/")
	if !found {
		return count, 0, nil
	}
	if len(name) != 1 || rateUnits[name[0]] == 0 {
		return "", 0, errRateForm
	}
	return count, name[0], nil
}

func newRate(count string, unit byte) (Rate, error) {
	mantissa, decimals, err := parseDecimal(count)
	if err != nil {
		return Rate{}, err
	}
	if decimals > maxRateDecimals {
		return Rate{}, errRateDecimals
	}
	r := Rate{mantissa, uint8(decimals), unit}
	num, den := r.PerSecond()
	if num/den > maxRate || num/den == maxRate && num%den != 0 {
		return Rate{}, errRateRange
	}
	return r, nil
}

// PerSecond is the rate as a fraction in lowest terms. den is at least 1 and at
// most 86400e6; num may use all 64 bits, so mind the products.
func (r Rate) PerSecond() (num, den uint64) {
	den = max(1, rateUnits[r.unit])
	for range r.decimals {
		den *= 10
	}
	divisor := greatestCommonDivisor(r.mantissa, den)
	return r.mantissa / divisor, den / divisor
}

// ceil is the rate rounded up to whole requests per second.
func (r Rate) ceil() uint64 {
	num, den := r.PerSecond()
	if num%den != 0 {
		return num/den + 1
	}
	return num / den
}

// String is the form that Parse reads: "300", "0.5", "5/m".
func (r Rate) String() string {
	digits := strconv.FormatUint(r.mantissa, 10)
	if places := int(r.decimals); places > 0 {
		digits = strings.Repeat("0", max(places+1-len(digits), 0)) + digits
		digits = digits[:len(digits)-places] + "." + digits[len(digits)-places:]
	}
	if r.unit != 0 {
		digits += "/" + string(r.unit)
	}
	return digits
}

// MarshalJSON keeps what was written: a number stays one, text stays text.
func (r Rate) MarshalJSON() ([]byte, error) {
	if r.unit == 0 {
		return []byte(r.String()), nil
	}
	return []byte(`"` + r.String() + `"`), nil
}

func (r *Rate) read(n *node) *Problem {
	switch {
	case n.kind == kindString && !strings.Contains(n.text, "/"):
		return &Problem{Message: quote(n.text) + " " + errRateForm.Error(), Remedy: rateRemedy}
	case n.kind != kindString && n.kind != kindNumber:
		return wrongType(n, "a rate", rateRemedy)
	}
	rate, p := parseRate(n.text)
	if p == nil {
		*r = rate
	}
	return p
}

func greatestCommonDivisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
