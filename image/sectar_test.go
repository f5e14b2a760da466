package image

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/image/disk"
)

func TestSecretsGoThroughTheirTarAndStayPrivate(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "nodename", "demo\n")
	writeFile(t, dir, "age.key", "AGE-SECRET-KEY-1\n")
	out := filepath.Join(t.TempDir(), "sec.tar")
	if err := SecTar(context.Background(), dir, out, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	got, err := ReadSecTar(out)
	want := []disk.File{{Path: "age.key", Data: []byte("AGE-SECRET-KEY-1\n"), Mode: 0o600}, {Path: "nodename", Data: []byte("demo\n"), Mode: 0o600}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if out := judge(t, "tar", "--numeric-owner", "-tvf", out); strings.Count(out, "-rw------- 0/0 ") != 2 {
		t.Errorf("GNU tar lists %s", out)
	}
}

func TestSecTarRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"a file in a folder below", func(t *testing.T, dir string) { writeFile(t, dir, "a/key", "x") }, "flat"},
		{"a link", func(t *testing.T, dir string) {
			if err := os.Symlink("/etc/shadow", filepath.Join(dir, "age.key")); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
		{"more than goes into RAM", func(t *testing.T, dir string) {
			if err := os.Truncate(writeFile(t, dir, "big", ""), maxSecret+1); err != nil {
				t.Fatal(err)
			}
		}, "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "sec.tar")
			tt.make(t, dir)
			if err := SecTar(context.Background(), dir, out, time.Unix(1, 0)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("a tar is there")
			}
		})
	}
}

func FuzzReadSecTar(f *testing.F) {
	f.Add([]byte("not a tar"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := readSecTar(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, file := range files {
			if strings.ContainsAny(file.Path, `/\`) || strings.HasPrefix(file.Path, ".") || file.Path == "" {
				t.Errorf("took %q", file.Path)
			}
		}
	})
}
