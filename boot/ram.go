package boot

import (
	"context"
	"fmt"
	"os"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/step"
)

// headroom is what the running system needs beside the image before it can do
// anything useful: kernel slabs, OpenRC, sshd and a login took 40 MiB in
// testos; the rest is for the overlay's first files.
const headroom = 96 << 20

// planMemory decides whether the image is copied, and says what it counted.
func (j *journey) planMemory(ctx context.Context, r *step.Reporter) error {
	var need int64 = headroom
	for _, name := range []string{layout.Squashfs, layout.Modloop} {
		info, err := os.Stat(j.source(name))
		if err != nil {
			return j.otherSide(fmt.Errorf("%s is not complete: %w", j.c.Side, err))
		}
		need += info.Size()
	}
	have, err := j.m.Storage.MemAvailable()
	if err != nil {
		return err
	}
	j.toRAM, err = decideToRAM(j.c.ToRAM, need, have)
	if err != nil {
		return err
	}
	r.Fact("toram", j.toRAM, "the image needs %s with headroom, %s are free", step.Bytes(need), step.Bytes(have))
	if !j.toRAM {
		r.Warn(step.WithHint(fmt.Errorf("this system runs from its disk: copying needs %s, %s are free", step.Bytes(need), step.Bytes(have)),
			"do not pull the disk; more memory or a smaller image lets the copy happen"))
		return nil
	}
	return j.m.Storage.Mount(mounts.Mount{
		Source: "psyopsOS", Target: j.m.path(layout.MediaRAM), Type: "tmpfs",
		Flags: mounts.NoDev | mounts.NoSUID | mounts.NoExec,
		// tmpfs would stop at half of the memory by itself.
		Data: fmt.Sprintf("size=%d,mode=0755", need),
	})
}

// decideToRAM is psyopsos.toram=: auto copies where it fits, yes insists, no
// never copies.
func decideToRAM(want ToRAM, need, have int64) (bool, error) {
	switch {
	case want == ToRAMNo:
		return false, nil
	case need <= have:
		return true, nil
	case want == ToRAMYes:
		return false, step.WithHint(fmt.Errorf("copying the image needs %s, %s are free", step.Bytes(need), step.Bytes(have)),
			"boot with psyopsos.toram=auto to run from the disk")
	}
	return false, nil
}
