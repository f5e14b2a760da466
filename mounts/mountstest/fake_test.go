package mountstest_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
)

func table(t *testing.T, f *mountstest.Fake) (rows []string) {
	t.Helper()
	points, err := f.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		rows = append(rows, p.Source+" "+p.Path+" "+p.Type+" "+p.Options)
	}
	return rows
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestTheTableFollowsMountsMovesAndUnmounts(t *testing.T) {
	f := mountstest.New()
	f.Plug(mounts.Device{Name: "vda3", Disk: "vda", Partition: 3}, []byte("x"))
	must(t, f.Mount(mounts.Mount{Source: "/dev/vda3", Target: "/side", Type: "ext4", Flags: mounts.ReadOnly}),
		f.Mount(mounts.Mount{Source: "dev", Target: "/dev", Type: "devtmpfs"}),
		f.Mount(mounts.Mount{Source: "pts", Target: "/dev/pts/", Type: "devpts"}),
		f.Mount(mounts.Mount{Source: "overlay", Target: "/newroot", Type: "overlay"}),
		f.Bind("/side", "/newroot/side"),
		f.MoveMount("/dev", "/newroot/dev"),
		f.Unmount("/side"))
	want := []string{"rootfs / rootfs rw", "dev /newroot/dev devtmpfs rw", "pts /newroot/dev/pts devpts rw",
		"overlay /newroot overlay rw", "/side /newroot/side bind rw"}
	if got := table(t, f); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !f.Mounted("/newroot/dev/pts") || f.Mounted("/dev") {
		t.Error("Mounted disagrees with the table")
	}
}

func TestWhatTheKernelRefusesTheFakeRefuses(t *testing.T) {
	f := mountstest.New()
	must(t, f.Mount(mounts.Mount{Source: "ram", Target: "/ram", Type: "tmpfs"}),
		f.Mount(mounts.Mount{Source: "x", Target: "/ram/x", Type: "tmpfs"}),
		f.Mount(mounts.Mount{Source: "y", Target: "/y", Type: "tmpfs"}))
	if _, err := f.LoopMount(mounts.LoopMount{File: "/y/squashfs", Target: "/ro", Type: "squashfs"}); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ got, want error }{
		"a device that is not there":           {f.Mount(mounts.Mount{Source: "/dev/vdz", Target: "/z", Type: "ext4"}), syscall.ENOENT},
		"unmounting what is not mounted":       {f.Unmount("/nothing"), syscall.EINVAL},
		"unmounting below another mount":       {f.Unmount("/ram"), syscall.EBUSY},
		"unmounting below a loop device":       {f.Unmount("/y"), syscall.EBUSY},
		"moving what is not mounted":           {f.MoveMount("/nothing", "/ram"), syscall.EINVAL},
		"moving a mount into itself":           {f.MoveMount("/ram", "/ram/x"), syscall.EINVAL},
		"opening a device that is not plugged": {second(f.Open("vdz")), syscall.ENOENT},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: got %v, want %v", name, test.got, test.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestALoopDeviceGoesWithItsMount(t *testing.T) {
	f := mountstest.New()
	for i, file := range []string{"/a", "/b"} {
		device, err := f.LoopMount(mounts.LoopMount{File: file, Target: "/mnt" + file, Type: "squashfs"})
		if err != nil || device != []string{"loop0", "loop1"}[i] {
			t.Errorf("got %s, %v", device, err)
		}
	}
	must(t, f.Unmount("/mnt/a"))
	got, err := f.Loops()
	if want := []mounts.Loop{{Device: "loop1", File: "/b"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if device, err := f.LoopMount(mounts.LoopMount{File: "/c", Target: "/mnt/c", Type: "squashfs"}); err != nil || device != "loop0" {
		t.Errorf("the free device was not taken: got %s, %v", device, err)
	}
}

func TestEveryMethodCanBeMadeToFail(t *testing.T) {
	broken := errors.New("broken by the test")
	for name, call := range map[string]func(*mountstest.Fake) error{
		"Devices":      func(f *mountstest.Fake) error { return second(f.Devices()) },
		"DeviceNames":  func(f *mountstest.Fake) error { return second(f.DeviceNames()) },
		"Open":         func(f *mountstest.Fake) error { return second(f.Open("vda")) },
		"Mount":        func(f *mountstest.Fake) error { return f.Mount(mounts.Mount{Target: "/x"}) },
		"LoopMount":    func(f *mountstest.Fake) error { return second(f.LoopMount(mounts.LoopMount{Target: "/x"})) },
		"Bind":         func(f *mountstest.Fake) error { return f.Bind("/", "/x") },
		"MoveMount":    func(f *mountstest.Fake) error { return f.MoveMount("/ram", "/x") },
		"MakePrivate":  func(f *mountstest.Fake) error { return f.MakePrivate("/") },
		"Unmount":      func(f *mountstest.Fake) error { return f.Unmount("/ram") },
		"Mounts":       func(f *mountstest.Fake) error { return second(f.Mounts()) },
		"Loops":        func(f *mountstest.Fake) error { return second(f.Loops()) },
		"MemAvailable": func(f *mountstest.Fake) error { return second(f.MemAvailable()) },
		"Uevents":      func(f *mountstest.Fake) error { return second(f.Uevents()) },
		"Next": func(f *mountstest.Fake) error {
			events, err := f.Uevents()
			if err != nil {
				return nil
			}
			f.Send(mountstest.Added("sda"))
			return second(events.Next(context.Background()))
		},
	} {
		f := mountstest.New()
		f.Plug(mounts.Device{Name: "vda"}, []byte("x"))
		must(t, f.Mount(mounts.Mount{Source: "ram", Target: "/ram", Type: "tmpfs"}))
		if err := call(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f = mountstest.New()
		f.Fail[name] = broken
		if err := call(f); !errors.Is(err, broken) {
			t.Errorf("%s: got %v, want %v", name, err, broken)
		}
	}
}

func TestOnMountSeesMountsAndMayRefuseThem(t *testing.T) {
	f := mountstest.New()
	f.OnMount = func(m mounts.Mount) error {
		if m.Type == "squashfs" {
			return syscall.ENODEV
		}
		return nil
	}
	must(t, f.Mount(mounts.Mount{Source: "ram", Target: "/ram", Type: "tmpfs"}))
	if _, err := f.LoopMount(mounts.LoopMount{File: "/ram/squashfs", Target: "/ro", Type: "squashfs"}); !errors.Is(err, syscall.ENODEV) || f.Mounted("/ro") {
		t.Errorf("got %v", err)
	}
	if loops, _ := f.Loops(); len(loops) > 0 {
		t.Errorf("loop devices stay: %v", loops)
	}
}

func TestAnUnpluggedDiskTakesItsPartitionsAlong(t *testing.T) {
	f := mountstest.New()
	f.Plug(mounts.Device{Name: "vda"}, []byte("x"))
	f.Plug(mounts.Device{Name: "sda"}, []byte("x"))
	f.Plug(mounts.Device{Name: "sda1", Disk: "sda", Partition: 1}, []byte("xyz"))
	f.Unplug("sda")
	got, err := f.Devices()
	if want := []mounts.Device{{Name: "vda", Disk: "vda", Size: 1, SectorSize: 512}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCallsAreLogged(t *testing.T) {
	f := mountstest.New()
	must(t, f.Mount(mounts.Mount{Source: "ram", Target: "/ram", Type: "tmpfs", Data: "size=1m"}), f.Unmount("/ram"))
	want := []string{"Mount ram on /ram as tmpfs (size=1m)", "Unmount /ram"}
	if got := f.Calls(); !slices.Equal(got, want) || f.Count("Mount") != 1 {
		t.Errorf("got %q (%d mounts), want %q", got, f.Count("Mount"), want)
	}
}
