package alpine

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"psyopsOS/image/tree"
)

// A File is a package's file that was found to be the package which an index
// names.
type File struct {
	Package
	Scripts map[string][]byte // by name: pre-install, post-install, trigger, …
	Info    map[string][]string

	name string
	data int64 // where the data member begins
}

// Open reads a package's file as far as its data, and believes nothing in it
// before its checksums fit: the control member's, which want has, and the
// data's, which the control member has.
func Open(name string, want Package) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return File{}, err
	}
	file, err := open(f, want)
	if err = errors.Join(err, f.Close()); err != nil {
		return File{}, fmt.Errorf("package %s: %w", want, err)
	}
	file.name = name
	return file, nil
}

func open(f *os.File, want Package) (File, error) {
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	size := info.Size()
	if size != want.Size {
		return File{}, fmt.Errorf("the file has %d bytes, and the index says %d", size, want.Size)
	}
	control, data, err := findControl(f, size, want.Checksum)
	if err != nil {
		return File{}, err
	}
	members, err := smallTar(control)
	if err != nil {
		return File{}, fmt.Errorf("control: %w", err)
	}
	file := File{Package: want, Scripts: map[string][]byte{}, Info: parseInfo(members[".PKGINFO"]), data: data}
	for member, content := range members {
		if script, ok := strings.CutPrefix(member, "."); ok && member != ".PKGINFO" && !strings.HasPrefix(script, "SIGN.") {
			file.Scripts[script] = content
		}
	}
	if err := file.checkInfo(); err != nil {
		return File{}, err
	}
	return file, checkData(io.NewSectionReader(f, data, size-data), file.Info["datahash"])
}

// findControl uncompresses the control member: the second one, or the first
// of a package without a signature. data is where the next one begins.
func findControl(f io.ReaderAt, size int64, want Checksum) (content []byte, data int64, err error) {
	for try, from := 0, int64(0); try < 2; try++ {
		content, length, err := readMember(f, from, size, maxControl)
		if err != nil {
			return nil, 0, err
		}
		h := sha1.New()
		if _, err := io.Copy(h, io.NewSectionReader(f, from, length)); err != nil {
			return nil, 0, err
		}
		if Checksum(h.Sum(nil)) == want {
			return content, from + length, nil
		}
		from += length
	}
	return nil, 0, fmt.Errorf("this is another package than the one that the signed index names: no control member has the checksum %s", want)
}

// parseInfo reads .PKGINFO: lines `key = value`, keys more than once.
func parseInfo(text []byte) map[string][]string {
	info := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if ok && !strings.HasPrefix(key, "#") {
			info[key] = append(info[key], value)
		}
	}
	return info
}

// checkInfo finds an index that gives a package another name or version than
// the package itself, as to have an old one taken for a new one.
func (f File) checkInfo() error {
	for key, want := range map[string]string{"pkgname": f.Name, "pkgver": f.Version} {
		if got := f.Info[key]; len(got) != 1 || got[0] != want {
			return fmt.Errorf("%s is %q in the package and %q in the index", key, strings.Join(got, " "), want)
		}
	}
	return nil
}

func checkData(r io.Reader, want []string) error {
	if len(want) != 1 {
		return errors.New("the package does not say which data belongs to it (datahash)")
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want[0] {
		return fmt.Errorf("the data has the SHA-256 %s, and the package says %.64q", got, want[0])
	}
	return nil
}

// An owner is whom a file belongs to by name; names count before numbers.
type owner struct{ user, group string }

// Unpack reads the files, whose contents go to spool, or where it is nil to
// memory.
func (f File) Unpack(spool *os.File) (t *tree.Tree, owners map[string]owner, err error) {
	owners = map[string]owner{}
	err = f.withData(func(r io.Reader) error { return f.look(r, owners) })
	if err == nil {
		err = f.withData(func(r io.Reader) error {
			t, err = tree.ReadTar(r, spool)
			return err
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("package %s: %w", f.Package, err)
	}
	return t, owners, nil
}

// withData uncompresses the data, of which there may be a bounded lot, and
// sees to it that it is read to the end, where gzip's own check sum is.
func (f File) withData(read func(io.Reader) error) (err error) {
	file, err := os.Open(f.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Seek(f.data, io.SeekStart); err != nil {
		return err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(file, 1<<18))
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	bounded := &io.LimitedReader{R: z, N: f.maxData()}
	if err := read(bounded); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, bounded)
	if err == nil && bounded.N == 0 {
		err = fmt.Errorf("more than %d bytes are in the package, and the index says %d", f.maxData(), f.InstalledSize)
	}
	return err
}

// maxData is what the index says and as much again, for what a tar has
// beside contents: sizes in indexes are as du tells them.
func (f File) maxData() int64 { return min(2*f.InstalledSize+maxControl, maxData) }

// look goes through the data once before it is unpacked: for the owners'
// names, of which a tree knows nothing, and for what no package may bring.
func (f File) look(r io.Reader, owners map[string]owner) error {
	for data := tar.NewReader(r); ; {
		h, err := data.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(strings.TrimSuffix(h.Name, "/")) // as the tree calls it
		if strings.ContainsAny(name, "\n\r") {
			return fmt.Errorf("%q: a line break in a name", h.Name)
		}
		if isDatabase(name) && h.Typeflag != tar.TypeDir {
			return fmt.Errorf("%s belongs to apk itself", name)
		}
		switch h.Typeflag {
		case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
			return fmt.Errorf("%s: packages bring no devices and pipes", h.Name)
		}
		owners[name] = owner{h.Uname, h.Gname}
	}
}

func isDatabase(name string) bool {
	below := strings.TrimPrefix(name, "usr/") + "/"
	return below == "lib/apk/" || strings.HasPrefix(below, databaseDir+"/")
}

// Info fields that Alpine's tools know are written in this order.
func renderInfo(p Package, datahash string) []byte {
	var b bytes.Buffer
	one := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, value)
		}
	}
	one("pkgname", p.Name)
	one("pkgver", p.Version)
	one("pkgdesc", p.Description)
	one("url", p.URL)
	one("builddate", strconv.FormatInt(p.BuildTime, 10))
	one("packager", p.Maintainer)
	one("size", strconv.FormatInt(p.InstalledSize, 10))
	one("arch", p.Arch)
	one("origin", p.Origin)
	one("commit", p.Commit)
	one("maintainer", p.Maintainer)
	one("license", p.License)
	if p.Priority != 0 {
		one("provider_priority", strconv.Itoa(p.Priority))
	}
	for _, list := range []struct {
		key string
		all []Dependency
	}{{"depend", p.Depends}, {"provides", p.Provides}, {"replaces", p.Replaces}} {
		for _, d := range list.all {
			one(list.key, d.String())
		}
	}
	one("install_if", renderDependencies(p.InstallIf))
	one("datahash", datahash)
	return b.Bytes()
}
