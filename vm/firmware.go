package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"psyopsOS/step"
)

// Firmware names the two files of a UEFI firmware. The variables are copied
// before each run; both files stay as they are.
type Firmware struct {
	Code string
	Vars string
}

// firmwarePlaces are where distributions put OVMF without Secure Boot, the
// larger flash first: distributions are about to drop the 2 MiB one.
func firmwarePlaces() []Firmware {
	return []Firmware{
		{"usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"},                 // Debian, Ubuntu
		{"usr/share/OVMF/OVMF_CODE.fd", "usr/share/OVMF/OVMF_VARS.fd"},                       // older Debian, Alpine
		{"usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"},             // Fedora
		{"usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"},         // Arch
		{"usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "usr/share/edk2-ovmf/x64/OVMF_VARS.fd"},     // older Arch
		{"usr/share/qemu/ovmf-x86_64-4m-code.bin", "usr/share/qemu/ovmf-x86_64-4m-vars.bin"}, // openSUSE
		{"usr/share/qemu/edk2-x86_64-code.fd", "usr/share/qemu/edk2-i386-vars.fd"},           // QEMU's own
	}
}

// FindFirmware looks for OVMF below root, which is os.DirFS("/") in earnest.
func FindFirmware(root fs.FS) (Firmware, error) {
	var tried []string
	for _, f := range firmwarePlaces() {
		_, noCode := fs.Stat(root, f.Code)
		_, noVars := fs.Stat(root, f.Vars)
		if err := errors.Join(noCode, noVars); err == nil {
			return Firmware{"/" + f.Code, "/" + f.Vars}, nil
		}
		tried = append(tried, "/"+f.Code)
	}
	return Firmware{}, step.WithHint(fmt.Errorf("no UEFI firmware for the virtual machine: %s: none is there with its variables beside it",
		strings.Join(tried, ", ")),
		"install the package ovmf (Debian, Ubuntu, Alpine) or edk2-ovmf (Fedora, Arch)")
}
