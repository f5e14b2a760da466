package upgrade

import (
	"strings"
	"syscall"
	"testing"

	"psyopsOS/mounts"
)

// A power cut within the write of ext4's superblock leaves a side that the
// kernel does not mount, not even to write it anew.
func TestASideThatCannotBeMountedIsToldWithWhatMendsIt(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v2))
	w.fake.OnMount = func(m mounts.Mount) error {
		if strings.HasSuffix(m.Source, "vda4") {
			return syscall.EBADMSG
		}
		return nil
	}
	out, _ := w.must(0, "show")
	has(t, out, "its file system is damaged", "bad message")
	_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "its file system is damaged", "`e2fsck -y /dev/vda4` mends it")
	if len(w.writes) > 0 {
		t.Errorf("writes %v", w.writes)
	}
}
