package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// makeAll makes one of each below dir: what the test below runs as another
// process.
func makeAll(t *testing.T, dir string) {
	t.Helper()
	esp, side, image := filepath.Join(dir, "esp"), filepath.Join(dir, "side"), filepath.Join(dir, "image")
	if err := FAT(always, esp, fatOptions(40*mebibyte), espFiles(), testTime); err != nil {
		t.Fatal(err)
	}
	if err := Ext4(always, side, ext4Options(24*mebibyte), sideFiles(t)); err != nil {
		t.Fatal(err)
	}
	d := Disk{DerivedGUID("1", "disk"), []Partition{
		{1, "PSYOPSOSEFI", TypeEFISystem, DerivedGUID("1", "a"), 40 * mebibyte, esp},
		{2, "psyopsOS-A", TypeLinux, DerivedGUID("1", "b"), 24 * mebibyte, side},
	}}
	if err := Image(always, image, d, nil); err != nil {
		t.Fatal(err)
	}
}

// makeAllIn is set for the other process of the test below: the folder to fill.
const makeAllIn = "PSYOPSOS_TEST_MAKE_ALL_IN"

func TestBytesAreTheSameForAnotherUserUmaskTimeZoneFolderAndClock(t *testing.T) {
	if dir := os.Getenv(makeAllIn); dir != "" {
		syscall.Umask(0o077)
		makeAll(t, dir)
		return
	}
	// A folder that another user may enter, unlike t.TempDir's.
	shared, err := os.MkdirTemp("", "psyopsOS-same-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(shared)
	mine, theirs := filepath.Join(shared, "mine"), filepath.Join(shared, "a much longer path")
	for _, dir := range []string{mine, theirs} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	makeAll(t, mine)
	time.Sleep(2100 * time.Millisecond) // FAT tells times in 2 s
	asAnother(t, shared, theirs)
	for _, name := range []string{"esp", "side", "image"} {
		if hashOf(t, filepath.Join(mine, name)) != hashOf(t, filepath.Join(theirs, name)) {
			t.Errorf("%s differs", name)
		}
	}
}

// asAnother runs makeAll as user 65534, where we may, in dir.
func asAnother(t *testing.T, shared, dir string) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(shared, "test")
	cmd := exec.Command(program, "-test.run", "^"+t.Name()+"$")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "TZ=Asia/Kathmandu", "HOME=/nonexistent", "LANG=de_DE.UTF-8", "SOURCE_DATE_EPOCH=1", "TMPDIR=" + dir, makeAllIn + "=" + dir}
	if os.Getuid() == 0 {
		for _, d := range []string{shared, dir} {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the other process: %v\n%s", err, out)
	}
}
