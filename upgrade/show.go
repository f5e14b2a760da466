package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/repo"
)

// show prints what the words name: this system, the newest releases, files,
// or releases of the repository.
func show(ctx context.Context, c *call) (int, error) {
	words := c.args
	if len(words) == 0 {
		words = []string{"system"}
	}
	keys, err := c.keys(c.env)
	if err != nil {
		return exitError, err
	}
	var shown tree
	for _, word := range words {
		if err := c.showOne(ctx, keys, word, &shown); err != nil {
			return exitError, err
		}
	}
	return exitDone, c.print(shown)
}

func (c *call) showOne(ctx context.Context, keys release.Keys, word string, shown *tree) error {
	if word == "system" {
		keys, err := c.ownKeys(c.env)
		if err != nil {
			return err
		}
		state, err := InspectFully(c.env, c.Settings, keys)
		if err == nil {
			shown.add("system", systemTree(state))
		}
		return err
	}
	if word == "latest" {
		return c.showLatest(ctx, keys, shown)
	}
	file := strings.TrimSuffix(word, ".minisig")
	if _, err := os.Stat(file + ".minisig"); err == nil {
		return c.showFile(ctx, keys, file, shown)
	}
	repository, err := c.repository()
	if err != nil {
		return fmt.Errorf("%s: it is no file with a signature here, and %w", word, err)
	}
	found, err := repository.Named(ctx, keys, file)
	if err == nil {
		shown.add(found.TarAddress(), infoTree(found.Info))
	}
	return err
}

// showLatest shows both kinds; a repository may have only one of them.
func (c *call) showLatest(ctx context.Context, keys release.Keys, shown *tree) error {
	repository, err := c.repository()
	if err != nil {
		return err
	}
	var missing []error
	for _, kind := range []release.Kind{release.OS, release.ESP} {
		found, err := repository.Latest(ctx, keys, kind, c.platform(kind))
		if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, err)
			continue
		}
		if err != nil {
			return err
		}
		shown.add(found.TarAddress(), infoTree(found.Info))
	}
	if len(missing) == 2 {
		return errors.Join(missing...)
	}
	return nil
}

// showFile shows a release in a file. Where the tar is there, it is verified.
func (c *call) showFile(ctx context.Context, keys release.Keys, file string, shown *tree) error {
	found, err := repo.File(ctx, keys, file)
	if err != nil {
		return err
	}
	t := infoTree(found.Info)
	if _, err := os.Stat(file); err == nil {
		if err := found.Verify(ctx); err != nil {
			return err
		}
		t.add("verified", !keys.IsAnyone())
	}
	shown.add(file, t)
	return nil
}

// infoTree are the keys of a trusted comment.
func infoTree(i release.Info) (t tree) {
	t.addSet("type", string(i.Kind))
	t.addSet("filename", i.Filename)
	t.addSet("version", i.Version)
	t.addSet("kernel", i.Kernel)
	t.addSet("alpine", i.Userland)
	t.addSet("architecture", i.Architecture)
	if i.Kind == release.ESP {
		t.add("efi_programs", i.Programs)
	}
	if i.Size > 0 {
		t.add("size", i.Size)
	}
	return t
}

func systemTree(s State) (t tree) {
	t.add("a", sideTree(s, layout.SideA))
	t.add("b", sideTree(s, layout.SideB))
	t.add("firmware", firmwareTree(s))
	t.add("booted_label", string(s.Booted))
	t.add("nonbooted_label", string(s.Booted.Other()))
	t.add("nextboot_label", string(s.NextBoot()))
	t.addSet("booted_version", s.BootedVersion)
	t.addSet("booted_because", string(s.Why))
	return t
}

func volumeTree(v Volume) (t tree) {
	t.add("label", v.Label)
	device := ""
	if v.Device.Name != "" {
		device = v.Device.Path()
	}
	t.add("device", device)
	t.add("mountpoint", v.MountPoint)
	t.add("mockmount", v.Mock)
	if len(v.Duplicates) > 0 {
		t.add("same_label_on", v.Duplicates)
	}
	if v.Err != nil {
		t.add("error", v.Err.Error())
	}
	return t
}

func sideTree(s State, label layout.Label) (t tree) {
	side := s.Side(label)
	t.add("fs", volumeTree(side.Volume))
	t.add("metadata", infoTree(side.Info))
	t.addSet("incomplete", side.Incomplete)
	t.addSet("damaged", side.Damaged)
	if side.Recovery {
		t.add("needs_recovery", true)
	}
	if side.Legacy {
		t.add("unchecked", true)
	}
	t.add("room", side.Room)
	t.add("running", s.Booted == label)
	t.add("next_boot", s.NextBoot() == label)
	return t
}

func firmwareTree(s State) (t tree) {
	t.add("fs", volumeTree(s.Firmware.Volume))
	t.add("metadata", infoTree(s.Firmware.Info))
	t.addSet("unsigned", s.Firmware.Unsigned)
	t.add("neuralupgrade_info", loaderTree(s.Loader))
	return t
}

// loaderTree has the three facts that the first psyopsOS kept in grub.cfg
// first, and then what ours knows beside.
func loaderTree(l Loader) (t tree) {
	if l.Legacy != nil {
		t.add("last_updated", l.Legacy.LastUpdated)
		t.add("default_boot_label", string(l.Legacy.DefaultLabel))
		t.add("extra_programs", l.Legacy.Programs)
		t.add("loader", "first psyopsOS")
		t.add("second_loader", l.Second != "")
		return t
	}
	if l.Picked == 0 {
		t.add("error", fmt.Sprint(l.Missing))
		return t
	}
	updated := ""
	if !l.State.Time.IsZero() {
		updated = release.Version(l.State.Time)
	}
	t.add("last_updated", updated)
	t.add("default_boot_label", string(l.State.Good))
	t.add("extra_programs", programPaths(l.Copies.Menu))
	t.add("loader", loaderWord(l.On1))
	if l.Second != "" {
		t.add("second_loader", loaderWord(l.On2))
	}
	t.addSet("running_loader", l.Running)
	t.addSet("new_loader", l.onceWord())
	t.addSet("damaged", l.damaged())
	t.add("state", stateTree(l))
	return t
}

// loaderWord is a loader's version, or why there is none.
func loaderWord(f LoaderFile) string {
	switch {
	case f.Err != nil:
		return f.Err.Error()
	case f.Version == "":
		return "none of ours"
	}
	return f.Version
}

func stateTree(l Loader) (t tree) {
	t.add("seq", strconv.Itoa(l.State.Seq))
	t.add("good", string(l.State.Good))
	t.add("trial", string(l.State.Try))
	t.add("tries_left", l.triesLeft())
	t.add("proven_other", string(l.State.Alt))
	t.add("committed_a", l.State.A)
	t.add("committed_b", l.State.B)
	t.add("floor", l.State.Floor)
	t.add("bad", l.State.Bad)
	t.add("unhealthy_boots", l.Tries.Run)
	t.add("copies_agree", l.Same)
	t.add("second_loader", l.Second != "")
	return t
}

// print prints a tree in the form that was asked for.
func (c *call) print(t tree) error {
	if !c.JSON {
		_, err := fmt.Fprint(c.env.Stdout, t)
		return err
	}
	e := json.NewEncoder(c.env.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(t)
}
