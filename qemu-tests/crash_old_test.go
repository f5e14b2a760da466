//go:build qemu

package qemutests

import (
	"fmt"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/qemu-tests/blocklog"
)

// How the first psyopsOS switched and replaced its loader: on a mounted vfat a
// new file, a backup, a rename, sync. The judge must find broken states there.
const (
	oldWay       = "the old way: grub.cfg"
	oldLoaderWay = "the old way: the loader"
)

// oldConfig prints a grub.cfg of the size that it had.
func oldConfig(side string) string {
	return "for i in $(seq 60); do echo \"menuentry psyopsOS-" + side + " line $i\"; done"
}

func oldConfigText(side string) string {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "menuentry psyopsOS-%s line %d\n", side, i+1)
	}
	return b.String()
}

// switchesAsOfOld writes in both of the old ways.
func (r *recorder) switchesAsOfOld(g *Guest) {
	r.t.Helper()
	g.Runs("modprobe -a nls_cp437 nls_iso8859-1 vfat 2>/dev/null; mkdir -p /tmp/esp && mount -t vfat /dev/vda1 /tmp/esp && " + oldConfig("A") + " > /tmp/esp/grub/grub.cfg && sync && umount /tmp/esp && sync")
	g.Runs("blockdev --flushbufs /dev/vda 2>/dev/null; true")
	r.takes("")
	g.Runs("mount -t vfat /dev/vda1 /tmp/esp && cd /tmp/esp/grub && " + oldConfig("B") + " > grub.cfg.new && cp grub.cfg grub.cfg.20260101 && mv grub.cfg.new grub.cfg && sync; cd /; umount /tmp/esp")
	r.takes(oldWay)
	g.Runs("mount -t vfat /dev/vda1 /tmp/esp && cd /tmp/esp/EFI/BOOT && cp SPARE.EFI NEW.EFI && cp BOOTX64.EFI BOOTX64.OLD && mv NEW.EFI BOOTX64.EFI && sync; cd /; umount /tmp/esp")
	r.takes(oldLoaderWay)
}

// judgesOldWay says what is wrong after an old switch: the menu is a file,
// which must be the old one or the new one.
func (j *crashJudge) judgesOldWay(o blocklog.Overlay) string {
	part := j.in(layout.EFISystem, o)
	return j.old.get([2]any{oldWay, part.Key()}, func() (wrong string) {
		j.with(part, func(g grub) {
			text := g.cat(layout.EFISystem, layout.LegacyGrubCfg)
			if got := string(text); text == nil {
				wrong = "there is no grub.cfg that GRUB can read"
			} else if got != oldConfigText("A") && got != oldConfigText("B") {
				wrong = "grub.cfg is neither the old one nor the new one"
			}
		})
		return wrong
	})
}

// judgesOldLoader wants a whole loader on the first partition: the first
// psyopsOS has no second one.
func (j *crashJudge) judgesOldLoader(o blocklog.Overlay) string {
	part := j.in(layout.EFISystem, o)
	return j.old.get([2]any{oldLoaderWay, part.Key()}, func() (wrong string) {
		j.with(part, func(g grub) {
			loader := g.cat(layout.EFISystem, layout.Loader)
			if loader == nil {
				wrong = "there is no loader that can be read"
			} else if !j.good[contentSum(loader)] {
				wrong = "the loader is neither the old one nor the new one"
			}
		})
		return wrong
	})
}
