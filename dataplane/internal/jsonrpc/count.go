package jsonrpc

// Counter counts the calls of a request body as it passes: the elements of its
// array, whatever they are. It checks nothing and has no bound, so that a body
// which Parse does not take cannot hide how many calls it holds. The zero value
// is at the beginning of a body.
type Counter struct {
	calls  int
	depth  int // of brackets and braces that are open
	begun  bool
	quoted bool
	escape bool // the next byte of a text is taken as it is
}

// Add takes the next piece of the body and returns how many calls there are so
// far; 0 for what is no array.
func (c *Counter) Add(piece []byte) (calls int) {
	for _, b := range piece {
		switch {
		case c.begun && c.depth == 0: // no array, or behind its end
			return c.calls
		case c.escape:
			c.escape = false
		case c.quoted:
			c.escape = b == '\\'
			c.quoted = b != '"'
		case b <= ' ' || b >= 0x7f: // a byte order mark among them
		case !c.begun:
			c.begun = true
			if b == '[' {
				c.depth = 1
			}
		default:
			c.count(b)
		}
	}
	return c.calls
}

func (c *Counter) count(b byte) {
	if c.calls == 0 && b != ']' {
		c.calls = 1 // the first element begins
	}
	switch b {
	case '"':
		c.quoted = true
	case '[', '{':
		c.depth++
	case ']', '}':
		c.depth--
	case ',':
		if c.depth == 1 {
			c.calls++
		}
	}
}
