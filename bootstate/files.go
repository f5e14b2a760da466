package bootstate

import (
	"fmt"
	"strconv"
	"strings"

	"psyopsOS/layout"
)

// A Fail is the last failure before the system was healthy.
type Fail struct {
	Side    layout.Label
	Version string
	Stage   string // the step that failed
	Reason  string
	Seq     int // of the state at that time
}

// ParseFail reads FAIL.ENV; the zero Fail is none.
func ParseFail(data []byte) Fail {
	b, err := ParseBlock(data)
	if err != nil {
		return Fail{}
	}
	side, _ := sideOrNone(b.Get("side"))
	return Fail{side, b.Get("version"), b.Get("stage"), b.Get("reason"), number(b.Get("seq"))}
}

// Render is the failure as the 512 bytes of its file. A reason that does not
// fit is cut.
func (f Fail) Render() ([]byte, error) {
	clean := func(s string, most int) string {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", " ")
		return strings.ToValidUTF8(s[:min(len(s), most)], "")
	}
	for most := 300; ; most -= 20 {
		data, err := Block{
			{"side", letterOrNone(f.Side)}, {"version", clean(f.Version, 32)}, {"stage", clean(f.Stage, 64)},
			{"seq", strconv.Itoa(f.Seq)}, {"reason", clean(f.Reason, most)},
		}.Render()
		if err == nil || most <= 0 {
			return data, err
		}
	}
}

// A Menu is what the loader's menu can be told.
type Menu struct {
	Timeout  int    // seconds of the countdown
	Append   string // more words for the kernel
	Programs []Program
}

// A Program is an extra EFI program on the first EFI system partition.
type Program struct{ Path, Title string } // Path begins with /

// Bounds of a Menu, which the script knows too.
const (
	DefaultTimeout = 5
	MaxTimeout     = 999
	MaxPrograms    = 5
)

// ParseMenu reads MENU.ENV. What is missing or not valid has its default, as
// in the script.
func ParseMenu(data []byte) Menu {
	m := Menu{Timeout: DefaultTimeout}
	b, err := ParseBlock(data)
	if err != nil {
		return m
	}
	if n, err := strconv.Atoi(b.Get("timeout")); err == nil && n >= 0 && n <= MaxTimeout && strconv.Itoa(n) == b.Get("timeout") {
		m.Timeout = n
	}
	if words := b.Get("append"); isAppend(words) {
		m.Append = words
	}
	for i := range MaxPrograms {
		path, title, _ := strings.Cut(b.Get("program"+strconv.Itoa(i+1)), " ")
		if p := (Program{path, title}); p.ok() {
			m.Programs = append(m.Programs, p)
		}
	}
	return m
}

// Render is the menu as the 512 bytes of its file.
func (m Menu) Render() ([]byte, error) {
	if m.Timeout < 0 || m.Timeout > MaxTimeout {
		return nil, fmt.Errorf("menu: a timeout of %d s, want 0 to %d", m.Timeout, MaxTimeout)
	}
	if !isAppend(m.Append) {
		return nil, fmt.Errorf("menu: kernel words %q, want letters, digits, blanks and =,.:/_@+-", m.Append)
	}
	if len(m.Programs) > MaxPrograms {
		return nil, fmt.Errorf("menu: %d programs, at most %d", len(m.Programs), MaxPrograms)
	}
	b := Block{{"timeout", strconv.Itoa(m.Timeout)}, {"append", m.Append}}
	for i, p := range m.Programs {
		if !p.ok() {
			return nil, fmt.Errorf("menu: program %q titled %q, want /NAME and printable ASCII", p.Path, p.Title)
		}
		b = append(b, Var{"program" + strconv.Itoa(i+1), p.Path + " " + p.Title})
	}
	return b.Render()
}

// isAppend keeps quotes, escapes and wildcards out, which mean something to
// GRUB's script.
func isAppend(s string) bool { return only(s, "=,.:/_@+- ") }

func (p Program) ok() bool {
	return len(p.Path) > 1 && p.Path[0] == '/' && only(p.Path, "./_+-") &&
		p.Title != "" && strings.Trim(p.Title, " ") == p.Title &&
		strings.IndexFunc(p.Title, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func only(s, also string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(also, r))
	}) < 0
}
