package mounts

import (
	"errors"
	"fmt"
	"strings"
)

// ErrOverflow says that the kernel sent more uevents than were read in time
// and dropped some: whoever listens has to look at everything anew.
var ErrOverflow = errors.New("uevents were lost")

// A Uevent is the kernel's word that a device came, went or changed.
type Uevent struct {
	Action    string // add, change, remove, bind, …
	Devpath   string // below /sys
	Subsystem string
	Devname   string // below /dev; empty of a device without a node
	Modalias  string
	Vars      map[string]string // all of them
}

// ParseUevent reads one message of the kernel's uevent socket:
// "add@/devices/…" and KEY=value words, each ended by a zero byte. Words
// without "=" are ignored.
func ParseUevent(message []byte) (Uevent, error) {
	header, rest, _ := strings.Cut(string(message), "\x00")
	action, devpath, ok := strings.Cut(header, "@")
	if !ok || action == "" || !strings.HasPrefix(devpath, "/") {
		return Uevent{}, fmt.Errorf("uevent: unexpected header %.80q", header)
	}
	vars := map[string]string{}
	for word := range strings.SplitSeq(rest, "\x00") {
		if key, value, ok := strings.Cut(word, "="); ok && key != "" {
			vars[key] = value
		}
	}
	return Uevent{Action: action, Devpath: devpath, Subsystem: vars["SUBSYSTEM"],
		Devname: vars["DEVNAME"], Modalias: vars["MODALIAS"], Vars: vars}, nil
}

// BringsStorage reports whether after the event there may be a volume that was
// not there before: a disk or a partition came, or a medium was changed.
func (u Uevent) BringsStorage() bool {
	return u.Subsystem == "block" && u.Action != "remove" && isStorage(u.Devname)
}
