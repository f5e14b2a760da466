package boot_test

import (
	"crypto/rand"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/boot/boottest"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/mounts/mountstest"
	"psyopsOS/netif/netiftest"
	"psyopsOS/release"
	"psyopsOS/step"
)

const kernel = "6.1.0-test"

// A world is a machine with one disk, in a folder: what is mounted is what
// mount fills the target with.
type world struct {
	t       *testing.T
	storage *mountstest.Fake
	modules *boottest.Modules
	links   *netiftest.Links
	volume  map[string]string // psyops-secret
	machine boot.Machine
	key     release.SecretKey
	keys    release.Keys // of the initramfs
	// side are the files of the side's volume; the test may change them.
	side   map[string]string
	handed []mounts.HandoverPlan
	events step.Recorder
	late   sync.Once
}

func newWorld(t *testing.T) *world {
	t.Helper()
	public, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := release.NewKeys(1, public)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, storage: mountstest.New(), modules: &boottest.Modules{}, links: &netiftest.Links{}, key: secret, keys: keys}
	w.side = map[string]string{
		layout.Squashfs: strings.Repeat("squashfs ", 1000), layout.Modloop: strings.Repeat("modloop ", 500),
		layout.Kernel: "kernel", layout.Initramfs: "initramfs",
	}
	w.sign(release.OS, "x86_64")
	w.volume = map[string]string{"nodename": "demo\n", "mactab": "psy0 02:00:00:00:00:01\n"}
	w.plug("vda", "0aaa", "1aaa")
	w.storage.OnMount = w.mount
	w.machine = boot.Machine{
		Storage: w.storage, Modules: w.modules, Links: w.links, Keys: func() (release.Keys, error) { return w.keys, nil }, Kernel: kernel, Root: t.TempDir(),
		Handover: func(p mounts.HandoverPlan) error { w.handed = append(w.handed, p); return p.LastWords() },
	}
	w.write("lib/modules/"+kernel+"/modules.dep", "")
	return w
}

// plug adds a disk with both sides; the PARTUUIDs are of A and B.
func (w *world) plug(disk, uuidA, uuidB string) {
	w.storage.Plug(mounts.Device{Name: disk}, make([]byte, 4096))
	for n, label := range map[string]layout.Label{"2": layout.Secret, "3": layout.SideA, "4": layout.SideB} {
		d := mounts.Device{Name: disk + n, Disk: disk, Partition: int(n[0] - '0'), PartUUID: map[string]string{"3": uuidA, "4": uuidB}[n]}
		w.storage.Plug(d, ext4(label))
	}
}

// ext4 is as much of a filesystem as Probe looks at.
func ext4(label layout.Label) []byte {
	b := make([]byte, 8192)
	sb := b[1024:]
	binary.LittleEndian.PutUint32(sb[0x00:], 32)     // inodes
	binary.LittleEndian.PutUint32(sb[0x04:], 8)      // blocks of 1 KiB
	binary.LittleEndian.PutUint32(sb[0x20:], 8192)   // blocks in a group
	binary.LittleEndian.PutUint32(sb[0x28:], 32)     // inodes in a group
	binary.LittleEndian.PutUint16(sb[0x38:], 0xef53) // magic
	binary.LittleEndian.PutUint32(sb[0x4c:], 1)      // revision
	binary.LittleEndian.PutUint16(sb[0x58:], 256)    // inode size
	binary.LittleEndian.PutUint32(sb[0x60:], 0x40)   // extents
	copy(sb[0x78:], label)
	return b
}

// sign makes the manifest of the side's files as they are now.
func (w *world) sign(kind release.Kind, architecture string) {
	w.t.Helper()
	m := release.Manifest{Release: "20261121-101500", Type: kind, Architecture: architecture, Kernel: kernel, Userland: "testos 1"}
	for name, content := range w.side {
		if name == layout.Manifest || name == layout.ManifestSignature {
			continue
		}
		f, err := release.NewFile(name, strings.NewReader(content))
		if err != nil {
			w.t.Fatal(err)
		}
		m.Files = append(m.Files, f)
	}
	m, err := release.NewManifest(m)
	if err != nil {
		w.t.Fatal(err)
	}
	signature, err := release.Sign(w.key, strings.NewReader(string(m.JSON())), m.Comment(), "test")
	if err != nil {
		w.t.Fatal(err)
	}
	w.side[layout.Manifest], w.side[layout.ManifestSignature] = string(m.JSON()), string(signature)
}

// mount fills the target of a mount, as the kernel would show it.
func (w *world) mount(m mounts.Mount) error {
	if m.Type == "tmpfs" { // is empty
		if err := os.RemoveAll(m.Target); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.Target, 0o755); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(m.Source, "/dev/vd"):
		files := w.side
		if strings.HasSuffix(m.Source, "2") {
			files = w.volume
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(m.Target, name), []byte(content), 0o644); err != nil {
				return err
			}
		}
	case strings.HasSuffix(m.Target, layout.ModloopDir):
		dir := filepath.Join(m.Target, "modules", kernel)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "modules.dep"), nil, 0o644)
	case m.Type == "overlay":
		return os.MkdirAll(filepath.Join(m.Target, "etc"), 0o755)
	}
	return nil
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.machine.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// boot runs all steps with a command line.
func (w *world) boot(line string) error {
	w.t.Helper()
	c, err := boot.ParseCmdline(line)
	if err != nil {
		w.t.Fatal(err)
	}
	var ticks atomic.Int64
	now := func() time.Duration { return time.Duration(ticks.Add(1)) * time.Millisecond }
	report := func() error { return boot.NewReport(c, "test", w.events.Events).Write(w.machine.Root) }
	steps := append(boot.Steps(c, w.machine), boot.Handover(c, w.machine, report))
	return step.Run(w.t.Context(), w.events.Record, now, steps...)
}

// fact is the value of the last event with that key.
func (w *world) fact(key string) any {
	var value any
	for _, e := range w.events.Events {
		if e.Key == key {
			value = e.Value
		}
	}
	return value
}

// warnings are the messages of all warnings, joined.
func (w *world) warnings() string {
	var texts []string
	for _, e := range w.events.Events {
		if e.Kind == step.Warning {
			texts = append(texts, e.Message)
		}
	}
	return strings.Join(texts, "\n")
}
