//go:build qemu

package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/vm"
)

// out is where the tests' images are built and kept: a second run with nothing
// changed builds nothing.
const out = "../artifacts/tests"

var suite = NewSuite(sync.OnceValues(func() (Images, error) { return buildImages("cloud") }), "../test-logs")

// generic are the images with the kernel for real hardware, which has USB.
var generic = sync.OnceValues(func() (Images, error) { return buildImages("generic") })

func boot(t *testing.T, s Scenario) *Guest {
	t.Helper()
	t.Parallel()
	return suite.Boot(t, s)
}

// building keeps two builds from the one output folder apart.
var building sync.Mutex

// buildImages runs tk as a user would. The sides are small, so that a test may
// copy the disk, and the loader's settings ask for events.
func buildImages(kernel string) (Images, error) {
	building.Lock()
	defer building.Unlock()
	side := map[string]string{"cloud": "160", "generic": "320"}[kernel]
	cmd := exec.Command("go", "run", "psyopsOS/cmd/tk", "mkimage", "diskimg", "--out", out, "--kernel", kernel,
		"--append", "psyopsos.events="+vm.EventsDevice,
		"--size", "psyopsOS-A="+side, "--size", "psyopsOS-B="+side, "--size", "psyops-secret=16")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return Images{}, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	suffix := map[string]string{"cloud": "", "generic": "-generic"}[kernel]
	stages, err := filepath.Abs(filepath.Join(out, "stages"))
	if err != nil {
		return Images{}, err
	}
	version, err := os.ReadFile(filepath.Join(stages, "kernel"+suffix, layout.KernelVersion))
	if err != nil {
		return Images{}, err
	}
	return Images{
		Kernel:        filepath.Join(stages, "kernel"+suffix, layout.Kernel),
		Initramfs:     filepath.Join(stages, "initramfs"+suffix, layout.Initramfs),
		Modloop:       filepath.Join(stages, "kernel"+suffix, layout.Modloop),
		Squashfs:      filepath.Join(stages, "squashfs", layout.Squashfs),
		Disk:          filepath.Join(stages, "diskimg"+suffix, "psyopsOS"+suffix+".img"),
		KernelVersion: strings.TrimSpace(string(version)),
	}, nil
}
