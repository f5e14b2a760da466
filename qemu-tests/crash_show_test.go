//go:build qemu

package qemutests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
	"psyopsOS/qemu-tests/blocklog"
	"psyopsOS/release"
	"psyopsOS/upgrade"
)

// shownSide, shownFirmware and shownSystem are what is compared of
// `neuralupgrade show --json`.
type shownSide struct {
	Incomplete string
	Damaged    string
	Metadata   struct{ Version string }
}

type shownFirmware struct {
	Unsigned string
	Metadata struct{ Version string }
	Info     struct{ Loader, Error string } `json:"neuralupgrade_info"`
}

type shownSystem struct {
	A, B          shownSide
	Firmware      shownFirmware
	NextBootLabel layout.Label `json:"nextboot_label"`
}

// showIsTrue compares what `neuralupgrade show` says of a state with what GRUB
// found.
func (j *crashJudge) showIsTrue(o blocklog.Overlay, c outcome) string {
	key := [4]any{j.in(layout.EFISystem, o).Key(), j.in(layout.EFISystem2, o).Key(), c.sides[layout.SideA].seen, c.sides[layout.SideB].seen}
	return j.shown.get(key, func() string {
		said, err := j.show(o, c.sides)
		if err != nil {
			return err.Error()
		}
		return said.lieOf(c)
	})
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+"

// show runs `neuralupgrade show`. The sides' files are those that GRUB sees.
func (j *crashJudge) show(o blocklog.Overlay, sides map[layout.Label]sideVerdict) (shownSystem, error) {
	root, err := os.MkdirTemp(j.t.TempDir(), "")
	if err != nil {
		return shownSystem{}, err
	}
	defer os.RemoveAll(root)
	storage := mountstest.New()
	for _, v := range layout.Volumes() {
		if err := os.MkdirAll(filepath.Join(root, v.MountPoint), 0o755); err != nil {
			return shownSystem{}, err
		}
		p := j.parts[v.Label]
		storage.PlugReader(mounts.Device{Name: fmt.Sprint("vda", p.Number), Disk: "vda", Partition: p.Number, PartUUID: p.UUID, DiskUUID: "disk", Size: p.Size}, j.volume(v.Label, o))
		for _, name := range sides[v.Label].names {
			// A destroyed directory may have names that no directory can have.
			if !strings.HasSuffix(name, "/") && filepath.IsLocal(name) && strings.Trim(name, nameLetters) == "" {
				from := sides[v.Label].stored[name]
				if from == "" {
					from = j.stored(sides[v.Label].files[name])
				}
				if err := os.Symlink(from, filepath.Join(root, v.MountPoint, name)); err != nil {
					return shownSystem{}, err
				}
			}
		}
	}
	var stdout, stderr bytes.Buffer
	e := upgrade.Env{Stdout: &stdout, Stderr: &stderr, Root: root, Commit: "test", Storage: storage, Getenv: func(string) string { return "" }, Now: time.Now}
	if status := upgrade.Main(context.Background(), e, []string{"--pubkey", j.pubkey, "--booted-mock", "a", "--json", "show"}); status != 0 {
		return shownSystem{}, fmt.Errorf("show ends with %d: %s", status, stderr.String())
	}
	var said struct{ System shownSystem }
	err = json.Unmarshal(stdout.Bytes(), &said)
	return said.System, err
}

// stored is a file with a content. Kernels are the same in most states.
func (j *crashJudge) stored(content []byte) string {
	sum := sha256.Sum256(content)
	return j.store.get(sum, func() string {
		f, err := os.CreateTemp(j.t.TempDir(), "file")
		if err == nil {
			_, err = f.Write(content)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			j.t.Error(err)
			return ""
		}
		return f.Name()
	})
}

// lieOf is where it says something else than GRUB finds.
func (s shownSystem) lieOf(c outcome) string {
	for label, says := range map[layout.Label]shownSide{layout.SideA: s.A, layout.SideB: s.B} {
		if v := c.sides[label]; (says.Incomplete == "" && says.Damaged == "") != v.loads || v.loads && says.Metadata.Version != v.version {
			return fmt.Sprintf("show says of %s: version %q, incomplete %q, damaged %q; GRUB loads it: %t, version %q", label, says.Metadata.Version, says.Incomplete, says.Damaged, v.loads, v.version)
		}
	}
	if s.NextBootLabel == "" && s.Firmware.Info.Error != "" {
		return "" // it says why it does not know
	}
	if why := c.choice.Boot.Why; (why == bootstate.Good || why.IsTrial()) && s.NextBootLabel != c.choice.Boot.Side && c.choice.Went[0] == c.choice.Boot {
		return fmt.Sprintf("show says that %s is next, GRUB takes %s", s.NextBootLabel, c.choice.Boot.Side)
	}
	f := s.Firmware
	if told := f.Info.Loader; told != c.esp.first && (c.esp.first != "" || isVersion(told)) {
		return fmt.Sprintf("show says that the loader is %q, it is %s", told, c.esp.first)
	}
	if f.Unsigned == "" && (f.Metadata.Version != c.esp.signed || c.esp.missing != nil) {
		return fmt.Sprintf("show says that the EFI system partition holds release %q, it holds %q, of which: %v", f.Metadata.Version, c.esp.signed, c.esp.missing)
	}
	return ""
}

func isVersion(s string) bool {
	_, err := release.VersionTime(s)
	return err == nil
}
