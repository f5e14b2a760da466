//go:build qemu

package qemutests

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/qemu-tests/blocklog"
	"psyopsOS/release"
	"psyopsOS/vm"
)

// A recording is what one command wrote: the entries of the log, over what the
// disk was before it.
type recording struct {
	name   string
	before blocklog.Overlay
	log    []blocklog.Entry
}

// A recorder is a machine whose disk's writes are logged.
type recorder struct {
	t     *testing.T
	image string // as it was before the first write
	disk  string // the machine's
	files int
	now   blocklog.Overlay
	log   string // of the machine that runs
	taken int    // of its entries
	made  []recording
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{t: t, image: images(t).Disk, disk: filepath.Join(t.TempDir(), "disk.img"), now: blocklog.Overlay{}}
	run(t, "cp", "--sparse=always", r.image, r.disk)
	return r
}

// boots starts the machine on a side, as the boot loader would have.
func (r *recorder) boots(side layout.Label, why string) *Guest {
	r.t.Helper()
	r.files++
	r.log, r.taken = filepath.Join(r.t.TempDir(), fmt.Sprint("writes", r.files)), 0
	if err := os.WriteFile(r.log, nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
	g := suite.Boot(r.t, Scenario{Side: side, Words: "psyopsos.boot=" + why + " psyopsos.disk=" + partition(r.t, r.disk, side).UUID,
		Disks:   []vm.Disk{{ID: "boot", Path: r.disk, WriteLog: r.log}},
		Machine: vm.Machine{NICs: []vm.NIC{{}}}, Deadline: 9 * time.Minute})
	g.HandsOver()
	return g
}

// takes is what was written since the last call, under a name.
func (r *recorder) takes(name string) {
	r.t.Helper()
	f, err := os.Open(r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	all, err := blocklog.Read(f)
	if info, e := f.Stat(); e == nil && info.Size() == 0 {
		all, err = nil, nil // QEMU begins the log with the first write
	}
	if err != nil {
		r.t.Fatal(err)
	}
	rec := recording{name: name, before: maps.Clone(r.now), log: all[r.taken:]}
	r.taken = len(all)
	blocklog.States(nil, r.now, rec.log, blocklog.Options{}, func(s blocklog.State) bool {
		if s.Kind == blocklog.InOrder {
			r.now = s.Overlay
		}
		return true
	})
	r.t.Logf("%-12s %d requests, %d sectors differ from the image after it", name, len(rec.log), len(r.now))
	if name != "" {
		r.made = append(r.made, rec)
	}
}

// A tiny is a signed release of a few small files that would not boot: so
// small that every state of its writing can be judged.
type tiny struct {
	address string // of its repository
	version string
	files   map[string][]byte // as they lie on a side
}

func tinyRelease(t *testing.T) tiny {
	t.Helper()
	r := tiny{version: release.Version(time.Now()), files: map[string][]byte{}}
	m := release.Manifest{Release: r.version, Architecture: "x86_64", Kernel: images(t).KernelVersion, Userland: "testos 1"}
	for i, name := range []string{layout.Kernel, layout.KernelVersion, layout.Initramfs, layout.Modloop, layout.Squashfs} {
		r.files[name] = []byte(strings.Repeat(fmt.Sprintln(name, "of a tiny release"), 200*(i+1)))
		m.Files = append(m.Files, release.File{Path: name, Size: int64(len(r.files[name])), SHA256: fmt.Sprintf("%x", sha256.Sum256(r.files[name]))})
	}
	m, err := release.NewManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	key := buildKey(t)
	sign := func(content []byte, comment string) []byte {
		signature, err := release.Sign(key, bytes.NewReader(content), comment, "test")
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	r.files[layout.Manifest] = m.JSON()
	r.files[layout.ManifestSignature] = sign(m.JSON(), m.Comment())
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, name := range []string{layout.Manifest, layout.ManifestSignature, layout.Kernel, layout.KernelVersion, layout.Initramfs, layout.Modloop, layout.Squashfs} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(r.files[name])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(r.files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := release.Name{Kind: release.OS, Platform: "x86_64", Version: r.version}.String()
	info := release.Info{Kind: release.OS, Filename: name, Version: r.version, Kernel: m.Kernel, Userland: "testos-1", Architecture: "x86_64", Size: int64(text.Len())}
	r.files[layout.OSTarSignature] = sign(text.Bytes(), info.Comment())
	dir := t.TempDir()
	for file, content := range map[string][]byte{name: text.Bytes(), name + ".minisig": r.files[layout.OSTarSignature]} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(name+".minisig", filepath.Join(dir, release.LatestSignature(release.OS, "x86_64"))); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	r.address = strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1)
	return r
}

// records drives our program through everything that switches sides, on one
// disk, and the first psyopsOS's way of switching beside it.
func (r *recorder) records(release tiny) {
	r.t.Helper()
	g := r.boots(layout.SideA, "good")
	g.Login()
	g.judged()
	r.takes("")
	g.Runs("neuralupgrade set-default psyopsOS-B")
	r.takes("set-default")
	g.PowersOff()
	g = r.boots(layout.SideB, "trial2")
	g.Login()
	g.judged()
	g.Runs("neuralupgrade status | grep -q '^default: *psyopsOS-B'")
	r.takes("commit")
	g.Runs("neuralupgrade apply nonbooted --repository " + release.address)
	r.takes("apply")
	g.Runs("neuralupgrade rollback")
	r.takes("rollback")
	g.Runs("modprobe -a nls_cp437 nls_iso8859-1 vfat 2>/dev/null; mkdir -p /tmp/esp && mount -t vfat /dev/vda1 /tmp/esp && " + oldConfig("A") + " > /tmp/esp/grub/grub.cfg && sync && umount /tmp/esp && sync")
	g.Runs("blockdev --flushbufs /dev/vda 2>/dev/null; true")
	r.takes("")
	g.Runs("mount -t vfat /dev/vda1 /tmp/esp && cd /tmp/esp/grub && " + oldConfig("B") + " > grub.cfg.new && cp grub.cfg grub.cfg.20260101 && mv grub.cfg.new grub.cfg && sync; cd /; umount /tmp/esp")
	r.takes(oldWay)
	g.PowersOff()
}

// oldWay is how the first psyopsOS switched: a mounted vfat, a new file, a
// backup, a rename, sync.
const oldWay = "the old way"

// oldConfig prints a grub.cfg of the size that it had.
func oldConfig(side string) string {
	return "for i in $(seq 60); do echo \"menuentry psyopsOS-" + side + " line $i\"; done"
}

func oldConfigText(side string) string {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "menuentry psyopsOS-%s line %d\n", side, i+1)
	}
	return b.String()
}

// Issue 4, crash states: every state that a power cut can leave behind a real
// run of our program.
func TestEveryCutOfARealUpdateBootsAWholeRelease(t *testing.T) {
	if os.Getenv("CRASHTEST") == "" {
		t.Skip("CRASHTEST=full runs it: make crashtest")
	}
	r := newRecorder(t)
	r.records(tinyRelease(t))
	j := newJudge(t, r.image)
	for _, rec := range r.made {
		judges := j.judges
		if rec.name == oldWay {
			judges = j.judgesOldWay
		}
		_, why := j.wrongOf(rec.name, rec.before, rec.log, judges)
		switch {
		case rec.name == oldWay && len(why) == 0:
			t.Error("the harness finds nothing wrong with the old way of switching")
		case rec.name != oldWay:
			for wrong, n := range why {
				t.Errorf("%s: %d × %s", rec.name, n, wrong)
			}
		}
	}
	t.Logf("grub-fstest read %d states of volumes, %d were known", j.byGRUB, j.known)
}
