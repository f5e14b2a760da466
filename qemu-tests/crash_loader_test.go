//go:build qemu

package qemutests

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/qemu-tests/blocklog"
	"psyopsOS/release"
)

// An espVerdict is what firmware and GRUB find on the two EFI system
// partitions.
type espVerdict struct {
	copies  bootstate.Copies
	second  bool   // the first one has no loader that could be started
	loader  string // version of the one that is started
	first   string // version of the first one's, empty where that is not whole
	signed  string // version of the release that the first one says it holds whole
	wrong   string // why no machine starts, or what differs from our reader
	names   []string
	missing error // of the signed release
}

func (j *crashJudge) esp(o blocklog.Overlay) espVerdict {
	first, second := j.in(layout.EFISystem, o), j.in(layout.EFISystem2, o)
	return j.esps.get([2]any{first.Key(), second.Key()}, func() (v espVerdict) {
		j.with(union(first, second), func(g grub) {
			v = j.starts(g)
			v.copies = bootstate.ReadCopies(j.volume(layout.EFISystem, o), j.volume(layout.EFISystem2, o))
			if wrong := differs(g, v.copies); wrong != "" {
				v.wrong = wrong
			}
		})
		return v
	})
}

// differs compares the state files by our reader with what GRUB reads.
func differs(g grub, c bootstate.Copies) string {
	second := layout.EFISystem2
	if c.State2On == 1 {
		second = layout.EFISystem
	}
	for _, f := range []struct {
		label layout.Label
		path  string
		ours  []byte
	}{{layout.EFISystem, layout.State1, c.State1}, {second, layout.State2, c.State2}, {layout.EFISystem, layout.Tries, c.Tries}} {
		if theirs := g.cat(f.label, f.path); !bytes.Equal(theirs, f.ours) || (theirs == nil) != (f.ours == nil) {
			return fmt.Sprintf("%s on %s: GRUB and our reader differ", f.path, f.label)
		}
	}
	return ""
}

// starts looks for what the firmware would start: the first partition's loader;
// where that cannot be read, or is no PE file, the second one's. A loader that
// can be started and is not whole is the worst that can be there.
func (j *crashJudge) starts(g grub) (v espVerdict) {
	loader := g.cat(layout.EFISystem, layout.Loader)
	switch {
	case j.good[contentSum(loader)]:
		v.first = bootstate.LoaderVersion(loader)
		v.loader = v.first
	case bytes.HasPrefix(loader, []byte("MZ")):
		v.wrong = "the loader is neither the old one nor the new one"
	default:
		v.second = true
		loader = g.cat(layout.EFISystem2, layout.Loader)
		if v.loader = bootstate.LoaderVersion(loader); !j.good[contentSum(loader)] {
			v.wrong = "neither EFI system partition has a whole loader"
		}
	}
	list, _ := g.runs("ls", layout.EFISystem, "")
	v.names = strings.Fields(strings.ToLower(string(list)))
	v.signed, v.missing = j.signed(g, v)
	return v
}

// signed is the release of the first partition's signature, and what of it is
// not there.
func (j *crashJudge) signed(g grub, v espVerdict) (version string, missing error) {
	if !slices.Contains(v.names, strings.ToLower(layout.ESPTarSignature)) {
		return "", nil
	}
	info, err := j.keys.Info(g.cat(layout.EFISystem, layout.ESPTarSignature))
	if err != nil {
		return "", nil
	}
	if v.first != info.Version {
		return info.Version, fmt.Errorf("its loader is %q", v.first)
	}
	m, err := release.ParseESPManifest(g.cat(layout.EFISystem, layout.Manifest))
	if err != nil {
		return info.Version, err
	}
	for path := range m.ExtraPrograms {
		if content := g.cat(layout.EFISystem, strings.TrimPrefix(path, "/")); !j.good[contentSum(content)] {
			return info.Version, fmt.Errorf("%s is not what was released", path)
		}
	}
	return info.Version, nil
}
