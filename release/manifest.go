package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"

	"psyopsOS/layout"
)

// Bounds of a manifest. A thousand device trees are 0.2 MiB of manifest.
const (
	MaxManifest     = 1 << 20
	maxMember       = 1 << 40
	manifestVersion = 1
)

// A Manifest lists every member of an OS release's tar but itself and its
// signature.
type Manifest struct {
	Version      int    `json:"version"`
	Release      string `json:"release"`
	Type         Kind   `json:"type"`
	Architecture string `json:"architecture"`
	Kernel       string `json:"kernel"`
	Userland     string `json:"userland"` // name and release: "alpine 3.20"
	Files        []File `json:"files"`    // sorted by path
}

// A File is one member.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // 64 lower-case hexadecimal digits
	// Pieces are the SHA-256 of each MiB of it; the last may be shorter. Small
	// files, and manifests before 2026-11-22, have none.
	Pieces []string `json:"mib_sha256,omitempty"`
}

// NewManifest is a manifest of this version of the format, its files sorted.
func NewManifest(m Manifest) (Manifest, error) {
	m.Version, m.Type = manifestVersion, OS
	m.Files = slices.Clone(m.Files)
	SortFiles(m.Files)
	return m, m.check()
}

// SortFiles puts files in the manifest's order.
func SortFiles(files []File) { sort.Sort(byPath(files)) }

// byPath sorts by package sort: slices.SortFunc is compiled anew for each type,
// and this one cost 12 kB of code.
type byPath []File

func (f byPath) Len() int           { return len(f) }
func (f byPath) Less(i, j int) bool { return f[i].Path < f[j].Path }
func (f byPath) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }

// JSON is the one canonical form: one line, the keys in the struct's order.
func (m Manifest) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		// No value of these field types can fail to encode.
		panic(fmt.Sprintf("encode a manifest: %v", err))
	}
	return b.Bytes()
}

// File is the member at path.
func (m Manifest) File(path string) (File, bool) {
	i, ok := slices.BinarySearchFunc(m.Files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return File{}, false
	}
	return m.Files[i], true
}

// Size is the sum of the members' sizes.
func (m Manifest) Size() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// Comment is the trusted comment for the manifest's own signature. It names
// no file, so that it never passes for the comment of a tar.
func (m Manifest) Comment() string {
	return fmt.Sprintf("manifest=%s version=%s kernel=%s alpine=%s architecture=%s",
		m.Type, m.Release, m.Kernel, UserlandWord(m.Userland), m.Architecture)
}

// ParseManifest reads a manifest. Apart from white space it accepts only the
// canonical form: no unknown, repeated or reordered keys, nothing after the
// end, so that two programs cannot read two things in one signed text.
func ParseManifest(text []byte) (Manifest, error) {
	const what = "manifest"
	if len(text) > MaxManifest {
		return Manifest{}, malformed(what, "%d bytes, at most %d", len(text), MaxManifest)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, malformed(what, "%v", err)
	}
	if m.Version != manifestVersion {
		return Manifest{}, malformed(what, "version %d of the format, want %d", m.Version, manifestVersion)
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return Manifest{}, malformed(what, "%v", err)
	}
	if !bytes.Equal(compact.Bytes(), bytes.TrimSuffix(m.JSON(), []byte("\n"))) {
		return Manifest{}, malformed(what, "unknown, repeated or reordered keys, or values in another spelling")
	}
	return m, nil
}

func (m Manifest) check() error {
	const what = "manifest"
	if m.Type != OS {
		return malformed(what, "type %q, want %s", m.Type, OS)
	}
	if _, err := VersionTime(m.Release); err != nil {
		return malformed(what, "release %q is not YYYYmmdd-HHMMSS", m.Release)
	}
	if !isComponent(m.Architecture) {
		return malformed(what, "architecture %q", m.Architecture)
	}
	for _, s := range []string{m.Kernel, m.Userland} {
		if s == "" || len(s) > 128 || !printable(s) {
			return malformed(what, "kernel or userland %q is no printable text", s)
		}
	}
	if len(m.Files) == 0 {
		return malformed(what, "it names no file")
	}
	for i, f := range m.Files {
		if err := f.check(); err != nil {
			return err
		}
		if i > 0 && m.Files[i-1].Path >= f.Path {
			return malformed(what, "%q does not come after %q", f.Path, m.Files[i-1].Path)
		}
	}
	return nil
}

func (f File) check() error {
	const what = "manifest"
	if !isMember(f.Path) {
		return malformed(what, "%q is no member of a release", f.Path)
	}
	if f.Size < 0 || f.Size > maxMember {
		return malformed(what, "%s: size %d", f.Path, f.Size)
	}
	if n := pieces(f.Size); f.Pieces != nil && len(f.Pieces) != n {
		return malformed(what, "%s: hashes of %d MiB, want of %d or none", f.Path, len(f.Pieces), n)
	}
	for _, sum := range append([]string{f.SHA256}, f.Pieces...) {
		if len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
			return malformed(what, "%s: sha256 %q is not 64 lower-case hexadecimal digits", f.Path, sum)
		}
	}
	return nil
}

// isMember reports whether a manifest may name path: a regular file of a
// release other than the manifest and its signature.
func isMember(path string) bool {
	if path == layout.Manifest || IsManifestSignature(path) {
		return false
	}
	if slices.Contains(layout.OSMembers(), path) {
		return true
	}
	return len(path) <= 255 && fs.ValidPath(path) && printable(path) && !strings.Contains(path, `\`) &&
		strings.HasPrefix(path, layout.DeviceTrees+"/")
}

// VerifyManifest verifies a manifest's signature and then reads it.
func (k Keys) VerifyManifest(manifest []byte, signatures ...[]byte) (Manifest, error) {
	m, _, err := k.VouchedManifest(manifest, signatures...)
	return m, err
}

// VouchedManifest is VerifyManifest, and says who has vouched for it.
func (k Keys) VouchedManifest(manifest []byte, signatures ...[]byte) (Manifest, Vouched, error) {
	vouched, err := k.Whole(manifest, signatures...)
	if err != nil {
		return Manifest{}, Vouched{}, fmt.Errorf("%s: %w", layout.Manifest, err)
	}
	m, err := ParseManifest(manifest)
	if err != nil {
		return Manifest{}, Vouched{}, fmt.Errorf("%s: %w", layout.Manifest, err)
	}
	return m, vouched, nil
}
