package vm

// A cleaner takes out of a terminal's stream what is for the terminal: carriage
// returns and escape sequences. A jump to another place of the screen becomes
// a line end, so that the lines of GRUB's menu stay lines. It is fed in pieces
// of any size.
type cleaner struct {
	state cleanState
}

type cleanState int

const (
	plain cleanState = iota
	escape
	sequence // ESC [ … letter
	title    // ESC ] … BEL or ESC \
)

// clean appends in to out.
func (c *cleaner) clean(out, in []byte) []byte {
	for _, b := range in {
		switch c.state {
		case plain:
			switch b {
			case 0x1b:
				c.state = escape
			case '\r', 0:
			default:
				out = append(out, b)
			}
		case escape:
			c.state = plain
			switch b {
			case '[':
				c.state = sequence
			case ']':
				c.state = title
			}
		case sequence:
			if b >= 0x40 && b <= 0x7e {
				c.state = plain
				if (b == 'H' || b == 'f') && len(out) > 0 && out[len(out)-1] != '\n' {
					out = append(out, '\n')
				}
			}
		case title:
			if b == 7 || b == '\n' {
				c.state = plain
			} else if b == 0x1b {
				c.state = escape
			}
		}
	}
	return out
}
