//go:build qemu

package qemutests

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/qemu-tests/blocklog"
)

// A crashDisk is the disk of a recording, in every state that is asked for.
// Files of a state are read by GRUB's own file system code (grub-fstest), from
// a scratch copy of the image into which the state's few sectors are written
// and taken out again. There are as many copies as processors.
type crashDisk struct {
	t       *testing.T
	image   *os.File // as it was before the first write; nobody writes to it
	parts   map[layout.Label]mounts.Partition
	scratch chan *os.File
}

func newCrashDisk(t *testing.T, image string) *crashDisk {
	t.Helper()
	open := func(name string, flags int) *os.File {
		f, err := os.OpenFile(name, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	d := &crashDisk{t: t, image: open(image, os.O_RDONLY), parts: map[layout.Label]mounts.Partition{}, scratch: make(chan *os.File, runtime.NumCPU())}
	for _, v := range layout.Volumes() {
		d.parts[v.Label] = partition(t, image, v.Label)
	}
	for n := range cap(d.scratch) {
		name := filepath.Join(t.TempDir(), fmt.Sprint("scratch", n))
		run(t, "cp", "--sparse=always", image, name)
		d.scratch <- open(name, os.O_RDWR)
	}
	return d
}

// in is the part of a state that lies on a volume.
func (d *crashDisk) in(label layout.Label, o blocklog.Overlay) blocklog.Overlay {
	p := d.parts[label]
	return o.In(p.Start/blocklog.SectorSize, (p.Start+p.Size)/blocklog.SectorSize)
}

// volume reads a volume of a state.
func (d *crashDisk) volume(label layout.Label, o blocklog.Overlay) *io.SectionReader {
	p := d.parts[label]
	return io.NewSectionReader(o.Over(d.image, p.Start), 0, p.Size)
}

// with looks at a state on one of the scratch copies.
func (d *crashDisk) with(o blocklog.Overlay, look func(grub)) {
	f := <-d.scratch
	defer func() { d.scratch <- f }()
	for offset, data := range o.Runs {
		if _, err := f.WriteAt(data, offset); err != nil {
			d.t.Error(err)
		}
	}
	look(grub{f.Name(), d})
	for offset, data := range o.Runs {
		if _, err := d.image.ReadAt(data, offset); err != nil {
			d.t.Error(err)
		}
		if _, err := f.WriteAt(data, offset); err != nil {
			d.t.Error(err)
		}
	}
}

// A grub is GRUB's file system code before a disk.
type grub struct {
	image string
	disk  *crashDisk
}

func (g grub) runs(command string, label layout.Label, path string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("grub-fstest", g.image, command, fmt.Sprintf("(loop0,gpt%d)/%s", g.disk.parts[label].Number, path))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// cat is a file's content, nil where GRUB cannot read the whole of it.
func (g grub) cat(label layout.Label, path string) []byte {
	text, err := g.runs("cat", label, path)
	if err != nil {
		return nil
	}
	return append([]byte{}, text...)
}

// known remembers what volumes' states come to, by their sectors: most states
// of a disk differ in one volume only, or not at all.
type known[V any] struct {
	mu    sync.Mutex
	all   map[any]V
	asked int
}

func (k *known[V]) get(key any, find func() V) V {
	k.mu.Lock()
	k.asked++
	v, ok := k.all[key]
	k.mu.Unlock()
	if ok {
		return v
	}
	v = find()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[any]V{}
	}
	k.all[key] = v
	return v
}

// union is what lies on either of two volumes.
func union(parts ...blocklog.Overlay) blocklog.Overlay {
	all := blocklog.Overlay{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}
