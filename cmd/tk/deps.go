package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/step"
)

// A dependency is a program or file of the build machine that tk or its tests
// call, with the Debian package that has it.
type dependency struct {
	program string   // looked up in PATH
	files   []string // or: any of these exists
	pkg     string
	why     string
	test    bool // only the tests need it
}

func dependencies() []dependency {
	return []dependency{
		{program: "qemu-system-x86_64", pkg: "qemu-system-x86", why: "runs virtual machines"},
		{files: []string{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE.fd"},
			pkg: "ovmf", why: "UEFI firmware of virtual machines"},
		{program: "grub-mkimage", pkg: "grub-common", why: "makes the boot loader"},
		{files: []string{"/usr/lib/grub/x86_64-efi/moddep.lst"}, pkg: "grub-efi-amd64-bin", why: "the boot loader's modules"},
		{program: "mksquashfs", pkg: "squashfs-tools", why: "makes squashfs and modloop"},
		{program: "mke2fs", pkg: "e2fsprogs", why: "makes the sides"},
		{program: "mkfs.fat", pkg: "dosfstools", why: "makes the EFI system partitions"},
		{program: "mcopy", pkg: "mtools", why: "fills the EFI system partitions"},
		{program: "depmod", pkg: "kmod", why: "indexes kernel modules"},
		{program: "zstd", pkg: "zstd", why: "compresses"},
		{program: "ssh-keygen", pkg: "openssh-client", why: "logs in to nodes"},
		{program: "minisign", pkg: "minisign", why: "checks signatures beside our own code"},
		{program: "apt-get", pkg: "apt", why: "fetches the packages of testos"},
		{program: "grub-fstest", pkg: "grub-common", why: "reads volumes as the boot loader does", test: true},
		{program: "sgdisk", pkg: "gdisk", why: "judges our partition tables", test: true},
		{program: "nebula-cert", pkg: "nebula", why: "judges our psynet certificates", test: true},
		{program: "age-keygen", pkg: "age", why: "judges our age keys and the store", test: true},
		{program: "pass", pkg: "pass", why: "a store of secrets beside our own", test: true},
		{program: "gpg", pkg: "gnupg", why: "what pass encrypts with", test: true},
		{program: "rpmbuild", pkg: "rpm", why: "makes kernel packages to take apart", test: true},
		{program: "openssl", pkg: "openssl", why: "judges our packages' signatures", test: true},
		{program: "gcc", pkg: "build-essential", why: "Go's race detector needs it", test: true},
		{program: "mandoc", pkg: "mandoc", why: "judges our man pages", test: true},
		{program: "zsh", pkg: "zsh", why: "tries our completions", test: true},
		{program: "fish", pkg: "fish", why: "tries our completions", test: true},
		{program: "sshd", pkg: "openssh-server", why: "a node's other end, for tk deployos", test: true},
		{program: "bzip2", pkg: "bzip2", why: "packs what we unpack", test: true},
		{program: "cpio", pkg: "cpio", why: "judges our initramfs", test: true},
		{program: "xz", pkg: "xz-utils", why: "unpacks kernel packages five times faster than we do"},
	}
}

func (d dependency) present() bool {
	if d.program != "" {
		_, err := exec.LookPath(d.program)
		return err == nil
	}
	return slices.ContainsFunc(d.files, func(f string) bool { _, err := os.Stat(f); return err == nil })
}

func (d dependency) name() string {
	if d.program != "" {
		return d.program
	}
	return filepath.Base(d.files[0])
}

func checkDepsCommand() command {
	return command{
		name: "check-deps", args: "[--install] [--tests] [--json]",
		short:   "look for the programs that tk calls, and install them on Debian",
		example: "tk check-deps --install",
	}.does(checkDeps)
}

func checkDeps(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, "It is silent where nothing is missing. The packages' names are Debian's.")
	install := flags.Bool("install", false, "install what is missing, as root or through sudo")
	tests := flags.Bool("tests", false, "also what only the tests need")
	asJSON := flags.Bool("json", false, "list what is missing as JSON, and install nothing")
	if _, err := flags.parse(e, args, 0, 0); err != nil {
		return err
	}
	var missing []dependency
	for _, d := range dependencies() {
		if (*tests || !d.test) && !d.present() {
			missing = append(missing, d)
		}
	}
	if *asJSON {
		return tellMissing(e.stdout, missing)
	}
	if len(missing) == 0 {
		return nil
	}
	for _, d := range missing {
		fmt.Fprintf(e.stderr, "missing: %-20s %-20s (%s)\n", d.name(), "package "+d.pkg, d.why)
	}
	line := installLine(missing)
	if !*install {
		return errMissing(missing, line)
	}
	sudo, may := mayInstall(ctx)
	if !may {
		return errMissing(missing, line)
	}
	return installPackages(ctx, e.stderr, sudo, missing)
}

// tellMissing lists what is missing for machines: an empty list is good news.
func tellMissing(w io.Writer, missing []dependency) error {
	type row struct {
		Name    string `json:"name"`
		Package string `json:"package"`
		Why     string `json:"why"`
	}
	rows := []row{}
	for _, d := range missing {
		rows = append(rows, row{d.name(), d.pkg, d.why})
	}
	return writeJSON(w, rows)
}

func errMissing(missing []dependency, line string) error {
	what := missing[0].name() + " is"
	if len(missing) > 1 {
		what = fmt.Sprintf("%d programs are", len(missing))
	}
	return step.WithHint(fmt.Errorf("%s missing", what), "type: %s", line)
}

func packages(missing []dependency) []string {
	var names []string
	for _, d := range missing {
		names = append(names, d.pkg)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func installLine(missing []dependency) string {
	return "sudo apt-get update && sudo apt-get install --no-install-recommends " + strings.Join(packages(missing), " ")
}

// mayInstall says whether packages can be installed without asking for a
// password, and with what before the command.
func mayInstall(ctx context.Context) (sudo []string, may bool) {
	if os.Geteuid() == 0 {
		return nil, true
	}
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return []string{"sudo", "-n"}, true
	}
	return nil, false
}

func installPackages(ctx context.Context, w io.Writer, sudo []string, missing []dependency) error {
	// A fresh machine has no package lists.
	noninteractive := []string{"env", "DEBIAN_FRONTEND=noninteractive"}
	for _, words := range [][]string{
		{"apt-get", "update", "-qq"},
		append([]string{"apt-get", "install", "-qq", "-y", "--no-install-recommends"}, packages(missing)...),
	} {
		words = slices.Concat(sudo, noninteractive, words)
		fmt.Fprintf(w, "installing: %s\n", strings.Join(words, " "))
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Run(); err != nil {
			return step.WithHint(fmt.Errorf("%s: %w", strings.Join(words, " "), err), "type: %s", installLine(missing))
		}
	}
	for _, d := range missing {
		if !d.present() {
			return fmt.Errorf("%s is still missing after package %s was installed", d.name(), d.pkg)
		}
	}
	return nil
}
