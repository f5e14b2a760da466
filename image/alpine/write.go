package alpine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"psyopsOS/image/tree"
)

// A Signer signs packages and indexes.
type Signer struct {
	Name string // of the public key's file, as psyops.rsa.pub
	Key  *rsa.PrivateKey
	Hash crypto.Hash // 0: SHA-256; SHA-1 is what Alpine's own have
}

// sign makes the member that goes before what is signed.
func (s Signer) sign(signed []byte) ([]byte, error) {
	hash, kind := s.Hash, "RSA256"
	switch hash {
	case 0:
		hash = crypto.SHA256
	case crypto.SHA1:
		kind = "RSA"
	}
	h := hash.New()
	h.Write(signed)
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.Key, hash, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return packMember(false, func(w *tar.Writer) error { return writeSmall(w, ".SIGN."+kind+"."+s.Name, signature) })
}

// packMember compresses a part of a tar; only the last part has a tar's end.
// Nothing in it tells when or where it was made.
func packMember(last bool, write func(*tar.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := write(w)
	if err == nil && last {
		err = w.Close()
	} else if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = z.Close()
	}
	return b.Bytes(), err
}

func writeSmall(w *tar.Writer, name string, content []byte) error {
	mode := int64(0o644)
	if strings.Contains(name, "install") || name == ".trigger" {
		mode = 0o755
	}
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), Uname: "root", Gname: "root", ModTime: time.Unix(0, 0)})
	if err == nil {
		_, err = w.Write(content)
	}
	return err
}

// Pack makes a package's file with the files of t and with scripts, by their
// names without the dot (post-install). It gives the package as the index
// shall describe it.
func Pack(p Package, t *tree.Tree, scripts map[string][]byte, by Signer) ([]byte, Package, error) {
	p.InstalledSize = t.Size()
	data, err := packData(t, time.Unix(p.BuildTime, 0))
	if err != nil {
		return nil, p, fmt.Errorf("package %s: %w", p, err)
	}
	return PackData(p, data, scripts, by)
}

// PackData is Pack for a data member that was made elsewhere.
func PackData(p Package, data []byte, scripts map[string][]byte, by Signer) ([]byte, Package, error) {
	sum := sha256.Sum256(data)
	control, err := packMember(false, func(w *tar.Writer) error {
		err := writeSmall(w, ".PKGINFO", renderInfo(p, hex.EncodeToString(sum[:])))
		for _, name := range slices.Sorted(maps.Keys(scripts)) {
			if err == nil {
				err = writeSmall(w, "."+name, scripts[name])
			}
		}
		return err
	})
	if err != nil {
		return nil, p, err
	}
	signature, err := by.sign(control)
	if err != nil {
		return nil, p, err
	}
	file := slices.Concat(signature, control, data)
	p.Checksum, p.Size = sha1.Sum(control), int64(len(file))
	return file, p, p.check()
}

// checksumRecord is where apk looks for a file's SHA-1.
const checksumRecord = "APK-TOOLS.checksum.SHA1"

func packData(t *tree.Tree, mtime time.Time) ([]byte, error) {
	var plain bytes.Buffer
	if err := t.WriteTar(&plain, mtime); err != nil {
		return nil, err
	}
	return packMember(true, func(w *tar.Writer) error {
		for r := tar.NewReader(&plain); ; {
			h, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			content, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			if err := writeHeader(w, h, content); err != nil {
				return err
			}
			if _, err := w.Write(content); err != nil {
				return err
			}
		}
	})
}

// writeHeader adds what apk wants to know beside what a tar tells.
func writeHeader(w *tar.Writer, h *tar.Header, content []byte) error {
	if h.Typeflag == tar.TypeSymlink {
		content = []byte(h.Linkname)
	}
	if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeSymlink {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[checksumRecord] = fmt.Sprintf("%x", sha1.Sum(content))
	}
	if h.Uid == 0 {
		h.Uname = "root"
	}
	if h.Gid == 0 {
		h.Gname = "root"
	}
	h.Format = tar.FormatPAX
	return w.WriteHeader(h)
}

// Content is a package and what shall be in it.
type Content struct {
	Package
	Files   *tree.Tree
	Scripts map[string][]byte // by name: post-install, …
}

// WriteRepository makes packages and their index in folders below dir, one for
// each architecture, and puts the public key beside them. It gives the
// packages as the index describes them. The index, which makes packages known,
// comes last.
func WriteRepository(dir, description string, contents []Content, by Signer) ([]Package, error) {
	var all []Package
	byArch := map[string][]Package{}
	for _, c := range contents {
		file, described, err := Pack(c.Package, c.Files, c.Scripts, by)
		if err != nil {
			return nil, err
		}
		if err := writeBelow(dir, c.Arch, described.File(), file); err != nil {
			return nil, err
		}
		all = append(all, described)
		byArch[c.Arch] = append(byArch[c.Arch], described)
	}
	public, err := RenderKey(&by.Key.PublicKey)
	if err == nil {
		err = writeBelow(dir, ".", by.Name, public)
	}
	for arch, packages := range byArch {
		if err != nil {
			break
		}
		var index []byte
		if index, err = PackIndex(description, packages, by); err == nil {
			err = writeBelow(dir, arch, indexName, index)
		}
	}
	return all, err
}

func writeBelow(dir, arch, name string, content []byte) error {
	name = filepath.Join(dir, arch, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	temp := name + ".new"
	if err := os.WriteFile(temp, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, name)
}

// PackIndex makes a signed APKINDEX.tar.gz.
func PackIndex(description string, packages []Package, by Signer) ([]byte, error) {
	index, err := packMember(true, func(w *tar.Writer) error {
		if err := writeSmall(w, "DESCRIPTION", []byte(description)); err != nil {
			return err
		}
		return writeSmall(w, "APKINDEX", RenderIndex(packages))
	})
	if err != nil {
		return nil, err
	}
	signature, err := by.sign(index)
	return slices.Concat(signature, index), err
}
