package boot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/netif"
	"psyopsOS/step"
)

// A setting is one field of a Cmdline, as a word sets it.
type setting interface {
	// set takes the last word of its kind; after an error nothing has changed,
	// and the error says what is used instead.
	set(w word) error
	// value renders the field so that set reads it back.
	value() string
}

// unusable is the error of a setting that cannot take w.
func unusable(w word, want string, instead any) error {
	return fmt.Errorf("%s on the kernel command line: want %s; %v is used instead", w, want, instead)
}

// flagged is a field that a bare word makes true.
type flagged struct{ at *bool }

func (f flagged) set(w word) error {
	switch {
	case w.negated || slices.Contains([]string{"no", "0", "off", "n"}, w.value):
		*f.at = false
	case !w.hasValue || slices.Contains([]string{"yes", "1", "on", "y"}, w.value):
		*f.at = true
	default:
		return unusable(w, "yes or no", f.value())
	}
	return nil
}

func (f flagged) value() string {
	if *f.at {
		return "yes"
	}
	return "no"
}

// text is a field that takes any value. A negated word empties it.
type text[T ~string] struct{ at *T }

func (t text[T]) set(w word) error {
	if !w.hasValue && !w.negated {
		return unusable(w, "a value", fmt.Sprintf("%q", *t.at))
	}
	*t.at = T(w.value)
	return nil
}

func (t text[T]) value() string { return string(*t.at) }

// choice is a field that takes one of some values. A bare word means yes.
type choice[T ~string] struct {
	at     *T
	values []T
}

func (c choice[T]) set(w word) error {
	value := w.value
	switch {
	case w.negated:
		value = "no"
	case !w.hasValue:
		value = "yes"
	}
	if slices.Contains(c.values, T(value)) {
		*c.at = T(value)
		return nil
	}
	var names []string
	for _, v := range c.values {
		names = append(names, string(v))
	}
	want := fmt.Sprintf("one of %s (%s is nearest)", strings.Join(names, ", "), step.Nearest(value, names))
	return unusable(w, want, *c.at)
}

func (c choice[T]) value() string { return string(*c.at) }

// reason is the field of psyopsos.boot=.
func reason(at *bootstate.Why) setting {
	return choice[bootstate.Why]{at, []bootstate.Why{bootstate.Manual, bootstate.Good,
		bootstate.Trial(2), bootstate.Trial(1), bootstate.Trial(0), bootstate.Fallback, bootstate.LastResort}}
}

// seconds is a field that takes a number of seconds or, like 2m, another unit.
type seconds struct {
	at       *time.Duration
	from, to time.Duration
}

func (s seconds) set(w word) error {
	if w.negated {
		*s.at = 0
		return nil
	}
	d, err := time.ParseDuration(w.value)
	if err != nil {
		d, err = time.ParseDuration(w.value + "s")
	}
	if err != nil || d < s.from || d > s.to {
		return unusable(w, fmt.Sprintf("a number of seconds from %v to %v", s.from.Seconds(), s.to.Seconds()), s.value())
	}
	*s.at = d.Truncate(time.Millisecond)
	return nil
}

func (s seconds) value() string { return strconv.FormatFloat(s.at.Seconds(), 'f', -1, 64) }

// addresses is the field of ip=. A negated word takes it back.
type addresses struct{ at *netif.IP }

func (a addresses) set(w word) error {
	if w.negated {
		*a.at = netif.IP{}
		return nil
	}
	ip, err := netif.ParseIP(w.value)
	if err != nil {
		return fmt.Errorf("%s on the kernel command line: %w; DHCP on the first wired link is used instead", w, err)
	}
	*a.at = ip
	return nil
}

func (a addresses) value() string { return a.at.String() }

// list is a field of several words. It stands before what modprobe.blacklist=
// and the words after "--" have added.
type list struct {
	at    *[]string
	split func(string) []string
	join  string
}

func (l list) set(w word) error {
	if words := l.split(w.value); len(words) > 0 {
		*l.at = append(words, *l.at...)
	}
	return nil
}

func (l list) value() string { return strings.Join(*l.at, l.join) }

// splitList splits at commas, which is what Alpine writes, and at blanks.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || strings.ContainsRune(blanks, r) })
}

// program is the field of init=, which keeps its default when it is emptied.
type program struct{ at *string }

func (p program) set(w word) error {
	switch {
	case w.negated || w.hasValue && w.value == "":
		return nil
	case !strings.HasPrefix(w.value, "/"):
		return unusable(w, "an absolute path", *p.at)
	}
	*p.at = w.value
	return nil
}

func (p program) value() string { return *p.at }

// partUUID is the field of psyopsos.disk=. The kernel and GRUB differ in the
// case of its letters.
type partUUID struct{ at *string }

func (p partUUID) set(w word) error {
	*p.at = strings.TrimPrefix(strings.ToLower(w.value), "partuuid=")
	return nil
}

func (p partUUID) value() string { return *p.at }

// device is the field of psyopsos.events=.
type device struct{ at *string }

func (d device) set(w word) error {
	if *d.at = w.value; w.value == "none" {
		*d.at = ""
	}
	return nil
}

func (d device) value() string { return *d.at }
