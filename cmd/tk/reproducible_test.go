package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheFirstDifferenceIsItsCause(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(two string) error
		want   string
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"a byte", func(two string) error {
			return os.WriteFile(filepath.Join(two, "stages/kernel/vmlinuz"), []byte("kerNel"), 0o644)
		},
			"vmlinuz of the stage kernel from byte 3 on"},
		{"a longer file", func(two string) error {
			return os.WriteFile(filepath.Join(two, "stages/disk/img"), []byte("imgs"), 0o644)
		},
			"img of the stage disk from byte 3 on"},
		{"a file too many", func(two string) error { return os.WriteFile(filepath.Join(two, "stages/disk/more"), nil, 0o644) },
			"more of the stage disk"},
		{"a file too few", func(two string) error { return os.Remove(filepath.Join(two, "stages/disk/img")) }, "img of the stage disk"},
		{"a cause and its effect", func(two string) error {
			for name, text := range map[string]string{"kernel/vmlinuz": "K", "disk/img": "I"} {
				if err := os.WriteFile(filepath.Join(two, "stages", name), []byte(text), 0o644); err != nil {
					return err
				}
			}
			return nil
		}, "vmlinuz of the stage kernel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dirs := []string{t.TempDir(), t.TempDir()}
			for _, dir := range dirs {
				for i, name := range []string{"kernel/vmlinuz", "disk/img"} {
					at := filepath.Join(dir, "stages", name)
					record := filepath.Join(filepath.Dir(at), ".stage.json")
					if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
						t.Fatal(err)
					}
					for _, f := range []string{at, record} {
						if err := os.WriteFile(f, []byte(strings.Split("kernel img", " ")[i]), 0o644); err != nil {
							t.Fatal(err)
						}
					}
					when := time.Unix(int64(1000+i), 0)
					if err := os.Chtimes(record, when, when); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := c.change(dirs[1]); err != nil {
				t.Fatal(err)
			}
			same, err := firstDifference(dirs[0], dirs[1], []string{"disk"})
			switch {
			case c.want == "" && (err != nil || same != 2):
				t.Errorf("got %d, %v, want 2 files that are the same", same, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestWithoutFlags(t *testing.T) {
	got := without(strings.Fields("diskimg --out a --size x=1 --check-reproducible -out=b --source c ostar"), "out", "source", "check-reproducible")
	if want := strings.Fields("diskimg --size x=1 ostar"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a command documents is what it takes: completions and man pages have
// every command, and the shells and man read them.
func TestEveryCommandHasAPage(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range pages() {
		name := strings.Join(p.path, " ")
		seen[name] = true
		if p.command.short == "" || p.command.example == "" || !strings.Contains(p.command.example, "tk "+name) {
			t.Errorf("tk %s: short %q, example %q", name, p.command.short, p.command.example)
		}
	}
	for _, c := range commands() {
		if c.subs == nil && !seen[c.name] {
			t.Errorf("tk %s has no page", c.name)
		}
		for _, sub := range c.subs {
			if !seen[c.name+" "+sub.name] {
				t.Errorf("tk %s %s has no page", c.name, sub.name)
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("there are %d pages", len(seen))
	}
}

func TestBars(t *testing.T) {
	for _, c := range []struct {
		in   running
		want string
	}{
		{running{name: "kernel"}, "        5s [                        ] kernel"},
		{running{name: "diskimg", done: 512 << 20, total: 1 << 30}, "        5s [############............] diskimg 512.0 MiB of 1.00 GiB"},
		{running{name: "fetch", done: 3 << 20}, "        5s [                        ] fetch 3.0 MiB"},
	} {
		if got := c.in.String(5 * time.Second); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := fmt.Sprint(running{done: 9, total: 3}.String(0)); !strings.Contains(got, strings.Repeat("#", barWidth)) {
		t.Errorf("more than all: %q", got)
	}
}
