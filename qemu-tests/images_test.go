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

// buildImages builds testos with one of Debian's kernels.
func buildImages(kernel string) (Images, error) {
	side := map[string]string{"cloud": "160", "generic": "320"}[kernel]
	id := map[string]string{"generic": "generic"}[kernel]
	return buildVariant(variantImages{Kernel: id}, side, "--kernel", kernel)
}

// variantImages are the words by which tk tells the stages of one userland and
// kernel from those of others; empty for the default.
type variantImages struct{ Userland, Kernel string }

func (v variantImages) named(name string, words ...string) string {
	for _, word := range words {
		if word != "" {
			name += "-" + word
		}
	}
	return name
}

// buildVariant runs tk as a user would. The sides are small, so that a test may
// copy the disk, and the loader's settings ask for events.
func buildVariant(v variantImages, side string, flags ...string) (Images, error) {
	building.Lock()
	defer building.Unlock()
	tk, err := builtTk()
	if err != nil {
		return Images{}, err
	}
	cmd := exec.Command(tk, append([]string{"mkimage", "diskimg", "--out", out,
		"--append", "psyopsos.events=" + vm.EventsDevice,
		"--size", "psyopsOS-A=" + side, "--size", "psyopsOS-B=" + side, "--size", "psyops-secret=16"}, flags...)...)
	cmd.Env = append(os.Environ(), "PSYOPSOS_CONFIG=none") // a developer's own settings
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return Images{}, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	stages, err := filepath.Abs(filepath.Join(out, "stages"))
	if err != nil {
		return Images{}, err
	}
	kernel := filepath.Join(stages, v.named("kernel", v.Kernel))
	version, err := os.ReadFile(filepath.Join(kernel, layout.KernelVersion))
	if err != nil {
		return Images{}, err
	}
	return Images{
		Kernel:        filepath.Join(kernel, layout.Kernel),
		Initramfs:     filepath.Join(stages, v.named("initramfs", v.Kernel), layout.Initramfs),
		Modloop:       filepath.Join(kernel, layout.Modloop),
		Squashfs:      filepath.Join(stages, v.named("squashfs", v.Userland), layout.Squashfs),
		Disk:          filepath.Join(stages, v.named("diskimg", v.Userland, v.Kernel), v.named("psyopsOS", v.Userland, v.Kernel)+".img"),
		KernelVersion: strings.TrimSpace(string(version)),
	}, nil
}
