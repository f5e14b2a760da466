package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"psyopsOS/image/disk"
	"psyopsOS/release"
)

// A tarMember is a file for a tar, with the hash that it must have; an empty
// hash means any.
type tarMember struct {
	disk.File
	sha256 string
}

// writeTar writes an uncompressed tar of regular files, all of root's and of
// the same time, in the order of the list.
func writeTar(ctx context.Context, name string, mtime time.Time, members []tarMember, progress disk.Progress) error {
	return replaceFile(name, func(w io.Writer) error { return streamTar(ctx, w, mtime, members, progress) })
}

func streamTar(ctx context.Context, out io.Writer, mtime time.Time, members []tarMember, progress disk.Progress) error {
	var done, total int64
	for _, m := range members {
		size, err := m.Size()
		if err != nil {
			return err
		}
		total += size
	}
	tell := func(n int64) {
		if done += n; progress != nil {
			progress(done, total)
		}
	}
	w := tar.NewWriter(out)
	for _, m := range members {
		if err := m.write(ctx, w, mtime, tell); err != nil {
			return fmt.Errorf("%s: %w", m.Path, err)
		}
	}
	return w.Close()
}

func (m tarMember) write(ctx context.Context, w *tar.Writer, mtime time.Time, tell func(int64)) error {
	size, err := m.Size()
	if err != nil {
		return err
	}
	mode := int64(m.Mode.Perm())
	if mode == 0 {
		mode = 0o644
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: m.Path, Size: size, Mode: mode, ModTime: mtime}); err != nil {
		return err
	}
	r, err := m.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h, told(tell)), patient{ctx, r}); err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)); m.sha256 != "" && got != m.sha256 {
		return fmt.Errorf("it changed while the release was made: sha256 %s, was %s", got, m.sha256)
	}
	return nil
}

// told is a writer that only tells how much is written.
type told func(int64)

func (t told) Write(p []byte) (int, error) {
	t(int64(len(p)))
	return len(p), nil
}

// memberOf is what the manifest says of a file that becomes the member path.
func memberOf(ctx context.Context, path, file string) (release.File, error) {
	f, err := os.Open(file)
	if err != nil {
		return release.File{}, err
	}
	defer f.Close()
	return release.NewFile(path, patient{ctx, f})
}

// signTar signs the tar, whose size becomes part of what is signed, with each
// key, and writes the signatures beside it: the first last, since it tells
// readers that the tar is signed.
func signTar(ctx context.Context, tar string, info *release.Info, keys []release.SecretKey) (string, error) {
	f, err := os.Open(tar)
	if err != nil {
		return "", err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return "", err
	}
	info.Size = stat.Size()
	signatures, err := release.SignAll(keys, func(key release.SecretKey) ([]byte, error) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return release.Sign(key, patient{ctx, f}, info.Comment(), untrusted(info.Filename))
	})
	if err != nil {
		return "", err
	}
	name := tar + ".minisig"
	for _, s := range slices.Backward(signatures) {
		err := replaceFile(name+s.Suffix, func(w io.Writer) error {
			_, err := w.Write(s.Text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return name, nil
}

// untrusted is a signature's untrusted comment: for people, and the same for
// the same file.
func untrusted(name string) string { return "signature of " + name }

// patient is a reader that gives up when its context ends.
type patient struct {
	ctx context.Context
	io.Reader
}

func (p patient) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	return p.Reader.Read(b)
}
