package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/boot"
	"psyopsOS/mounts"
)

// withDeadESP is a node whose first EFI system partition is destroyed, and
// which started through the second one.
func withDeadESP(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	f, err := os.OpenFile(w.images["/dev/vda1"], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestADeadFirstESPIsToldAndNothingIsWritten(t *testing.T) {
	w := withDeadESP(t)
	for _, command := range []string{"commit", "rollback", "health"} {
		_, told := w.must(1, command)
		has(t, told, "the first EFI system partition is dead", "starts by the second one, on /dev/vda5", "no volume labelled PSYOPSOSEFI")
	}
	out, _ := w.must(0, "status")
	has(t, out, "the first EFI system partition is dead")
	if len(w.writes) > 0 {
		t.Errorf("written: %q", w.writes)
	}
}

// Rule 9 of POWERCUT.md: another psyopsOS disk is in the machine, whose first
// partition is then the only one with the label.
func TestTheStateOfAnotherDiskIsNotTakenForThatOfADeadESP(t *testing.T) {
	w := withDeadESP(t)
	from, err := blank()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(from, "vda1"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.fake.Plug(mounts.Device{Name: "vdb", DiskUUID: "other"}, make([]byte, 4096))
	w.fake.PlugReader(mounts.Device{Name: "vdb1", Disk: "vdb", Partition: 1, PartUUID: "other1", DiskUUID: "other", Size: 40 << 20}, f)
	opened := ""
	env := w.env()
	env.OpenState = func(path string) (boot.StateDevice, error) {
		opened += path + " "
		return nil, os.ErrPermission
	}
	for _, args := range []string{"commit", "rollback", "health", "--efisys-dev /dev/vdb1 rollback"} {
		w.stderr.Reset()
		if status := Main(t.Context(), env, strings.Fields(args)); status != 1 {
			t.Errorf("%s: exit status %d", args, status)
		}
		has(t, w.stderr.String(), "vdb")
	}
	if opened != "" {
		t.Errorf("opened for a write: %s", opened)
	}
	out, _ := w.must(0, "status")
	has(t, out, "the first EFI system partition is dead")
	if strings.Contains(out, "default:") {
		t.Errorf("it tells the other disk's state:\n%s", out)
	}
}

// The sides of another disk are none of this one's, either.
func TestASideOfAnotherDiskIsNotShownAsThisOnes(t *testing.T) {
	w := newWorld(t)
	w.fake.Unplug("vda4")
	f, err := os.Open(w.images["/dev/vda4"])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.fake.Plug(mounts.Device{Name: "vdb", DiskUUID: "other"}, make([]byte, 4096))
	w.fake.PlugReader(mounts.Device{Name: "vdb4", Disk: "vdb", Partition: 4, PartUUID: "other4", DiskUUID: "other", Size: 16 << 20}, f)
	s, err := Inspect(w.env().withDefaults(), defaults("x86_64"), w.keys())
	if err != nil {
		t.Fatal(err)
	}
	if s.B.Err == nil || !strings.Contains(s.B.Err.Error(), "on vdb, but vda was booted") || s.B.Info.Version != "" {
		t.Errorf("side B is %+v", s.B)
	}
}
