package vm

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A property of a device. The value is a string, an int or a bool: QMP is
// strict about types where the command line is not.
type property struct {
	name  string
	value any
}

func diskArgs(disks []Disk, dir string) []string {
	a := controllers(disks)
	for i, d := range disks {
		if d.WriteRate > 0 {
			a = append(a, "-object", fmt.Sprintf("throttle-group,id=rate-%s,x-bps-write=%d", d.ID, d.WriteRate))
		}
		a = append(a, "-blockdev", d.blockdev(dir))
		if !d.Absent {
			a = append(a, "-device", commandLine(d.device(i, disks)))
		}
	}
	return a
}

// controllers are what the disks are plugged into, each once.
func controllers(disks []Disk) []string {
	var a []string
	seen := map[Bus]bool{}
	for i, d := range disks {
		switch {
		case d.onPCI() && d.Hotplug:
			a = append(a, "-device", fmt.Sprintf("pcie-root-port,id=port-%s,chassis=%d,slot=%d", d.ID, i+1, i+1))
		case d.Bus == SD:
			a = append(a, "-device", "sdhci-pci")
		case d.Bus == USB && !seen[USB]:
			a = append(a, "-device", "qemu-xhci,id=xhci")
		case d.Bus == SCSI && !seen[SCSI]:
			a = append(a, "-device", "virtio-scsi-pci,id=scsi")
		}
		seen[d.Bus] = true
	}
	return a
}

func (d Disk) onPCI() bool { return d.Bus == Virtio || d.Bus == NVMe }

// blockdev is the file behind the disk. It stays when the device is unplugged,
// so that the same stick can come back.
func (d Disk) blockdev(dir string) string {
	switch {
	case d.Snapshot:
		// Nothing of it outlives the run: no flush is worth its time.
		return fmt.Sprintf("driver=qcow2,node-name=%s,cache.no-flush=on,file.driver=file,file.filename=%s",
			d.node(), value(d.overlay(dir)))
	case d.ReadOnly:
		return fmt.Sprintf("driver=%s,node-name=%s,read-only=on,file.driver=file,file.filename=%s",
			d.Format, d.node(), value(d.Path))
	}
	if d.WriteLog != "" {
		return fmt.Sprintf("driver=blklogwrites,node-name=%s,log-sector-size=512,log-super-update-interval=1,"+
			"file.driver=raw,file.file.driver=file,file.file.filename=%s,log.driver=file,log.filename=%s", d.node(), value(d.Path), value(d.WriteLog))
	}
	if d.WriteRate > 0 {
		return fmt.Sprintf("driver=throttle,node-name=%s,throttle-group=rate-%s,file.driver=raw,file.file.driver=file,file.file.filename=%s",
			d.node(), d.ID, value(d.Path))
	}
	noFlush := ""
	if d.NoFlush {
		noFlush = "cache.no-flush=on,"
	}
	return fmt.Sprintf("driver=%s,node-name=%s,%sfile.driver=file,file.filename=%s", d.Format, d.node(), noFlush, value(d.Path))
}

func (d Disk) node() string              { return "node-" + d.ID }
func (d Disk) overlay(dir string) string { return filepath.Join(dir, d.ID+".qcow2") }

// device is the disk itself, the i-th of disks.
func (d Disk) device(i int, disks []Disk) []property {
	driver := map[Bus]string{Virtio: "virtio-blk-pci", AHCI: "ide-hd", NVMe: "nvme",
		USB: "usb-storage", SD: "sd-card", SCSI: "scsi-hd"}[d.Bus]
	p := []property{{"driver", driver}, {"id", d.ID}, {"drive", d.node()}}
	switch d.Bus {
	case AHCI:
		p = append(p, property{"bus", fmt.Sprintf("ide.%d", countBefore(AHCI, i, disks))})
	case NVMe:
		p = append(p, property{"serial", d.ID})
	case USB:
		p = append(p, property{"bus", "xhci.0"}, property{"removable", true})
	case SCSI:
		p = append(p, property{"bus", "scsi.0"})
	}
	if d.onPCI() && d.Hotplug {
		p = append(p, property{"bus", "port-" + d.ID})
	}
	if d.Serial != "" {
		p = append(p, property{"serial", d.Serial})
	}
	if d.BootIndex > 0 {
		p = append(p, property{"bootindex", d.BootIndex})
	}
	return p
}

func countBefore(b Bus, i int, disks []Disk) int {
	n := 0
	for _, d := range disks[:i] {
		if d.Bus == b {
			n++
		}
	}
	return n
}

// commandLine renders a device for -device, of which the driver comes first
// and without its name.
func commandLine(p []property) string {
	words := []string{p[0].value.(string)}
	for _, q := range p[1:] {
		v := fmt.Sprint(q.value)
		if b, ok := q.value.(bool); ok {
			v = map[bool]string{true: "on", false: "off"}[b]
		}
		words = append(words, q.name+"="+value(v))
	}
	return strings.Join(words, ",")
}

// qmpArguments renders a device for device_add.
func qmpArguments(p []property) map[string]any {
	m := map[string]any{}
	for _, q := range p {
		m[q.name] = q.value
	}
	return m
}
