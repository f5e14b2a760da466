package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// proveWithin is how long a guest of a dozen instructions may take: it
	// takes some 100 ms, most of it QEMU's own start.
	proveWithin = 10 * time.Second
	// proven is QEMU's exit status when that guest has written 0x10 to the
	// port of isa-debug-exit: twice the value, and one.
	proven = 0x10<<1 | 1
)

// Prove runs a guest of a dozen instructions and says why the accelerator does
// not work here, or nil. That /dev/kvm is there proves nothing: it may not be
// ours to open, and in a virtual machine it may start a guest and hang it.
// What a larger guest does on it is not proved either.
func Prove(ctx context.Context, binary, accel string) (err error) {
	dir, err := os.MkdirTemp("", "psyopsOS-prove-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rom := filepath.Join(dir, "rom")
	if err := os.WriteFile(rom, proofROM(), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, proveWithin, fmt.Errorf("the guest hung for %s", proveWithin))
	defer cancel()
	cmd := exec.CommandContext(ctx, or(binary, "qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35", "-accel", accel, "-m", "16", "-bios", rom, "-device", "isa-debug-exit,iobase=0xf4,iosize=4")
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s does not work: %w", accel, context.Cause(ctx))
	case errors.As(err, &exit) && exit.ExitCode() == proven:
		return nil
	case err == nil:
		err = errors.New("the guest ended without a word")
	}
	return fmt.Errorf("%s does not work: %w: %s", accel, missing(err), strings.TrimSpace(string(said)))
}

// proofROM is what the processor finds at its reset vector.
func proofROM() []byte {
	rom := make([]byte, 64<<10)
	copy(rom, []byte{
		0xb9, 0x00, 0x00, // mov cx, 0
		0xe2, 0xfe, // loop to itself: 65,536 times
		0xba, 0xf4, 0x00, // mov dx, 0xf4
		0xb0, 0x10, // mov al, 0x10
		0xee,       // out dx, al
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to hlt
	})
	copy(rom[len(rom)-16:], []byte{0xea, 0x00, 0x00, 0x00, 0xf0}) // jmp f000:0000
	return rom
}
