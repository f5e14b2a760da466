//go:build qemu

package qemutests

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/vm"
)

// volumeOf is an ext4 volume in a file: a bare disk, or for a partition.
func volumeOf(t testing.TB, label layout.Label, size int64, files []disk.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), string(label)+".img")
	err := disk.Ext4(t.Context(), path, disk.Ext4Options{Label: string(label), SizeBytes: size,
		UUID: disk.DerivedGUID(t.Name(), string(label)), HashSeed: disk.DerivedGUID(t.Name(), "seed"), Time: time.Unix(1e9, 0)}, files)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// secretSize is the size of psyops-secret on the tests' disk.
const secretSize = 16 << 20

// secretVolume is a psyops-secret with these files.
func secretVolume(t testing.TB, files map[string]string) string {
	t.Helper()
	var list []disk.File
	for name, content := range files {
		list = append(list, disk.File{Path: name, Data: []byte(content), Mode: 0o600})
	}
	slices.SortFunc(list, func(a, b disk.File) int { return strings.Compare(a.Path, b.Path) })
	return volumeOf(t, layout.Secret, secretSize, list)
}

// diskWithSecret is a copy of the shared disk with another psyops-secret, or
// with nothing in its place.
func diskWithSecret(t testing.TB, volume string) string {
	t.Helper()
	path, _ := ownDisk(t)
	content := make([]byte, secretSize)
	if volume != "" {
		var err error
		if content, err = os.ReadFile(volume); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openVolume(t, path, layout.Secret).WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return path
}

// demoNode are the files of the node that the tests' disk has.
func demoNode(t testing.TB) map[string]string {
	t.Helper()
	images(t) // makes it
	files := map[string]string{}
	entries, err := os.ReadDir(filepath.Join(out, "demo-node"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files[e.Name()] = string(read(t, filepath.Join(out, "demo-node", e.Name())))
	}
	return files
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A side are the files of a side that init reads, for a test to damage.
type side struct {
	t     testing.TB
	files map[string][]byte
}

// sideFiles reads them off the shared disk.
func sideFiles(t testing.TB) *side {
	t.Helper()
	dir := t.TempDir()
	partition := filepath.Join(dir, "side.img")
	f, err := os.Create(partition)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, openVolume(t, images(t).Disk, layout.SideA))
	if closed := f.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	s := &side{t, map[string][]byte{}}
	for _, name := range []string{layout.Squashfs, layout.Modloop, layout.Manifest, layout.ManifestSignature} {
		to := filepath.Join(dir, name)
		run(t, "/sbin/debugfs", "-R", "dump /"+name+" "+to, partition)
		s.files[name] = read(t, to)
		if len(s.files[name]) == 0 {
			t.Fatalf("%s is empty or not on the side", name)
		}
	}
	return s
}

// flip changes one bit of the byte at a place between 0, the first byte, and
// 1, the last.
func (s *side) flip(name string, place float64) {
	content := s.files[name]
	content[int(place*float64(len(content)-1))] ^= 1
}

// sign makes a manifest of what the files are now and signs it.
func (s *side) sign(key release.SecretKey, change func(*release.Manifest)) {
	s.t.Helper()
	m, err := release.ParseManifest(s.files[layout.Manifest])
	if err != nil {
		s.t.Fatal(err)
	}
	change(&m)
	if m, err = release.NewManifest(m); err != nil {
		s.t.Fatal(err)
	}
	signature, err := release.Sign(key, strings.NewReader(string(m.JSON())), m.Comment(), "test")
	if err != nil {
		s.t.Fatal(err)
	}
	s.files[layout.Manifest], s.files[layout.ManifestSignature] = m.JSON(), signature
}

// disk is a bare disk that is this side and nothing else.
func (s *side) disk() vm.Disk {
	s.t.Helper()
	var list []disk.File
	var size int64
	for name, content := range s.files {
		list = append(list, disk.File{Path: name, Data: content})
		size += int64(len(content))
	}
	return vm.Disk{ID: "side", Path: volumeOf(s.t, layout.SideA, disk.Ext4Room(size), list)}
}

// buildKey is the key that signs the tests' releases.
func buildKey(t testing.TB) release.SecretKey {
	t.Helper()
	key, err := release.ReadSecretKey(read(t, filepath.Join(out, "keys", "development.key")), nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
