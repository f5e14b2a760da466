package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sideFiles(t *testing.T) []File {
	dir := filepath.Join(t.TempDir(), "with blanks and 'quotes'")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return []File{
		{Path: "kernel", Source: write(t, filepath.Join(dir, "k"), noise(1, 3*mebibyte))},
		{Path: "initramfs", Data: noise(2, mebibyte+1)},
		{Path: "dtbs/vendor/board.dtb", Data: noise(3, 5000)},
		{Path: "psyopsOS-A", Data: []byte("psyopsOS-A")},
		{Path: "ssh_host_ed25519_key", Data: []byte("secret\n"), Mode: 0o600},
		{Path: "empty", Data: []byte{}},
	}
}

func TestExt4IsCleanAndGRUBReadsTheFilesBack(t *testing.T) {
	files := sideFiles(t)
	image := makeExt4(t, 24*mebibyte, files)
	judge(t, "e2fsck", "-fn", image)
	for _, f := range files {
		if f.Path == "empty" { // grub-fstest says nothing of an empty file
			continue
		}
		source := f.Source
		if source == "" {
			source = write(t, filepath.Join(t.TempDir(), "f"), f.Data)
		}
		judge(t, "grub-fstest", image, "cmp", "/"+f.Path, source)
	}
}

func TestEveryInodeBelongsToRootAndHasItsModeAndTime(t *testing.T) {
	image := makeExt4(t, 24*mebibyte, sideFiles(t))
	for name, mode := range map[string]string{"kernel": "0644", "ssh_host_ed25519_key": "0600", "dtbs": "0755", "dtbs/vendor": "0755",
		"dtbs/vendor/board.dtb": "0644", "/": "0755", "lost+found": "0700", "empty": "0644"} {
		got := judge(t, "debugfs", "-R", "stat "+name, image)
		for _, want := range []string{"Mode:  " + mode, "User:     0   Group:     0",
			fmt.Sprintf(" ctime: 0x%x:00000000", testTime.Unix()), fmt.Sprintf(" mtime: 0x%x:00000000", testTime.Unix()),
			fmt.Sprintf("crtime: 0x%x:00000000", testTime.Unix())} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %s", name, want, got)
			}
		}
	}
}

func TestExt4HasNoFeatureThatGRUB206CannotRead(t *testing.T) {
	image := makeExt4(t, 24*mebibyte, nil)
	got := judge(t, "dumpe2fs", "-h", image)
	for _, line := range []string{
		"Filesystem volume name:   psyopsOS-A", "Filesystem UUID:          11111111-2222-3333-4444-555555555555",
		"Directory Hash Seed:      11111111-2222-3333-4444-555555555556", "Filesystem state:         clean", "Reserved block count:     0",
		"Filesystem features:      has_journal ext_attr dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in %s", line, got)
		}
	}
}

func TestExt4Refuses(t *testing.T) {
	tooBig := []File{{Path: "a", Data: noise(1, 30*mebibyte)}}
	for _, tt := range []struct {
		name  string
		o     func(*Ext4Options)
		files []File
		want  string
	}{
		{"more than fits", func(*Ext4Options) {}, tooBig, "debugfs: "},
		{"a label that is too long", func(o *Ext4Options) { o.Label = "12345678901234567" }, nil, "label"},
		{"a UUID that is none", func(o *Ext4Options) { o.UUID = "random" }, nil, "UUID"},
		{"no time", func(o *Ext4Options) { o.Time = o.Time.AddDate(-100, 0, 0) }, nil, "time"},
		{"a source that is not there", func(*Ext4Options) {}, []File{{Path: "a", Source: "/does/not/exist"}}, "no such file"},
		{"a name with a line break", func(*Ext4Options) {}, []File{{Path: "a\nb"}}, "other characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := ext4Options(24 * mebibyte)
			tt.o(&o)
			err := Ext4(always, filepath.Join(t.TempDir(), "x"), o, tt.files)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestExt4RoomIsEnoughAndNotMuchMore(t *testing.T) {
	for _, mib := range []int{0, 1, 20, 100} {
		files := []File{{Path: "a", Data: noise(1, mib*mebibyte)}}
		for i := range 20 {
			files = append(files, File{Path: fmt.Sprint("b", i), Data: noise(2, 1)})
		}
		room := Ext4Room(int64(mib*mebibyte + 20))
		image := makeExt4(t, room, files)
		judge(t, "e2fsck", "-fn", image)
		if spare := room - int64(mib*mebibyte); spare > 12*mebibyte {
			t.Errorf("%d MiB: %d to spare", mib, spare)
		}
	}
}
