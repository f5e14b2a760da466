package boot_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/boot/boottest"
	"psyopsOS/layout"
	"psyopsOS/mounts"
)

// lateStick is a kernel to which a stick with psyops-secret comes after all
// drivers were looked for; it is a disk once its own driver is there.
type lateStick struct {
	boottest.Modules
	w     *world
	heard bool // it has told its event before anybody listened: only a look finds it
}

const stickAlias = "usb:v1234p5678"

// searching reports whether the volume is being waited for.
func (k *lateStick) searching() bool {
	return k.w.storage.Mounted(filepath.Join(k.w.machine.Root, layout.ModloopDir)) && k.w.storage.Listeners() > 0
}

func (k *lateStick) Modaliases(known map[string]bool, buses ...string) ([]string, error) {
	if k.heard && k.searching() {
		return []string{stickAlias}, nil
	}
	return nil, nil
}

func (k *lateStick) Insert(file, parameters string) error {
	if strings.Contains(file, "usb-storage") {
		k.w.storage.Plug(mounts.Device{Name: "vdb"}, make([]byte, 4096))
		k.w.storage.Plug(mounts.Device{Name: "vdb2", Disk: "vdb", Partition: 2}, ext4(layout.Secret))
		k.w.storage.Send(mounts.Uevent{Action: "add", Subsystem: "block", Devname: "vdb2"})
	}
	return k.Modules.Insert(file, parameters)
}

func TestAStickWithSecretsThatComesLateGetsItsDriver(t *testing.T) {
	for name, heard := range map[string]bool{"by its event": false, "by a look": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.storage.Unplug("vda2")
			kernelModules := &lateStick{w: w, heard: heard}
			w.machine.Modules = kernelModules
			w.storage.OnMount = func(m mounts.Mount) error {
				if err := w.mount(m); err != nil || !strings.HasSuffix(m.Target, layout.ModloopDir) {
					return err
				}
				return writeAll(filepath.Join(m.Target, "modules", kernel), map[string]string{
					"modules.dep": "kernel/usb-storage.ko:\n", "modules.alias": "alias usb:v1234p* usb_storage\n"})
			}
			told := make(chan bool)
			go func() {
				defer close(told)
				for !heard && t.Context().Err() == nil {
					if kernelModules.searching() {
						w.storage.Send(mounts.Uevent{Action: "add", Subsystem: "usb", Modalias: stickAlias})
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
			err := w.boot("psyopsos=psyopsOS-A psyopsos.wait=4")
			<-told
			if err != nil {
				t.Fatal(err)
			}
			if node := w.fact("nodename"); node != "demo" {
				t.Errorf("this node is %v; warnings:\n%s", node, w.warnings())
			}
		})
	}
}

// slowDrivers is a kernel whose drivers in the modloop take until the volume
// was mounted, or for ever.
type slowDrivers struct {
	boot.Modules
	w       *world
	patient time.Duration
}

func (k slowDrivers) Modaliases(known map[string]bool, buses ...string) ([]string, error) {
	if !k.w.storage.Mounted(filepath.Join(k.w.machine.Root, layout.ModloopDir)) {
		return nil, nil
	}
	mounted := func(call string) bool { return strings.HasPrefix(call, "Mount /dev/vda2 ") }
	for end := time.Now().Add(k.patient); !slices.ContainsFunc(k.w.storage.Calls(), mounted); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return nil, errors.New("psyops-secret waits for drivers")
		}
	}
	return nil, nil
}

func TestSecretsOnTheBootedDiskWaitForNoDriver(t *testing.T) {
	w := newWorld(t)
	w.machine.Modules = slowDrivers{w.modules, w, 10 * time.Second}
	if err := w.boot("psyopsos=psyopsOS-A psyopsos.disk=0aaa"); err != nil {
		t.Fatal(err)
	}
	if node := w.fact("nodename"); node != "demo" || strings.Contains(w.warnings(), "waits for drivers") {
		t.Errorf("this node is %v; warnings:\n%s", node, w.warnings())
	}
}

func TestSecretsOnADiskThatComesLaterAreNamedAndNotUsed(t *testing.T) {
	w := newWorld(t)
	w.machine.Modules = lateDisk{w.modules, w}
	if err := w.boot("psyopsos=psyopsOS-A psyopsos.disk=0aaa"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(w.warnings(), "psyops-secret is also on vdb2; using vda2"); got != 1 {
		t.Errorf("named %d times in %q, want once", got, w.warnings())
	}
}

func writeAll(dir string, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
