package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
)

// squashfs is as much of one as Probe looks at.
func squashfs() []byte {
	b := make([]byte, 4096)
	copy(b, "hsqs")
	binary.LittleEndian.PutUint32(b[12:], 1<<17) // bytes in a block
	binary.LittleEndian.PutUint16(b[22:], 17)
	binary.LittleEndian.PutUint16(b[28:], 4) // version
	binary.LittleEndian.PutUint64(b[40:], 4096)
	return b
}

func TestBlkidShowsWhatTheBootSees(t *testing.T) {
	storage := mountstest.New()
	storage.Plug(mounts.Device{Name: "vda1", Disk: "vda", Partition: 1, PartUUID: "0aaa"}, squashfs())
	storage.Plug(mounts.Device{Name: "vda2", Disk: "vda", Partition: 2}, make([]byte, 4096))
	var out, complaint bytes.Buffer
	if code := blkid(&out, &complaint, storage, nil); code != 0 {
		t.Errorf("exit code %d, %s", code, &complaint)
	}
	lines := strings.Split(out.String(), "\n")
	if want := `/dev/vda1: LABEL="" UUID="" TYPE="squashfs" PARTUUID="0aaa"`; lines[0] != want {
		t.Errorf("got %s\nwant %s", lines[0], want)
	}
	if !strings.HasPrefix(lines[1], "/dev/vda2: ") || strings.Contains(lines[1], "TYPE") {
		t.Errorf("of a volume that nobody knows it says %s", lines[1])
	}
	storage.Fail["Devices"] = errors.New("no sysfs")
	if code := blkid(&out, &complaint, storage, nil); code != 1 || !strings.Contains(complaint.String(), "no sysfs") {
		t.Errorf("exit code %d, complaint %q", code, &complaint)
	}
	if code := blkid(&out, &complaint, storage, []string{"-x"}); code != 2 {
		t.Errorf("exit code %d for words that mean nothing", code)
	}
}
