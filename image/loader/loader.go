// Package loader makes psyopsOS's boot loader: GRUB with its script in a
// memdisk, as one EFI program that is never rewritten at run time, and the
// list of files for the two EFI system partitions.
//
// The script is in script/*.cfg. It obeys the state files of package
// bootstate, chooses the side as bootstate.Next does, and hands the kernel the
// words psyopsos=, psyopsos.boot=, psyopsos.disk= and psyopsos.loader=. It
// writes TRIES.ENV and nothing else. The package reads GRUB's modules and its
// small font from the build machine (Debian packages grub-efi-amd64-bin and
// grub-common) and runs grub-mkimage.
package loader

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"psyopsOS/step"
)

// Where GRUB's parts are on a Debian build machine.
const (
	DefaultModules = "/usr/lib/grub/x86_64-efi"
	DefaultFont    = "/usr/share/grub/ascii.pf2"
)

// Options say which loader to build.
type Options struct {
	Version string    // psyopsos.loader=; of the EFI system partition's release
	Time    time.Time // shown in the menu
	Modules string    // folder of GRUB's modules; empty: DefaultModules
	Font    string    // empty: DefaultFont
}

//go:embed script/*.cfg
var scripts embed.FS

// modules lists what the script and its commands need. GRUB loads none at
// run time.
func modules() []string {
	return strings.Fields(`
		part_gpt fat ext2 memdisk tar
		normal configfile test echo true regexp eval read minicmd cat ls sleep
		loadenv probe hashsum gcry_sha256 gettext
		serial terminal terminfo gfxterm font all_video efi_gop efi_uga
		linux boot chain efifwsetup reboot halt`)
}

// prefix is where the script lies in the memdisk.
const prefix = "boot/grub"

// Build makes BOOTX64.EFI. The same options and the same GRUB give the same
// bytes.
func Build(ctx context.Context, o Options) ([]byte, error) {
	files, err := o.script()
	if err != nil {
		return nil, err
	}
	return o.build(ctx, files)
}

// A file lies in the memdisk.
type file struct {
	path string
	data []byte
}

// script lists the memdisk's files.
func (o Options) script() ([]file, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9._-]+$`).MatchString(o.Version) {
		return nil, fmt.Errorf("build the loader: version %q: want letters, digits and ._-", o.Version)
	}
	font, err := os.ReadFile(orDefault(o.Font, DefaultFont))
	if err != nil {
		return nil, step.WithHint(fmt.Errorf("build the loader: the menu's font: %w", err), "install grub-common")
	}
	files := []file{{prefix + "/font.pf2", font}}
	entries, err := scripts.ReadDir("script")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := scripts.ReadFile("script/" + e.Name())
		if err != nil {
			return nil, err
		}
		files = append(files, file{prefix + "/" + e.Name(), text})
	}
	version := fmt.Sprintf("set loader_version=%s\nset loader_time=%q\n", o.Version, o.Time.UTC().Format("2006-01-02 15:04:05 UTC"))
	files = append(files,
		file{prefix + "/version.cfg", []byte(version)},
		file{prefix + "/locale/quiet.mo", quiet()},
	)
	return append(files, names()...), nil
}

// names are the folders by which side.cfg finds out what BOOT.SUM names.
func names() []file {
	var files []file
	for _, path := range []string{"both/kernel", "both/initramfs", "kernel-only/kernel", "initramfs-only/initramfs"} {
		files = append(files, file{prefix + "/names/" + path, []byte("no kernel and no initramfs\n")})
	}
	return files
}

// build makes the EFI program from the memdisk's files.
func (o Options) build(ctx context.Context, files []file) (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "psyopsOS-loader-")
	if err != nil {
		return nil, fmt.Errorf("build the loader: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	memdisk, err := tarOf(files)
	if err != nil {
		return nil, err
	}
	in, out := filepath.Join(dir, "memdisk.tar"), filepath.Join(dir, "BOOTX64.EFI")
	if err := os.WriteFile(in, memdisk, 0o600); err != nil {
		return nil, fmt.Errorf("build the loader: %w", err)
	}
	args := append([]string{"-O", "x86_64-efi", "-d", orDefault(o.Modules, DefaultModules),
		"-p", "(memdisk)/" + prefix, "-m", in, "-o", out}, modules()...)
	cmd := exec.CommandContext(ctx, "grub-mkimage", args...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, step.WithHint(fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, text), "install grub-common and grub-efi-amd64-bin")
	}
	return os.ReadFile(out)
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
