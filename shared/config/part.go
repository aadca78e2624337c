package config

import "reflect"

// Decode reads an object of its own, JSON if it begins with "{" and YAML
// otherwise, into a struct with the same tags and as strictly as Parse reads a
// document. Fields that the text does not give keep their values. path is where
// the object would be in the document, for the problems. err is Problems.
func Decode(data []byte, path string, target any) error {
	_, err := decode(data, path, target)
	return err
}

func decode(data []byte, path string, target any) (*report, error) {
	tree, p := parseText(data)
	if p != nil {
		return nil, Problems{*p}
	}
	r := newReport()
	if tree.kind == kindNull {
		r.refuse(path, "there is nothing", "write an object with its fields")
	} else {
		binder{r}.value(path, tree, reflect.ValueOf(target).Elem(), "")
	}
	sortByLine(r.problems)
	if len(r.problems) > 0 {
		return r, r.problems
	}
	return r, nil
}

// DecodeLimit reads one limit, by itself, into *Limit or *IPLimit; see Decode. The
// rate has to be given, and the burst follows from it unless it is given; the
// other fields keep their values.
func DecodeLimit[L Limit | IPLimit](data []byte, path string, target *L) error {
	limit := limitOf(target)
	limit.Burst = 0
	r, err := decode(data, path, target)
	if r == nil {
		return err
	}
	if rate := child(path, "rate"); r.given(path) && !r.given(rate) {
		r.refuse(rate, "is missing", "set the rate; to remove a limit, change the document")
	}
	if len(r.problems) > 0 {
		return r.problems
	}
	r.completeLimit(limit)
	return nil
}

func limitOf(target any) *Limit {
	if ip, ok := target.(*IPLimit); ok {
		return &ip.Limit
	}
	return target.(*Limit)
}

// NewLimit is a limit of which nothing is given yet.
func NewLimit() *Limit {
	limit := defaultLimit()
	return &limit
}

// NewIPLimit is the same for each client address.
func NewIPLimit() *IPLimit {
	return &IPLimit{Limit: defaultLimit(), IPv6Prefix: defaultIPv6Prefix}
}
