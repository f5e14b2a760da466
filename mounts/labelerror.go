package mounts

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"psyopsOS/layout"
)

// A LabelError says that no volume has the wanted label.
type LabelError struct {
	Wanted layout.Label
	Waited time.Duration // none is not told
	Seen   []Volume
}

func (e *LabelError) Error() string {
	text := "no volume labelled " + string(e.Wanted)
	if e.Waited > 0 {
		text += " after " + e.Waited.Round(time.Second/10).String()
	}
	if seen := e.seen(); len(seen) > 0 {
		return text + "; saw " + strings.Join(seen, ", ")
	}
	if len(e.Seen) > 0 {
		return text + "; nothing known on " + strings.Join(names(e.Seen), ", ")
	}
	return text + "; saw no disk at all"
}

// Hint says what to do next.
func (e *LabelError) Hint() string {
	switch other := e.Wanted.Other(); {
	case len(e.Seen) == 0:
		return "the driver of the disk may be missing: try modules=DRIVER; or the disk is slow: try psyopsos.wait=60"
	case other != "" && e.has(other):
		return fmt.Sprintf("choose %s in the GRUB menu, and run `neuralupgrade apply %s` from there", other, strings.ToLower(e.Wanted.Letter()))
	case other != "":
		return fmt.Sprintf("choose %s in the GRUB menu; if the disk is slow try psyopsos.wait=60", other)
	case e.Wanted == layout.Secret:
		return "make the volume with `tk node`, or attach the disk that holds it"
	}
	return ""
}

func (e *LabelError) has(label layout.Label) bool {
	for _, v := range e.Seen {
		if v.Err == nil && v.Label == string(label) {
			return true
		}
	}
	return false
}

// seen tells what is on the devices, apart from what is not known there.
func (e *LabelError) seen() []string {
	var words []string
	for _, v := range e.Seen {
		switch {
		case v.isUnknown():
		case v.Err != nil:
			words = append(words, fmt.Sprintf("unreadable %s (%s)", v.Name, cause(v.Err)))
		case v.Label == "":
			words = append(words, fmt.Sprintf("%s without label (%s)", v.Type, v.Name))
		default:
			words = append(words, fmt.Sprintf("%s (%s)", v.Label, v.Name))
		}
	}
	return words
}

// cause is the kernel's word where there is one: the rest names the device,
// which stands beside it already.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func names(volumes []Volume) []string {
	names := make([]string, len(volumes))
	for i, v := range volumes {
		names[i] = v.Name
	}
	return names
}
