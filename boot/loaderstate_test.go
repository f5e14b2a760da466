package boot_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
	"psyopsOS/step"
)

// partition is a partition in memory, as a state device.
type partition struct {
	content []byte
	broken  error // of writing
	writes  int
	closed  int
}

func (p *partition) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(p.content).ReadAt(b, off)
}

func (p *partition) WriteAt(b []byte, off int64) (int, error) {
	p.writes++
	if p.broken != nil {
		return 0, p.broken
	}
	return copy(p.content[off:], b), nil
}

func (p *partition) SectorSize() int { return 512 }
func (p *partition) Close() error    { p.closed++; return nil }

// efi makes a FAT file system with the boot loader's files.
func efi(t *testing.T, label layout.Label, files map[string][]byte) *partition {
	t.Helper()
	dir := t.TempDir()
	image := filepath.Join(dir, "img")
	command := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s(Debian packages dosfstools, mtools)", name, args, err, out)
		}
	}
	command("mkfs.fat", "-C", "-F", "16", "-s", "1", "-n", string(label), image, "8192")
	command("mmd", "-i", image, "::/grub")
	for path, content := range files {
		source := filepath.Join(dir, "file")
		if err := os.WriteFile(source, content, 0o600); err != nil {
			t.Fatal(err)
		}
		command("mcopy", "-i", image, source, "::"+path)
	}
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return &partition{content: content}
}

func rendered(t *testing.T) func([]byte, error) []byte {
	return func(content []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
}

// loaderDisk is a machine with a disk that has a loader's state, and another
// one with another.
func loaderDisk(t *testing.T, state bootstate.State, tries bootstate.Tries, fail bootstate.Fail) (*mountstest.Fake, *partition) {
	t.Helper()
	must := rendered(t)
	files := func(s bootstate.State) map[string][]byte {
		return map[string][]byte{layout.State1: must(s.Render()), layout.State2: must(s.Render()),
			layout.Tries: must(tries.Render()), layout.Fail: must(fail.Render()), layout.Menu: must(bootstate.Menu{}.Render())}
	}
	storage := mountstest.New()
	own := efi(t, layout.EFISystem, files(state))
	foreign := efi(t, layout.EFISystem, files(bootstate.State{Seq: 99, Good: layout.SideB}))
	for disk, esp := range map[string]*partition{"vda": foreign, "vdb": own} {
		storage.Plug(mounts.Device{Name: disk}, make([]byte, 4096))
		storage.Plug(mounts.Device{Name: disk + "1", Disk: disk, Partition: 1, Size: int64(len(esp.content))}, esp.content)
		storage.Plug(mounts.Device{Name: disk + "3", Disk: disk, Partition: 3, PartUUID: disk + "-a"}, ext4(layout.SideA))
	}
	return storage, own
}

func TestAFailureIsRecordedOnTheBootedDiskAlone(t *testing.T) {
	state := bootstate.State{Seq: 7, Good: layout.SideA, Alt: layout.SideB, A: "1", B: "1"}
	tries := bootstate.Tries{Left: 2, For: 3, Run: 1}
	last := bootstate.Fail{Side: layout.SideB, Stage: "before", Seq: 3}
	fail := bootstate.Fail{Side: layout.SideA, Version: "20261121-101500", Stage: "copy squashfs", Reason: "it has rotten", Seq: 7}
	for _, c := range []struct {
		name   string
		answer boot.Answer
		fail   bootstate.Fail
		tries  bootstate.Tries
		writes int
	}{
		{"a side that nobody chose by the state is not blamed", boot.Answer{}, last, tries, 0},
		{"a side that is blamed has its failure written", boot.Answer{Blame: true}, fail, tries, 1},
		{"a side that is given up has its count at the end, and the trial's stays", boot.Answer{Blame: true, GiveUp: true}, fail,
			bootstate.Tries{Left: 2, For: 3, Run: bootstate.MaxTries}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			storage, esp := loaderDisk(t, state, tries, last)
			line, err := boot.ParseCmdline("psyopsos=psyopsOS-A psyopsos.disk=vdb-a")
			if err != nil {
				t.Fatal(err)
			}
			read, err := boot.ReadLoaderState(storage, line)
			if err != nil || !reflect.DeepEqual(read.State, state) || read.Tries != tries || read.Fail != last {
				t.Fatalf("read %+v, %v", read, err)
			}
			var opened []string
			open := func(path string) (boot.StateDevice, error) {
				opened = append(opened, path)
				return esp, nil
			}
			if err := read.Record(c.answer, fail, open); err != nil {
				t.Fatal(err)
			}
			if len(opened) != esp.closed || len(opened) > 0 && opened[0] != "/dev/vdb1" {
				t.Errorf("opened %q, closed %d times", opened, esp.closed)
			}
			after := bootstate.ReadCopies(esp, nil)
			if got := bootstate.ParseFail(after.Fail); got != c.fail {
				t.Errorf("FAIL.ENV says %+v, want %+v", got, c.fail)
			}
			if got := bootstate.ParseTries(after.Tries); got != c.tries || esp.writes != c.writes {
				t.Errorf("after %d writes TRIES.ENV says %+v, want %+v after %d", esp.writes, got, c.tries, c.writes)
			}
			if got, err := bootstate.ParseState(after.State1); err != nil || !reflect.DeepEqual(got, state) {
				t.Errorf("the state has become %+v, %v", got, err)
			}
		})
	}
}

func TestTheSameFailureIsWrittenOnce(t *testing.T) {
	fail := bootstate.Fail{Side: layout.SideA, Stage: "copy squashfs", Seq: 7}
	storage, esp := loaderDisk(t, bootstate.State{Seq: 7, Good: layout.SideA}, bootstate.Tries{}, fail)
	line, _ := boot.ParseCmdline("psyopsos=psyopsOS-A psyopsos.disk=vdb-a")
	read, err := boot.ReadLoaderState(storage, line)
	if err != nil {
		t.Fatal(err)
	}
	err = read.Record(boot.Answer{Blame: true}, fail, func(string) (boot.StateDevice, error) { return esp, nil })
	if err != nil || esp.writes != 0 {
		t.Errorf("%d writes, %v", esp.writes, err)
	}
}

func TestWhatCannotBeRecordedIsToldWithItsCause(t *testing.T) {
	storage, esp := loaderDisk(t, bootstate.State{Seq: 7, Good: layout.SideA, Alt: layout.SideB}, bootstate.Tries{}, bootstate.Fail{})
	line, _ := boot.ParseCmdline("psyopsos=psyopsOS-A psyopsos.disk=vdb-a")
	read, err := boot.ReadLoaderState(storage, line)
	if err != nil {
		t.Fatal(err)
	}
	answer, fail := boot.Answer{Blame: true, GiveUp: true}, bootstate.Fail{Side: layout.SideA, Stage: "x"}
	esp.broken = syscall.EIO
	for name, c := range map[string]struct {
		state boot.LoaderState
		open  func(string) (boot.StateDevice, error)
		want  string
	}{
		"no state was found":     {boot.LoaderState{}, nil, "not found"},
		"it cannot be opened":    {read, func(string) (boot.StateDevice, error) { return nil, syscall.EBUSY }, syscall.EBUSY.Error()},
		"it cannot be written":   {read, func(string) (boot.StateDevice, error) { return esp, nil }, syscall.EIO.Error()},
		"the file is not to see": {read, func(string) (boot.StateDevice, error) { return &partition{content: make([]byte, 4096)}, nil }, "FAT"},
	} {
		err := c.state.Record(answer, fail, c.open)
		if err == nil || !strings.Contains(err.Error(), c.want) || step.HintOf(err) == "" {
			t.Errorf("%s: got %v with the hint %q", name, err, step.HintOf(err))
		}
	}
}

func TestADiskThatIsNotThereHasNoState(t *testing.T) {
	storage, _ := loaderDisk(t, bootstate.State{Seq: 7, Good: layout.SideA}, bootstate.Tries{}, bootstate.Fail{})
	for name, line := range map[string]string{"another disk was booted": "psyopsos=psyopsOS-A psyopsos.disk=vdc-a", "none is named": "psyopsos=psyopsOS-A"} {
		c, _ := boot.ParseCmdline(line)
		if state, err := boot.ReadLoaderState(storage, c); err == nil || state.State.Seq != 0 || step.HintOf(err) == "" {
			t.Errorf("%s: got %+v, %v with the hint %q", name, state.State, err, step.HintOf(err))
		}
	}
	storage.Fail["Devices"] = errors.New("no sysfs")
	c, _ := boot.ParseCmdline("psyopsos=psyopsOS-A psyopsos.disk=vdb-a")
	if _, err := boot.ReadLoaderState(storage, c); err == nil {
		t.Error("no error where there is no list of disks")
	}
}
