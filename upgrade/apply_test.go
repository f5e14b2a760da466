package upgrade

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
	"psyopsOS/release"
)

// holds asserts that a side holds a release, whole and nothing else.
func (w *world) holds(side layout.Label, b bundle) {
	w.t.Helper()
	dir := filepath.Join(w.root, mountOf(side))
	want := []string{layout.BootSum, layout.Manifest, layout.ManifestSignature, string(side), layout.OSTarSignature}
	for name, content := range b.members {
		want = append(want, name)
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, content) {
			w.t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(content))
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(have, want) {
		w.t.Errorf("%s holds %q, want %q", side, have, want)
	}
	if err := bootstate.CheckSide(os.DirFS(dir)); err != nil {
		w.t.Error(err)
	}
	if label := readFile(w.t, filepath.Join(dir, string(side))); string(label) != string(side) {
		w.t.Errorf("the file named like the label holds %q", label)
	}
}

func (w *world) applies(args ...string) (stdout, stderr string) {
	w.t.Helper()
	return w.must(0, append([]string{"apply", "nonbooted", "--repository", w.repo}, args...)...)
}

// state is what the loader goes by, with the time left out.
func (w *world) state() bootstate.State {
	w.t.Helper()
	l := w.loader()
	if !l.Same {
		w.t.Errorf("the copies differ")
	}
	l.State.Time = bootstate.State{}.Time
	return l.State
}

func TestFromAToBAndBack(t *testing.T) {
	w := newWorld(t)
	second := makeBundle(t, v2)
	w.publish(second)
	w.write(layout.MountSideB+"/old-file", []byte("of another release"))

	_, stderr := w.applies()
	has(t, stderr, "neuralupgrade INFO Updated nonbooted side psyopsOS-B with "+filepath.Join(w.repo, second.info.Filename)+" at "+w.root+"/mnt/psyopsOS/b\n")
	w.holds(layout.SideB, second)
	if want := []string{"/dev/vda1 grub/STATE1.ENV", "/dev/vda5 grub/STATE2.ENV", "/dev/vda1 grub/TRIES.ENV", "/dev/vda1 grub/STATE1.ENV", "/dev/vda5 grub/STATE2.ENV"}; !slices.Equal(w.writes, want) {
		t.Errorf("wrote %q, want %q", w.writes, want)
	}
	trial := bootstate.State{Seq: 3, Good: layout.SideA, Try: layout.SideB, A: v1, B: v1, Floor: v1}
	if got := w.state(); got != trial {
		t.Errorf("got %+v, want %+v", got, trial)
	}
	if got, want := w.loader().Tries, (bootstate.Tries{Left: 3, For: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if points, _ := w.fake.Mounts(); len(points) != 1 {
		t.Errorf("mounts stay: %v", points)
	}

	out, _ := w.must(0, "commit")
	has(t, out, "nothing to commit: psyopsOS-B goes on trial with the next restart")
	w.boots(layout.SideB, v2, bootstate.Trial(2))
	_, stderr = w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "psyopsOS-B is on trial, undecided", "hint: `neuralupgrade commit` keeps it")
	out, _ = w.must(0, "commit")
	has(t, out, "committed: psyopsOS-B, release "+v2)
	kept := bootstate.State{Seq: 4, Good: layout.SideB, Alt: layout.SideA, A: v1, B: v2, Floor: v2}
	if got := w.state(); got != kept {
		t.Errorf("got %+v, want %+v", got, kept)
	}
	w.writes = nil
	out, _ = w.must(0, "commit")
	if out != "nothing to commit: psyopsOS-B is the default\n" || w.writes != nil {
		t.Errorf("got %q and the writes %q", out, w.writes)
	}

	out, _ = w.must(0, "rollback")
	has(t, out, "psyopsOS-A, release "+v1+", goes on trial")
	back := bootstate.State{Seq: 5, Good: layout.SideB, Try: layout.SideA, Alt: layout.SideA, A: v1, B: v2, Floor: v2}
	if got := w.state(); got != back {
		t.Errorf("got %+v, want %+v", got, back)
	}
	w.boots(layout.SideA, v1, bootstate.Trial(2))
	w.must(0, "commit")
	if got, want := w.state(), (bootstate.State{Seq: 6, Good: layout.SideA, Alt: layout.SideB, A: v1, B: v2, Floor: v2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheBootedSideIsWrittenWhileTheOtherOneHasItsPlace(t *testing.T) {
	w := newWorld(t)
	second := makeBundle(t, v2)
	w.publish(second)
	_, stderr := w.must(0, "apply", "a", "--repository", w.repo)
	has(t, stderr, "make psyopsOS-B the default", "Updated booted side psyopsOS-A with ")
	w.holds(layout.SideA, second)
	if want := (bootstate.State{Seq: 3, Good: layout.SideB, Try: layout.SideA, A: v1, B: v1, Floor: v1}); w.state() != want {
		t.Errorf("got %+v, want %+v", w.state(), want)
	}
	w.must(1, "commit") // v1 still runs, from RAM
	w.boots(layout.SideA, v2, bootstate.Trial(2))
	w.must(0, "commit")
	if want := (bootstate.State{Seq: 4, Good: layout.SideA, Alt: layout.SideB, A: v2, B: v1, Floor: v2}); w.state() != want {
		t.Errorf("got %+v, want %+v", w.state(), want)
	}
}

func TestTheCopyThatGRUBWouldNotPickIsWrittenFirst(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v2))
	w.applies()
	w.boots(layout.SideB, v2, bootstate.Trial(2))
	// Both copies are equal: GRUB takes copy 2.
	w.writes = nil
	w.must(0, "commit")
	if want := []string{"/dev/vda1 grub/STATE1.ENV", "/dev/vda5 grub/STATE2.ENV", "/dev/vda1 grub/TRIES.ENV"}; !slices.Equal(w.writes, want) {
		t.Errorf("wrote %q, want %q", w.writes, want)
	}
	// A cut after the first of them: copy 1 is newer, so copy 2 goes first.
	old, _ := bootstate.Initial(v1, w.env().Now())
	content, err := old.Render()
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.open("/dev/vda5")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := bootstate.Write(d, layout.State2, content, false); err != nil {
		t.Fatal(err)
	}
	w.writes = nil
	out, _ := w.must(0, "commit")
	has(t, out, "finished an earlier change")
	if want := []string{"/dev/vda5 grub/STATE2.ENV", "/dev/vda1 grub/STATE1.ENV"}; !slices.Equal(w.writes, want) {
		t.Errorf("wrote %q, want %q", w.writes, want)
	}
	w.state()
}

func TestAFailedTrialIsClearedAndItsVersionRefused(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v2))
	w.applies()
	w.changeState(func(_ *bootstate.State, tries *bootstate.Tries) { tries.Left, tries.Run = 0, 1 })
	_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "psyopsOS-B is on trial, undecided")
	out, _ := w.must(0, "commit")
	has(t, out, "the trial of psyopsOS-B, release "+v2+", has failed; psyopsOS-A stays")
	if got, want := w.state(), (bootstate.State{Seq: 4, Good: layout.SideA, A: v1, B: v1, Floor: v1, Bad: v2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if run := w.loader().Tries.Run; run != 0 {
		t.Errorf("run is %d", run)
	}
	_, stderr = w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "the last trial of release "+v2+" failed", "--force")
	_, stderr = w.must(1, "rollback")
	has(t, stderr, "the last trial of release "+v2+" failed", "--force")
	w.applies("--force")
	w.boots(layout.SideB, v2, bootstate.Trial(2))
	w.must(0, "commit")
	if got, want := w.state(), (bootstate.State{Seq: 6, Good: layout.SideB, Alt: layout.SideA, A: v1, B: v2, Floor: v2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestATrialIsGivenUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		booted bool // into the trial
		args   []string
		bad    string
	}{
		{"by rollback while it runs", true, []string{"rollback"}, v2},
		{"by rollback before it runs", false, []string{"rollback"}, ""},
		{"by set-default of the good side", true, []string{"set-default", "psyopsOS-A"}, v2},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(makeBundle(t, v2))
			w.applies()
			if test.booted {
				w.boots(layout.SideB, v2, bootstate.Trial(2))
			}
			out, _ := w.must(0, test.args...)
			has(t, out, "given up; psyopsOS-A stays the default")
			if got, want := w.state(), (bootstate.State{Seq: 4, Good: layout.SideA, A: v1, B: v1, Floor: v1, Bad: test.bad}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestSetDefaultIsATrial(t *testing.T) {
	w := newWorld(t)
	out, _ := w.must(0, "set-default", "psyopsOS-A")
	has(t, out, "psyopsOS-A is the default already")
	w.must(2, "set-default", "psyopsOS-C")
	w.must(2, "set-default")
	out, _ = w.must(0, "set-default", "psyopsOS-B", "--dry-run")
	has(t, out, "write grub/STATE1.ENV on /dev/vda1")
	if w.state().Try != "" {
		t.Error("--dry-run wrote")
	}
	w.must(0, "set-default", "psyopsOS-B")
	if got := w.state(); got.Good != layout.SideA || got.Try != layout.SideB || got.Alt != layout.SideB {
		t.Errorf("got %+v", got)
	}
	out, _ = w.must(0, "set-default", "psyopsOS-B")
	has(t, out, "already")
}

func TestASideThatWouldNotStartGoesOnNoTrial(t *testing.T) {
	w := newWorld(t)
	w.write(layout.MountSideB+"/kernel", []byte("damaged"))
	_, stderr := w.must(1, "rollback")
	has(t, stderr, "psyopsOS-B would not start: damaged: kernel")
	os.Remove(filepath.Join(w.root, layout.MountSideB, layout.OSTarSignature))
	_, stderr = w.must(1, "set-default", "psyopsOS-B")
	has(t, stderr, "holds no whole release")
}

func TestASideChosenByHandCommitsNothing(t *testing.T) {
	for _, why := range []bootstate.Why{bootstate.Fallback, bootstate.LastResort, bootstate.Manual} {
		w := newWorld(t)
		w.boots(layout.SideB, v1, why)
		out, _ := w.must(0, "commit")
		has(t, out, "nothing to commit: psyopsOS-B runs as "+string(why))
		w.boots(layout.SideA, v1, why)
		w.must(0, "commit")
		if w.state().Seq != 1 {
			t.Errorf("%s: the state was written", why)
		}
	}
	w := newWorld(t)
	w.publish(makeBundle(t, v2))
	w.applies()
	w.boots(layout.SideB, v2, bootstate.Manual)
	_, stderr := w.must(1, "commit")
	has(t, stderr, "was not booted as one (manual)")
}

// begunSquashfs is where an apply that was ended leaves what it has of a
// release's squashfs.
func begunSquashfs(b bundle) string {
	sum := sha256.Sum256(b.members[layout.Squashfs])
	return layout.MountSideB + "/squashfs.unverified-" + hex.EncodeToString(sum[:8])
}

// What init will verify at each boot is verified before the side counts: the MiB
// one by one, from the medium.
func TestASideIsReadBackMiBByMiB(t *testing.T) {
	large := make([]byte, 2<<20+77)
	for i := range large {
		large[i] = byte(i >> 12)
	}
	for _, wrong := range []bool{false, true} {
		w := newWorld(t)
		second := makeBundle(t, v2, func(b *bundle) {
			b.members[layout.Squashfs] = large
			for i, f := range b.manifest.Files {
				if f.Path == layout.Squashfs {
					b.manifest.Files[i] = fileOf(t, f.Path, large)
					if wrong {
						b.manifest.Files[i].Pieces[1] = strings.Repeat("0", 64)
					}
				}
			}
		})
		w.publish(second)
		if !wrong {
			w.applies()
			w.holds(layout.SideB, second)
			continue
		}
		_, stderr := w.must(1, "apply", "b", "--repository", w.repo)
		has(t, stderr, "read psyopsOS-B back", "squashfs comes back from the medium changed: the SHA-256 of its 1048576 bytes from byte 1048576 is ")
		if got := w.state(); got.Good != layout.SideA || got.Try != "" {
			t.Errorf("got %+v", got)
		}
		// Nor does a second run start a trial of it.
		_, stderr = w.must(1, "apply", "b", "--repository", w.repo)
		has(t, stderr, "comes back from the medium changed")
	}
}

func TestWhatIsNotFetchedAgain(t *testing.T) {
	second := makeBundle(t, v2)
	dirOf := func(w *world) string { return filepath.Join(w.root, layout.MountSideB) }
	for _, test := range []struct {
		name    string
		prepare func(w *world)
		want    string
	}{
		{"nothing is here", func(w *world) {}, ", 0 B were here"},
		{"a whole file", func(w *world) { w.write(layout.MountSideB+"/squashfs", second.members[layout.Squashfs]) }, ", 781.3 KiB were here"},
		{"half a file", func(w *world) {
			w.write(begunSquashfs(second), second.members[layout.Squashfs][:500_000])
		}, ", 488.3 KiB were here"},
		{"half a file of another release", func(w *world) {
			w.write(begunSquashfs(makeBundle(t, v3)), second.members[layout.Squashfs][:500_000])
		}, ", 0 B were here"},
		{"half a file of nobody knows which", func(w *world) {
			w.write(layout.MountSideB+"/squashfs.unverified", second.members[layout.Squashfs][:500_000])
		}, ", 0 B were here"},
		{"a whole file without its name", func(w *world) { w.write(begunSquashfs(second), second.members[layout.Squashfs]) }, ", 781.3 KiB were here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(second)
			os.RemoveAll(dirOf(w))
			os.Mkdir(dirOf(w), 0o755)
			test.prepare(w)
			_, stderr := w.applies()
			has(t, stderr, test.want)
			w.holds(layout.SideB, second)
		})
	}
	w := newWorld(t)
	w.publish(second)
	garbage := bytes.Repeat([]byte("x"), 500_000)
	w.write(begunSquashfs(second), garbage)
	_, stderr := w.must(1, "apply", "b", "--repository", w.repo)
	has(t, stderr, "what an earlier attempt had left is removed, try again")
	w.applies()
	w.holds(layout.SideB, second)
}

func TestARunThatWasKilledBeforeTheTrialIsFinished(t *testing.T) {
	w := newWorld(t)
	second := makeBundle(t, v2)
	w.publish(second)
	w.applies("--no-boot-cfg")
	if s := w.state(); s.Good != layout.SideA || s.Try != "" || s.Alt != "" {
		t.Error("--no-boot-cfg: the next boot is another one, or a fallback to what was never tried")
	}
	out, _ := w.applies("--dry-run")
	has(t, out, "read psyopsOS-B (/dev/vda4 at ", "which has version "+v2+" already", "put psyopsOS-B on trial")
	_, stderr := w.applies()
	if strings.Contains(stderr, "fetch the manifest") {
		t.Errorf("it was written again:\n%s", stderr)
	}
	if got := w.state(); got.Try != layout.SideB {
		t.Errorf("got %+v", got)
	}
	w.write(layout.MountSideB+"/squashfs", []byte("damaged"))
	w.must(0, "rollback")
	_, stderr = w.must(1, "apply", "nonbooted", "--repository", w.repo)
	has(t, stderr, "FAILED: read psyopsOS-B back", "squashfs")
	w.applies("--force")
	w.holds(layout.SideB, second)
}

func TestWhatIsThereAlreadyIsNotWrittenAgain(t *testing.T) {
	w := newWorld(t)
	w.publish(makeBundle(t, v1))
	out, _ := w.applies()
	if out != "psyopsOS-B is version "+v1+": nothing to do\n" {
		t.Errorf("got %q", out)
	}
}

func TestAFileAndADefaultLabel(t *testing.T) {
	w := newWorld(t)
	b := makeBundle(t, v2)
	file := filepath.Join(t.TempDir(), "psyopsOS.tar")
	for name, content := range map[string][]byte{file: b.tar, file + ".minisig": b.sig} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, stderr := w.must(0, "apply", "nonbooted", "--os-tar", file, "--default-boot-label", "psyopsOS-A")
	has(t, stderr, "Updated nonbooted side psyopsOS-B with "+file+" at ")
	w.holds(layout.SideB, b)
	if w.state().Try != "" {
		t.Error("the other label was put on trial")
	}
	w.must(2, "apply", "nonbooted", "--os-tar", file, "--default-boot-label", "psyopsOS-C")
	w.must(2, "apply", "nonbooted", "--os-tar", file, "--os-version", v2)
	w.must(2, "apply")
}

func TestAMockIsWrittenWithoutMounts(t *testing.T) {
	w := newWorld(t)
	b := makeBundle(t, v2)
	w.publish(b)
	w.fake.Fail["Mount"] = os.ErrPermission
	w.must(0, "apply", "b", "--repository", w.repo, "--no-boot-cfg", "--a-mock", "--b-mock", "--efisys-mock", "--booted-mock", "a")
	w.holds(layout.SideB, b)
}

func TestReleasesThatAreNotWritten(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*bundle)
		spoil  func(*bundle)
		want   string
	}{
		{"without a squashfs", func(b *bundle) { b.without(layout.Squashfs) }, nil, "has no squashfs: it would not boot"},
		{"for another machine", func(b *bundle) {
			b.info.Architecture, b.info.Filename = "aarch64", "psyopsOS.aarch64."+v2+".tar"
		}, nil, "the release is for aarch64"},
		{"with the manifest of another release", func(b *bundle) { b.manifest.Release = v3 }, nil, "the manifest is of release " + v3},
		{"with a member that the manifest does not name", func(b *bundle) { b.members["../etc/passwd"] = []byte("x") }, nil, `the tar has "../etc/passwd"`},
		{"with a member of another size", func(b *bundle) { b.members[layout.KernelVersion] = []byte("6.1.0 and more\n") }, nil, `the tar has "kernel.version" of 15 bytes`},
		{"with other contents", func(b *bundle) { b.members[layout.Modloop] = bytes.Repeat([]byte("x"), len(b.members[layout.Modloop])) }, nil, "modloop: its SHA-256 is"},
		{"without a member", func(b *bundle) { delete(b.members, layout.KernelVersion) }, nil, "1 files of the manifest are not in the tar"},
		{"changed on the way", nil, func(b *bundle) { b.tar[len(b.tar)/2] ^= 1 }, "its SHA-256 is"},
		{"changed behind the last member", nil, func(b *bundle) { b.tar[len(b.tar)-1] ^= 1 }, "invalid tar header"},
		{"changed in a header", nil, func(b *bundle) { b.tar[bytes.LastIndex(b.tar, []byte("ustar"))-150] ^= 1 }, "invalid tar header"},
		{"cut off", nil, func(b *bundle) { b.tar = b.tar[:len(b.tar)-1024] }, "but it should have"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var changes []func(*bundle)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			b := makeBundle(t, v2, changes...)
			if test.spoil != nil {
				test.spoil(&b)
			}
			w := newWorld(t)
			w.publish(b)
			_, stderr := w.must(1, "apply", "nonbooted", "--repository", w.repo, "--os-version", v2)
			if b.info.Architecture == "aarch64" {
				link := filepath.Join(w.repo, release.LatestSignature(release.OS, "x86_64"))
				if _, err := os.Stat(link); err != nil {
					t.Fatal(err)
				}
				_, stderr = w.must(1, "apply", "nonbooted", "--repository", w.repo)
			}
			has(t, stderr, test.want)
			if s := w.state(); s.Good != layout.SideA || s.Try != "" {
				t.Errorf("the state is %+v", s)
			}
			if _, err := os.Stat(filepath.Join(w.root, "etc/passwd")); err == nil {
				t.Error("a path left the side")
			}
		})
	}
}

func (b *bundle) without(name string) {
	delete(b.members, name)
	b.manifest.Files = slices.DeleteFunc(b.manifest.Files, func(f release.File) bool { return f.Path == name })
}

// Whatever breaks, the booted side, its state and the mounts are as before,
// and a side that is not whole says so.
func TestFaultsAtEveryCall(t *testing.T) {
	second := makeBundle(t, v2)
	broken := errors.New("broken by the test")
	for fault := 0; ; fault++ {
		w := newWorld(t)
		w.publish(second)
		count, writes := 0, 0
		w.fake.OnMount = func(m mounts.Mount) error {
			count++
			if count == fault {
				return broken
			}
			return nil
		}
		w.break_ = func(string) error {
			writes++
			if fault > 100 && writes == fault-100 {
				return broken
			}
			return nil
		}
		before := w.files(layout.SideA)
		status, _, stderr := w.runs("apply", "nonbooted", "--repository", w.repo)
		if fault > 0 && count < fault && fault < 100 {
			fault = 100 // no more mounts to break: now the writes of the state
			continue
		}
		if fault > 100 && writes < fault-100 {
			if writes != 5 {
				t.Errorf("%d writes of the state, want 5", writes)
			}
			break
		}
		if fault == 0 {
			if status != 0 {
				t.Fatal(stderr)
			}
			continue
		}
		name := fmt.Sprintf("fault %d", fault)
		// Looking at the sides and the ESP takes three mounts: what cannot be
		// looked at is refused, but for the ESP's signature.
		if status == 0 && fault != 3 && fault != 1 {
			t.Errorf("%s: it went well\n%s", name, stderr)
		}
		if !bytes.Equal(before, w.files(layout.SideA)) {
			t.Errorf("%s: the booted side was touched", name)
		}
		if points, _ := w.fake.Mounts(); len(points) != 1 {
			t.Errorf("%s: mounts stay: %v", name, points)
		}
		l := w.loader()
		choice := bootstate.Next(l.Copies.State1, l.Copies.State2, l.Copies.Tries, func(side layout.Label) bool {
			return bootstate.CheckSide(os.DirFS(filepath.Join(w.root, mountOf(side)))) == nil
		})
		if status != 0 && choice.Boot.Side != layout.SideA && !(choice.Boot.Side == layout.SideB && l.State.Try == layout.SideB) {
			t.Errorf("%s: GRUB boots %+v", name, choice.Boot)
		}
		w.fake.OnMount, w.break_ = nil, nil
		if !l.Same && l.State.Try != "" {
			continue // a cut between the copies: the trial goes its way
		}
		if status, _, stderr := w.runs("apply", "nonbooted", "--repository", w.repo); status != 0 && status != exitError {
			t.Errorf("%s: again: %s", name, stderr)
		}
	}
}

// files is all that lies on a side.
func (w *world) files(side layout.Label) []byte {
	w.t.Helper()
	var all bytes.Buffer
	dir := filepath.Join(w.root, mountOf(side))
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		fmt.Fprintln(&all, e.Name())
		all.Write(readFile(w.t, filepath.Join(dir, e.Name())))
	}
	return all.Bytes()
}

func TestASecondProcessIsRefused(t *testing.T) {
	w := newWorld(t)
	err := locked(w.env(), 0, func() error {
		_, stderr := w.must(1, "rollback")
		has(t, stderr, fmt.Sprintf("another neuralupgrade is at work: process %d", os.Getpid()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.must(0, "commit")
}

func TestHealthAndCommitWaitForAnotherProcess(t *testing.T) {
	for _, command := range []string{"health", "commit"} {
		t.Run(command, func(t *testing.T) { waitsForAnother(t, command) })
	}
}

func waitsForAnother(t *testing.T, command string) {
	w := newWorld(t)
	held, done := make(chan bool), make(chan error)
	go func() {
		done <- locked(w.env(), 0, func() error {
			close(held)
			time.Sleep(3 * lockPause)
			return nil
		})
	}()
	<-held
	out, _ := w.must(0, command)
	has(t, out, "nothing to commit")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// swapped is a machine whose stick is changed for another one after so many
// unmounts.
type swapped struct {
	*mountstest.Fake
	w     *world
	after int
}

func (s *swapped) Unmount(target string) error {
	err := s.Fake.Unmount(target)
	if s.after--; s.after == 0 {
		s.Fake.Unplug("vda")
		for _, n := range []string{"1", "4", "5"} {
			f, openErr := os.Open(s.w.images["/dev/vda"+n])
			if openErr != nil {
				s.w.t.Fatal(openErr)
			}
			s.w.t.Cleanup(func() { f.Close() })
			s.Fake.PlugReader(mounts.Device{Name: "vda" + n, Disk: "vda", PartUUID: "part" + n, DiskUUID: "another", Size: 1 << 20}, f)
		}
	}
	return err
}

func TestAnotherDiskInItsPlaceIsNotWritten(t *testing.T) {
	for after, want := range map[int]string{2: "is on another disk now (another, was disk)", 3: "is another volume than before", 5: "is on another disk now (another, was disk)"} {
		w := newWorld(t)
		w.publish(makeBundle(t, v2))
		e := w.env()
		e.Storage = &swapped{w.fake, w, after}
		status := Main(t.Context(), e, []string{"apply", "nonbooted", "--repository", w.repo})
		// What came before the change went to the right disk.
		if status != 1 || after == 2 && w.writes != nil || len(w.writes) > 2 {
			t.Errorf("after %d unmounts: exit status %d, wrote %q", after, status, w.writes)
		}
		has(t, w.stderr.String(), want)
	}
}
