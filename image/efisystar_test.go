package image

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
)

func testEFISysTar(t *testing.T) EFISysTarOptions {
	t.Helper()
	_, secret := testKey(t, "ours")
	in := t.TempDir()
	return EFISysTarOptions{Version: testVersion, Key: secret, Now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Dir: t.TempDir(),
		Files: []disk.File{{Path: layout.LoaderSpare, Data: []byte("spare")}, {Path: layout.Loader, Data: []byte("loader")}},
		Programs: []EFIProgram{{"tcshell.efi", "TianoCore EFI shell", writeFile(t, in, "s", "shell")},
			{"memtest64.efi", "Memtest86+ EFI (64-bit)", writeFile(t, in, "m", "memtest")}}}
}

func TestMinisignVerifiesTheESPTarAndGNUTarListsIt(t *testing.T) {
	rel, err := EFISysTar(context.Background(), testEFISysTar(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	public, _ := testKey(t, "ours")
	pub := writeFile(t, t.TempDir(), "pub", string(public.Text()))
	want := "type=psyopsESP filename=psyopsESP.x86_64-uefi.20261121-101500.tar version=20261121-101500 efi_programs=tcshell.efi,memtest64.efi size="
	if out := judge(t, "minisign", "-V", "-p", pub, "-m", rel.Tar); !strings.Contains(out, want) {
		t.Errorf("minisign says %q, want %q in it", out, want)
	}
	if got, want := judge(t, "tar", "-tf", rel.Tar), "manifest.json\nEFI/BOOT/BOOTX64.EFI\nEFI/BOOT/SPARE.EFI\nmemtest64.efi\ntcshell.efi\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := judge(t, "tar", "-xOf", rel.Tar, "manifest.json")
	if want := `{"version":1,"extra_programs":{"/memtest64.efi":"Memtest86+ EFI (64-bit)","/tcshell.efi":"TianoCore EFI shell"}}` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTheESPTarIsTheSameTwice(t *testing.T) {
	o := testEFISysTar(t)
	one, err1 := EFISysTar(context.Background(), o, nil)
	o.Dir = t.TempDir()
	two, err2 := EFISysTar(context.Background(), o, nil)
	a, err3 := os.ReadFile(one.Tar)
	b, err4 := os.ReadFile(two.Tar)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || !bytes.Equal(a, b) {
		t.Errorf("differs, or %v %v %v %v", err1, err2, err3, err4)
	}
}

func TestEFISysTarRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*EFISysTarOptions)
		want  string
	}{
		{"the boot loader's state", func(o *EFISysTarOptions) { o.Files = append(o.Files, disk.File{Path: layout.State1}) }, "each disk's own"},
		{"no loader", func(o *EFISysTarOptions) { o.Files = nil }, "no loader"},
		{"a file twice", func(o *EFISysTarOptions) { o.Files = append(o.Files, o.Files[0]) }, "twice"},
		{"a version in the future", func(o *EFISysTarOptions) { o.Now = time.Unix(0, 0) }, "in the future"},
		{"a title that GRUB would interpret", func(o *EFISysTarOptions) { o.Programs[0].Title = "$(reboot)" }, "interpret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testEFISysTar(t)
			tt.spoil(&o)
			if _, err := EFISysTar(context.Background(), o, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestProgramsAreFoundWhereDistributionsPutThem(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		want  []EFIProgram
	}{
		{"Debian's memtest", []string{"boot/memtest86+x64.efi"}, []EFIProgram{{"memtest64.efi", "Memtest86+ EFI (64-bit)", "/m/boot/memtest86+x64.efi"}}},
		{"two names of one program give one", []string{"boot/memtest86+/memtest.efi", "boot/memtest86+x64.efi", "usr/share/efi-shell-x64/shellx64.efi"},
			[]EFIProgram{{"memtest64.efi", "Memtest86+ EFI (64-bit)", "/m/boot/memtest86+x64.efi"},
				{"tcshell.efi", "TianoCore EFI shell", "/m/usr/share/efi-shell-x64/shellx64.efi"}}},
		{"none", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for _, name := range tt.files {
				root[name] = &fstest.MapFile{}
			}
			if got := EFIPrograms(root, "/m"); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
