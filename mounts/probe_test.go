package mounts_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"psyopsOS/mounts"
)

const mib = 1 << 20

// image runs real tools on a new file of that size and gives its contents. In
// the shell commands IMG stands for the file, DIR for an empty folder.
func image(t testing.TB, size int64, commands ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	name, empty := filepath.Join(dir, "img"), filepath.Join(dir, "empty")
	if err := errors.Join(os.WriteFile(name, nil, 0o644), os.Truncate(name, size), os.Mkdir(empty, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, line := range commands {
		script := strings.NewReplacer("IMG", name, "DIR", empty).Replace(line)
		tool := exec.Command("sh", "-c", script)
		tool.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK=1")
		if out, err := tool.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestProbeKnowsWhatTheRealToolsMake(t *testing.T) {
	const id = "0e7c5e2a-1111-2222-3333-444455556666"
	for _, test := range []struct {
		name     string
		size     int64
		commands []string
		want     mounts.Filesystem
	}{
		{"ext4 with label", 8 * mib, []string{"mke2fs -q -F -t ext4 -L psyopsOS-A -U " + id + " IMG"},
			mounts.Filesystem{Type: "ext4", Label: "psyopsOS-A", UUID: id, Size: 8 * mib}},
		{"ext4 whose label fills the field", 8 * mib, []string{"mke2fs -q -F -t ext4 -L 0123456789abcdef -U " + id + " IMG"},
			mounts.Filesystem{Type: "ext4", Label: "0123456789abcdef", UUID: id, Size: 8 * mib}},
		{"ext4 with 1 KiB blocks, without journal or label", 8 * mib, []string{"mke2fs -q -F -t ext4 -b 1024 -O ^has_journal -U " + id + " IMG"},
			mounts.Filesystem{Type: "ext4", UUID: id, Size: 8 * mib}},
		{"ext4 that needs recovery", 8 * mib, []string{"mke2fs -q -F -t ext4 -U " + id + " IMG", "debugfs -w -R 'feature needs_recovery' IMG"},
			mounts.Filesystem{Type: "ext4", UUID: id, Size: 8 * mib, NeedsRecovery: true}},
		{"ext3", 8 * mib, []string{"mke2fs -q -F -t ext3 -L old -U " + id + " IMG"},
			mounts.Filesystem{Type: "ext3", Label: "old", UUID: id, Size: 8 * mib}},
		{"ext2", 4 * mib, []string{"mke2fs -q -F -t ext2 -L older -U " + id + " IMG"},
			mounts.Filesystem{Type: "ext2", Label: "older", UUID: id, Size: 4 * mib}},
		{"FAT32", 64 * mib, []string{"mkfs.fat -F 32 -n PSYOPSOSEFI -i 7a09386b IMG"},
			mounts.Filesystem{Type: "vfat", Label: "PSYOPSOSEFI", UUID: "7A09-386B", Size: 64 * mib}},
		{"FAT16", 16 * mib, []string{"mkfs.fat -F 16 -n SIXTEEN -i 00000001 IMG"},
			mounts.Filesystem{Type: "vfat", Label: "SIXTEEN", UUID: "0000-0001", Size: 16 * mib}},
		{"FAT12", 1440 << 10, []string{"mkfs.fat -F 12 -n TWELVE -i 7a09386b IMG"},
			mounts.Filesystem{Type: "vfat", Label: "TWELVE", UUID: "7A09-386B", Size: 1440 << 10}},
		{"FAT32 with 4 KiB sectors", 300 * mib, []string{"mkfs.fat -S 4096 -s 1 -F 32 -n PSYOPSOSEFI -i 7a09386b IMG"},
			mounts.Filesystem{Type: "vfat", Label: "PSYOPSOSEFI", UUID: "7A09-386B", Size: 300 * mib}},
		{"FAT without a label", 4 * mib, []string{"mkfs.fat -F 12 -i 7a09386b IMG"},
			mounts.Filesystem{Type: "vfat", UUID: "7A09-386B", Size: 4 * mib}},
		{"FAT32 labelled later, in a root directory of several clusters", 64 * mib, append([]string{"mkfs.fat -s 1 -F 32 -i 7a09386b IMG"},
			append(manyFolders(40), "mlabel -i IMG ::LATER", "printf 'NO NAME    ' | dd of=IMG bs=1 seek=71 conv=notrunc")...),
			mounts.Filesystem{Type: "vfat", Label: "LATER", UUID: "7A09-386B", Size: 64 * mib}},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := image(t, test.size, test.commands...)
			got, err := mounts.Probe(bytes.NewReader(content))
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
}

func manyFolders(n int) (commands []string) {
	for i := range n {
		commands = append(commands, "mmd -i IMG ::D"+strings.Repeat("X", i%7)+string(rune('A'+i/7)))
	}
	return commands
}

func TestProbeKnowsASquashfs(t *testing.T) {
	content := image(t, 0, "mksquashfs DIR IMG -quiet -no-progress -noappend")
	got, err := mounts.Probe(bytes.NewReader(content))
	if err != nil || got.Type != "squashfs" || got.Size <= 96 || got.Size > int64(len(content)) {
		t.Errorf("got %+v, %v; the file has %d bytes", got, err, len(content))
	}
}

func TestRootDirectoryLabelWinsOverTheBootSectors(t *testing.T) {
	content := image(t, 16*mib, "mkfs.fat -F 16 -n FOLDER -i 7a09386b IMG")
	copy(content[43:], "NO NAME    ")
	if got, err := mounts.Probe(bytes.NewReader(content)); err != nil || got.Label != "FOLDER" {
		t.Errorf("boot sector says NO NAME: got %+v, %v", got, err)
	}
	copy(content[43:], "BOOTSECTOR ")
	if got, err := mounts.Probe(bytes.NewReader(content)); err != nil || got.Label != "FOLDER" {
		t.Errorf("boot sector says another: got %+v, %v", got, err)
	}
	if got, err := mounts.Probe(bytes.NewReader(content[:512])); err != nil || got.Label != "BOOTSECTOR" {
		t.Errorf("only the boot sector can be read: got %+v, %v", got, err)
	}
}

func TestProbeDoesNotKnow(t *testing.T) {
	fat := image(t, 4*mib, "mkfs.fat -F 12 IMG")
	for _, test := range []struct {
		name    string
		content []byte
	}{
		{"nothing", nil},
		{"zeros", make([]byte, 4096)},
		{"a partitioned disk", image(t, 4*mib, "sgdisk -n 1:0:0 IMG")},
		{"an ext journal without a file system", image(t, 8*mib, "mke2fs -q -F -O journal_dev IMG")},
		{"a FAT's boot sector with an impossible sector size", patched(fat, 11, 0, 3)},
		{"a FAT's boot sector with three FATs", patched(fat, 16, 3)},
		{"a FAT's boot sector without its last two bytes", patched(fat, 510, 0, 0)},
		{"half a boot sector", fat[:256]},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := mounts.Probe(bytes.NewReader(test.content)); !errors.Is(err, mounts.ErrUnknown) {
				t.Errorf("got %+v, %v; want ErrUnknown", got, err)
			}
		})
	}
}

func patched(content []byte, at int, with ...byte) []byte {
	changed := bytes.Clone(content)
	copy(changed[at:], with)
	return changed
}

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

func TestProbeTellsAReadErrorFromAnUnknownContent(t *testing.T) {
	if _, err := mounts.Probe(brokenDisk{}); !errors.Is(err, syscall.EIO) || errors.Is(err, mounts.ErrUnknown) {
		t.Errorf("got %v, want EIO", err)
	}
}

func FuzzProbe(f *testing.F) {
	f.Add(image(f, 64*mib, "mkfs.fat -F 32 -n PSYOPSOSEFI IMG")[:1<<16])
	f.Add(image(f, 1*mib, "mkfs.fat -F 12 -n TWELVE IMG")[:1<<14])
	f.Add(image(f, 2*mib, "mke2fs -q -F -t ext4 -L psyopsOS-A IMG")[:4096])
	f.Add(image(f, 0, "mksquashfs DIR IMG -quiet -no-progress -noappend")[:256])
	f.Fuzz(func(t *testing.T, content []byte) {
		fs, err := mounts.Probe(bytes.NewReader(content))
		if (err == nil) != (fs.Type != "") {
			t.Errorf("got %+v with error %v", fs, err)
		}
		if fs.Size < 0 {
			t.Errorf("a size of %d", fs.Size)
		}
	})
}
