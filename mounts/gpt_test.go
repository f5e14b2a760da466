package mounts_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"

	"psyopsOS/mounts"
)

const (
	espType   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	linuxType = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	diskID    = "11111111-2222-3333-4444-555555555555"
	sideID    = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
)

func sgdisk(t testing.TB) []byte {
	return image(t, 8*mib, "sgdisk -U "+diskID+" -n 1:2048:+1M -t 1:ef00 -u 1:deadbeef-0000-1111-2222-333333333333 -c 1:'EFI täst' "+
		"-n 3:0:0 -t 3:8300 -u 3:"+sideID+" IMG")
}

func wantTable() mounts.GPT {
	return mounts.GPT{DiskUUID: diskID, Partitions: []mounts.Partition{
		{Number: 1, Type: espType, UUID: "deadbeef-0000-1111-2222-333333333333", Name: "EFI täst", Start: 1 * mib, Size: 1 * mib},
		{Number: 3, Type: linuxType, UUID: sideID, Start: 2 * mib, Size: 6*mib - 33*512},
	}}
}

func TestReadGPTReadsSgdisksTable(t *testing.T) {
	disk := sgdisk(t)
	want := wantTable()
	got, err := mounts.ReadGPT(bytes.NewReader(disk), int64(len(disk)), 512)
	// sgdisk aligns the end to 1 MiB where it may.
	want.Partitions[1].Size = got.Partitions[len(got.Partitions)-1].Size
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestReadGPTFallsBackToTheBackup(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(disk []byte)
	}{
		{"the primary header is zeroed", func(d []byte) { clear(d[512:1024]) }},
		{"a bit of the primary header is flipped", func(d []byte) { d[512+60] ^= 1 }},
		{"a bit of the primary entries is flipped", func(d []byte) { d[1024+20] ^= 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			disk := sgdisk(t)
			want, err := mounts.ReadGPT(bytes.NewReader(disk), int64(len(disk)), 512)
			if err != nil {
				t.Fatal(err)
			}
			want.FromBackup = true
			test.damage(disk)
			got, err := mounts.ReadGPT(bytes.NewReader(disk), int64(len(disk)), 512)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

func TestReadGPTRefuses(t *testing.T) {
	good := makeGPT(512, 128, 128, nil)
	for _, test := range []struct {
		name       string
		disk       []byte
		sectorSize int
	}{
		{"an empty disk", nil, 512},
		{"a disk of zeros", make([]byte, 1*mib), 512},
		{"a file system", image(t, 2*mib, "mke2fs -q -F IMG"), 512},
		{"the wrong sector size", good, 4096},
		{"an impossible sector size", good, 100},
		{"both headers damaged", patched(patched(good, 512, 'X'), len(good)-512, 'X'), 512},
		{"entries that are smaller than any", makeGPT(512, 128, 64, nil), 512},
		{"more entries than fit anywhere", makeGPT(512, 1<<20, 128, nil), 512},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := mounts.ReadGPT(bytes.NewReader(test.disk), int64(len(test.disk)), test.sectorSize); err == nil {
				t.Errorf("got %+v and no error", got)
			}
		})
	}
}

func TestReadGPTSaysThatThereIsNone(t *testing.T) {
	if _, err := mounts.ReadGPT(bytes.NewReader(make([]byte, mib)), mib, 512); !errors.Is(err, mounts.ErrNoGPT) {
		t.Errorf("got %v, want ErrNoGPT", err)
	}
	if _, err := mounts.ReadGPT(brokenDisk{}, mib, 512); err == nil || errors.Is(err, mounts.ErrNoGPT) {
		t.Errorf("a disk that cannot be read: got %v, want its own error", err)
	}
}

func TestReadGPTReadsSectorsOf4096Bytes(t *testing.T) {
	disk := makeGPT(4096, 16, 256, [][2]uint64{{6, 9}, {0, 0}, {10, 10}})
	got, err := mounts.ReadGPT(bytes.NewReader(disk), int64(len(disk)), 4096)
	want := []mounts.Partition{{Number: 1, Start: 6 * 4096, Size: 4 * 4096}, {Number: 3, Start: 10 * 4096, Size: 4096}}
	for i := range got.Partitions {
		got.Partitions[i].Type, got.Partitions[i].UUID = "", ""
	}
	if err != nil || !reflect.DeepEqual(got.Partitions, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestReadGPTLeavesOutWhatLiesBeyondTheDisk(t *testing.T) {
	disk := makeGPT(512, 128, 128, [][2]uint64{{40, 50}, {60, 55}, {60, 1 << 40}, {1 << 63, 1<<63 + 1}, {70, 80}})
	got, err := mounts.ReadGPT(bytes.NewReader(disk), int64(len(disk)), 512)
	if err != nil || len(got.Partitions) != 2 || got.Partitions[1].Number != 5 {
		t.Errorf("got %+v, %v; want partitions 1 and 5", got, err)
	}
}

// makeGPT makes a disk of 1 MiB with one table, at the start. The places are
// first and last sectors.
func makeGPT(sectorSize, count, entrySize int, places [][2]uint64) []byte {
	disk := make([]byte, mib)
	entries := disk[2*sectorSize:]
	for i, place := range places {
		if place == [2]uint64{} {
			continue
		}
		e := entries[i*entrySize:]
		e[0], e[16] = 1, byte(i+1)
		binary.LittleEndian.PutUint64(e[32:], place[0])
		binary.LittleEndian.PutUint64(e[40:], place[1])
	}
	h := disk[sectorSize:]
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint32(h[12:], 92)
	binary.LittleEndian.PutUint64(h[24:], 1)
	binary.LittleEndian.PutUint64(h[72:], 2)
	binary.LittleEndian.PutUint32(h[80:], uint32(count))
	binary.LittleEndian.PutUint32(h[84:], uint32(entrySize))
	resum(disk, sectorSize)
	return disk
}

// resum makes the checksums right for what the header says.
func resum(disk []byte, sectorSize int) {
	le := binary.LittleEndian
	h := disk[sectorSize:]
	start, size := 2*sectorSize, int(le.Uint32(h[80:]))*int(le.Uint32(h[84:]))
	if size >= 0 && size <= len(disk)-start {
		le.PutUint32(h[88:], crc32.ChecksumIEEE(disk[start:][:size]))
	}
	if size := int(le.Uint32(h[12:])); size >= 92 && size <= sectorSize {
		clear(h[16:20])
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
	}
}

// FuzzReadGPT changes header and entries and makes the checksums right again,
// so that what lies behind them is reached.
func FuzzReadGPT(f *testing.F) {
	good := makeGPT(512, 128, 128, [][2]uint64{{40, 50}, {70, 80}})
	f.Add(good[512:604], good[1024:1536], true)
	f.Add(good[512:604], good[1024:1536], false)
	f.Fuzz(func(t *testing.T, header, entries []byte, sum bool) {
		disk := make([]byte, mib)
		copy(disk[512:1024], header)
		copy(disk[1024:], entries)
		if sum {
			resum(disk, 512)
		}
		table, err := mounts.ReadGPT(bytes.NewReader(disk), mib, 512)
		if err != nil {
			return
		}
		for _, p := range table.Partitions {
			if p.Number < 1 || p.Start < 0 || p.Size <= 0 || p.Start+p.Size > mib {
				t.Errorf("partition %+v of a disk of %d bytes", p, mib)
			}
		}
	})
}
