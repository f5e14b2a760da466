package upgrade

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/efi"
	"psyopsOS/image/disk"
	"psyopsOS/image/loader"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
	"psyopsOS/release"
	"psyopsOS/repo"
)

const v1, v2, v3 = "20261120-100000", "20261121-100000", "20261122-100000"

// A key pair for all tests of a run: what they test is who is believed.
var pair = sync.OnceValues(func() (release.PublicKey, release.SecretKey) {
	public, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return public, secret
})

// A bundle is a release as bytes.
type bundle struct {
	info     release.Info
	manifest release.Manifest
	members  map[string][]byte
	tar      []byte
	sig      []byte
	// Further keys that sign the tar, and the manifest; and their signatures
	// of the tar.
	tarKeys, manifestKeys []release.SecretKey
	more                  []release.Beside
}

// order is how the members lie in the tar.
var order = []string{layout.Kernel, layout.KernelVersion, layout.Initramfs, layout.Modloop, layout.Squashfs}

func makeBundle(t testing.TB, version string, changes ...func(*bundle)) bundle {
	t.Helper()
	b := bundle{members: map[string][]byte{layout.KernelVersion: []byte("6.1.0\n")},
		info: release.Info{Kind: release.OS, Version: version, Kernel: "6.1.0", Userland: "testos-1", Architecture: "x86_64",
			Filename: release.Name{Kind: release.OS, Platform: "x86_64", Version: version}.String()}}
	for i, name := range []string{layout.Kernel, layout.Initramfs, layout.Modloop, layout.Squashfs} {
		b.members[name] = make([]byte, 200_000*(i+1)+i)
		rand.Read(b.members[name])
	}
	m := release.Manifest{Release: version, Architecture: "x86_64", Kernel: "6.1.0", Userland: "testos 1"}
	for name, content := range b.members {
		m.Files = append(m.Files, fileOf(t, name, content))
	}
	var err error
	if b.manifest, err = release.NewManifest(m); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(&b)
	}
	b.seal(t)
	return b
}

func fileOf(t testing.TB, name string, content []byte) release.File {
	t.Helper()
	f, err := release.NewFile(name, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// seal writes and signs the tar.
func (b *bundle) seal(t testing.TB) {
	t.Helper()
	_, secret := pair()
	manifest := b.manifest.JSON()
	sign := func(content []byte, comment string, more []release.SecretKey) []release.Beside {
		all, err := release.SignAll(append([]release.SecretKey{secret}, more...), func(key release.SecretKey) ([]byte, error) {
			return release.Sign(key, bytes.NewReader(content), comment, "test")
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	put := func(name string, content []byte) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	put(layout.Manifest, manifest)
	for _, s := range sign(manifest, b.manifest.Comment(), b.manifestKeys) {
		put(layout.ManifestSignature+s.Suffix, s.Text)
	}
	for _, name := range order {
		if content, ok := b.members[name]; ok {
			put(name, content)
		}
	}
	for name, content := range b.members {
		if !strings.Contains(strings.Join(order, " "), name) {
			put(name, content)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.tar = out.Bytes()
	b.info.Size = int64(len(b.tar))
	all := sign(b.tar, b.info.Comment(), b.tarKeys)
	b.sig, b.more = all[0].Text, all[1:]
}

// A world is a node with a disk of five volumes.
type world struct {
	t         testing.TB
	root      string
	fake      *mountstest.Fake
	images    map[string]string // device path → file
	stdout    bytes.Buffer
	stderr    bytes.Buffer
	writes    []string // of the state: "PATH of DEVICE at OFFSET"
	break_    func(path string) error
	restarted int
	loaded    []string // kernels: "KERNEL-BYTES INITRAMFS-BYTES WORDS"
	shutDown  int
	repo      string
	variables func(dir string) efi.Variables // in a mounted efivarfs
}

// images of empty volumes are the same for all tests.
var blank = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "upgrade-test-")
	if err != nil {
		return "", err
	}
	state, tries := bootstate.Initial(v1, time.Unix(1_790_000_000, 0))
	first, second, err := loader.Disk{Loader: fakeLoader(v1), State: state, Tries: tries, Menu: bootstate.Menu{Timeout: 5}}.Files()
	if err != nil {
		return "", err
	}
	ctx, when := context.Background(), time.Unix(1_790_000_000, 0)
	for n, files := range map[int][]disk.File{1: first, 5: second} {
		label := map[int]layout.Label{1: layout.EFISystem, 5: layout.EFISystem2}[n]
		if err := disk.FAT(ctx, filepath.Join(dir, fmt.Sprint("vda", n)), disk.FATOptions{Label: string(label), SizeBytes: 40 << 20, VolumeID: uint32(n)}, files, when); err != nil {
			return "", err
		}
	}
	for n, label := range map[int]layout.Label{3: layout.SideA, 4: layout.SideB} {
		uuid := fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", n)
		if err := disk.Ext4(ctx, filepath.Join(dir, fmt.Sprint("vda", n)), disk.Ext4Options{Label: string(label), SizeBytes: 16 << 20, UUID: uuid, HashSeed: uuid, Time: when}, nil); err != nil {
			return "", err
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	if args := os.Getenv(argsVariable); args != "" {
		os.Exit(beNeuralupgrade(args))
	}
	status := m.Run()
	if dir, err := blank(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	from, err := blank()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, root: t.TempDir(), fake: mountstest.New(), images: map[string]string{}, repo: t.TempDir()}
	w.fake.Plug(mounts.Device{Name: "vda", DiskUUID: "disk"}, make([]byte, 4096))
	for _, n := range []int{1, 3, 4, 5} {
		name := fmt.Sprint("vda", n)
		file := filepath.Join(from, name)
		if n == 1 || n == 5 { // the others are never written as devices
			file = filepath.Join(t.TempDir(), name)
			if out, err := exec.Command("cp", "--sparse=always", filepath.Join(from, name), file).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		w.plug(name, file, n)
	}
	for _, dir := range []string{layout.MountSideA, layout.MountSideB, layout.MountEFISystem, layout.KeysDir, layout.RunDir} {
		if err := os.MkdirAll(filepath.Join(w.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	public, _ := pair()
	w.write(filepath.Join(layout.KeysDir, "test.pub"), public.Text())
	w.boots(layout.SideA, v1, bootstate.Good)
	first := makeBundle(t, v1)
	w.fill(layout.SideA, first)
	w.fill(layout.SideB, first)
	return w
}

func (w *world) plug(name, file string, n int) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		w.t.Fatal(err)
	}
	w.images["/dev/"+name] = file
	w.fake.PlugReader(mounts.Device{Name: name, Disk: "vda", Partition: n, PartUUID: fmt.Sprint("part", n), DiskUUID: "disk", Size: info.Size()}, f)
}

func (w *world) write(name string, content []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name), content, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// boots leaves behind what init does, and the health service on a healthy boot.
func (w *world) boots(side layout.Label, version string, why bootstate.Why) {
	w.t.Helper()
	n := map[layout.Label]string{layout.SideA: "part3", layout.SideB: "part4"}[side]
	text, err := json.Marshal(boot.Report{Version: 1, Side: side, Why: string(why), Disk: n, Facts: map[string]any{"release": version, "toram": true}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(layout.BootJSON, text)
	if err := (Verdict{Healthy: true}).write(w.root); err != nil {
		w.t.Fatal(err)
	}
}

func mountOf(side layout.Label) string {
	if side == layout.SideB {
		return layout.MountSideB
	}
	return layout.MountSideA
}

// fill makes a side hold a release.
func (w *world) fill(side layout.Label, b bundle) {
	w.t.Helper()
	dir := mountOf(side)
	for name, content := range b.members {
		w.write(filepath.Join(dir, name), content)
	}
	sum := bootstate.BootSum{Kernel: sha256.Sum256(b.members[layout.Kernel]), Initramfs: sha256.Sum256(b.members[layout.Initramfs])}
	_, secret := pair()
	manifestSig, err := release.Sign(secret, bytes.NewReader(b.manifest.JSON()), b.manifest.Comment(), "test")
	if err != nil {
		w.t.Fatal(err)
	}
	for name, content := range map[string][]byte{layout.BootSum: sum.Render(), layout.Manifest: b.manifest.JSON(),
		layout.ManifestSignature: manifestSig, layout.OSTarSignature: b.sig} {
		w.write(filepath.Join(dir, name), content)
	}
}

// publish puts a release into the world's repository and makes it the latest.
func (w *world) publish(b bundle) {
	w.t.Helper()
	for name, content := range map[string][]byte{b.info.Filename: b.tar, b.info.Filename + ".minisig": b.sig} {
		if err := os.WriteFile(filepath.Join(w.repo, name), content, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, s := range b.more {
		if err := os.WriteFile(filepath.Join(w.repo, b.info.Filename+".minisig"+s.Suffix), s.Text, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	link := filepath.Join(w.repo, release.LatestSignature(b.info.Kind, "x86_64"))
	os.Remove(link)
	if err := os.Symlink(b.info.Filename+".minisig", link); err != nil {
		w.t.Fatal(err)
	}
}

// changeState changes both copies of the boot loader's state.
func (w *world) changeState(change func(*bootstate.State, *bootstate.Tries)) {
	w.t.Helper()
	l := w.loader()
	change(&l.State, &l.Tries)
	state, err1 := l.State.Render()
	tries, err2 := l.Tries.Render()
	if err1 != nil || err2 != nil {
		w.t.Fatal(err1, err2)
	}
	for _, write := range []struct {
		device, path string
		content      []byte
	}{{"/dev/vda1", layout.State1, state}, {"/dev/vda5", layout.State2, state}, {"/dev/vda1", layout.Tries, tries}} {
		d, err := w.open(write.device)
		if err == nil {
			err = bootstate.Write(d, write.path, write.content, false)
			d.Close()
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.writes = nil
}

// loader is the boot loader's state as it is on the disk.
func (w *world) loader() (l Loader) {
	w.t.Helper()
	var files []*os.File
	for _, device := range []string{"/dev/vda1", "/dev/vda5"} {
		f, err := os.Open(w.images[device])
		if err != nil {
			w.t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	l.read(files[0], files[1])
	return l
}

// A partition is an image as a device that is written.
type partition struct {
	*os.File
	w    *world
	name string
}

func (p partition) SectorSize() int { return 512 }

func (p partition) WriteAt(b []byte, offset int64) (int, error) {
	if p.w.break_ != nil {
		if err := p.w.break_(p.name); err != nil {
			return 0, err
		}
	}
	for _, path := range []string{layout.State1, layout.State2, layout.Tries} {
		if e, err := bootstate.Locate(p.File, path); err == nil && e.Offset == offset {
			p.w.writes = append(p.w.writes, p.name+" "+path)
		}
	}
	return p.File.WriteAt(b, offset)
}

func (w *world) open(path string) (boot.StateDevice, error) {
	f, err := os.OpenFile(w.images[path], os.O_RDWR, 0)
	return partition{f, w, path}, err
}

func (w *world) env() Env {
	return Env{Stdout: &w.stdout, Stderr: &w.stderr, Root: w.root, Commit: "test", Storage: w.fake, OpenState: w.open, Restart: func() error { w.restarted++; return nil },
		Variables: w.variables, Kexec: w.kexec, Shutdown: func() error { w.shutDown++; return nil },
		Getenv: func(string) string { return "" }, Now: func() time.Time { return time.Unix(1_795_000_000, 0) }, Web: repo.Options{}}
}

// runs runs neuralupgrade and gives its exit status and output.
func (w *world) runs(args ...string) (int, string, string) {
	w.t.Helper()
	w.stdout.Reset()
	w.stderr.Reset()
	status := Main(context.Background(), w.env(), args)
	return status, w.stdout.String(), w.stderr.String()
}

// must runs neuralupgrade, which must end with a status.
func (w *world) must(want int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	status, stdout, stderr := w.runs(args...)
	if status != want {
		w.t.Errorf("neuralupgrade %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), status, want, stdout, stderr)
	}
	return stdout, stderr
}

func has(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("there is no %q in\n%s", word, text)
		}
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (w *world) kexec(kernel, initramfs *os.File, words string) error {
	k, err1 := io.ReadAll(kernel)
	i, err2 := io.ReadAll(initramfs)
	w.loaded = append(w.loaded, fmt.Sprintf("%x %x %s", sha256.Sum256(k), sha256.Sum256(i), words))
	return errors.Join(err1, err2)
}
