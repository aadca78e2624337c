package cache

import "time"

// The three forms of an HTTP-date (RFC 9110 §5.6.7), the current one first.
var httpDates = [...]string{
	"Mon, 02 Jan 2006 15:04:05 GMT",
	"Monday, 02-Jan-06 15:04:05 GMT",
	time.ANSIC,
}

const dateLength = len("Mon, 02 Jan 2006 15:04:05 GMT")

// parseDate reads an HTTP-date. The current form is tried by its length, because
// a layout that does not fit costs an allocation.
func parseDate(value []byte) (time.Time, bool) {
	for i, layout := range httpDates {
		if i == 0 && len(value) != dateLength {
			continue
		}
		if date, err := time.Parse(layout, string(value)); err == nil {
			return date, true
		}
	}
	return time.Time{}, false
}
