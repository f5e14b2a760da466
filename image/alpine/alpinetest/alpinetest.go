// Package alpinetest makes repositories of signed packages for tests, good
// and malicious ones. The folders that it writes are laid out as Alpine's.
package alpinetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"time"

	"psyopsOS/image/alpine"
)

// NewSigner makes a key whose public half is called name.
func NewSigner(name string) (alpine.Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return alpine.Signer{Name: name, Key: key}, err
}

// Keys is the folder of keys of somebody who trusts these signers.
func Keys(signers ...alpine.Signer) alpine.Keys {
	keys := alpine.Keys{}
	for _, s := range signers {
		keys[s.Name] = &s.Key.PublicKey
	}
	return keys
}

// A Package is what a package shall be made of.
type Package struct {
	alpine.Package
	Files   []tar.Header      // in this order, whatever they are
	Content map[string]string // of files, by name
	Scripts map[string]string
	Signer  alpine.Signer // whoever signs it
}

// New is a package with dependencies as an index has them.
func New(name, version string, by alpine.Signer) Package {
	return Package{Package: alpine.Package{Name: name, Version: version, Arch: "x86_64", Description: "test", Origin: name},
		Content: map[string]string{}, Scripts: map[string]string{}, Signer: by}
}

// File adds a file of root's.
func (p Package) File(name string, mode int64, content string) Package {
	p.Content[name] = content
	p.Files = append(p.Files, tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Uname: "root", Gname: "root", Size: int64(len(content))})
	return p
}

// Add adds any member.
func (p Package) Add(h tar.Header) Package {
	p.Files = append(p.Files, h)
	return p
}

// Build makes the file, and the package as the index shall describe it.
func (p Package) Build() ([]byte, alpine.Package, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range p.Files {
		h.Format, h.ModTime = tar.FormatPAX, time.Unix(0, 0)
		if err := w.WriteHeader(&h); err != nil {
			return nil, p.Package, err
		}
		if _, err := w.Write([]byte(p.Content[h.Name])); err != nil {
			return nil, p.Package, err
		}
		p.InstalledSize += h.Size
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, p.Package, err
	}
	scripts := map[string][]byte{}
	for name, text := range p.Scripts {
		scripts[name] = []byte(text)
	}
	return alpine.PackData(p.Package, b.Bytes(), scripts, p.Signer)
}

// Repository writes packages and their index, signed by signer, below dir.
func Repository(dir string, signer alpine.Signer, packages ...Package) error {
	var all []alpine.Package
	for _, p := range packages {
		file, described, err := p.Build()
		if err != nil {
			return err
		}
		all = append(all, described)
		if err := Put(dir, described.File(), file); err != nil {
			return err
		}
	}
	return Index(dir, signer, all...)
}

// Index writes an index of packages.
func Index(dir string, signer alpine.Signer, packages ...alpine.Package) error {
	index, err := alpine.PackIndex("test", packages, signer)
	if err != nil {
		return err
	}
	return Put(dir, "APKINDEX.tar.gz", index)
}

// Put writes a file of the repository.
func Put(dir, name string, content []byte) error {
	dir = filepath.Join(dir, "x86_64")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), content, 0o644)
}

// Dependencies reads words, and panics where they are none.
func Dependencies(words string) []alpine.Dependency {
	d, err := alpine.ParseWorld([]byte(words))
	if err != nil {
		panic(err)
	}
	return d
}

// Base is a small userland with accounts, busybox and services.
func Base(by alpine.Signer) []Package {
	layout := New("alpine-baselayout", "3.6.5-r0", by).
		Add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, Uname: "root", Gname: "root"}).
		Add(tar.Header{Typeflag: tar.TypeDir, Name: "root/", Mode: 0o700, Uname: "root", Gname: "root"}).
		File("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n").
		File("etc/group", 0o644, "root:x:0:root\nshadow:x:42:\ntty:x:5:\n").
		File("etc/shadow", 0o640, "root:*::0:::::\n")
	busybox := New("busybox", "1.37.0-r9", by).File("bin/busybox", 0o755, "busybox").
		File("etc/busybox-paths.d/busybox", 0o644, "/bin/sh\n/bin/busybox\n/bin/ls\nbin/su\n/usr/bin/vi\n")
	busybox.Scripts["post-install"] = "#!/bin/sh\n/bin/busybox --install -s\n"
	openrc := New("openrc", "0.55.1-r2", by).File("sbin/openrc", 0o755, "openrc").
		File("etc/init.d/devfs", 0o755, "#!/sbin/openrc-run\n").File("etc/init.d/local", 0o755, "#!/sbin/openrc-run\n")
	openrc.Depends = Dependencies("busybox")
	return []Package{openrc, busybox, layout}
}
