package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/image/disk"
)

// maxSecret bounds the whole of a node's secrets: they are copied into RAM at
// every boot.
const maxSecret = 16 << 20

// SecretFiles lists a node's secrets in dir as they go onto its psyops-secret
// volume: mode 0600, flat, without hidden files.
func SecretFiles(dir string) ([]disk.File, error) {
	files, err := disk.Tree(dir)
	if err != nil {
		return nil, err
	}
	var total int64
	for i, f := range files {
		if strings.ContainsRune(f.Path, '/') {
			return nil, fmt.Errorf("%s in %s: a node's secrets lie flat in one folder", f.Path, dir)
		}
		size, err := f.Size()
		if err != nil {
			return nil, err
		}
		if total += size; total > maxSecret {
			return nil, fmt.Errorf("the files in %s have more than %d bytes", dir, maxSecret)
		}
		files[i].Mode = 0o600
	}
	return files, nil
}

// SecTar writes a tar of the node's secrets in dir. The same secrets give the
// same bytes; nobody but the owner may read it.
func SecTar(ctx context.Context, dir, out string, mtime time.Time) (err error) {
	files, err := SecretFiles(dir)
	if err != nil {
		return fmt.Errorf("make %s: %w", out, err)
	}
	var members []tarMember
	for _, f := range files {
		members = append(members, tarMember{f, ""})
	}
	f, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+"-") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make %s: %w", out, err), os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(streamTar(ctx, f, mtime, members, nil), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), out)
}

// ReadSecTar reads what SecTar wrote, for the psyops-secret volume.
func ReadSecTar(name string) ([]disk.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files, err := readSecTar(f)
	if err != nil {
		return nil, fmt.Errorf("read the secrets in %s: %w", name, err)
	}
	return files, nil
}

func readSecTar(r io.Reader) ([]disk.File, error) {
	var files []disk.File
	left := int64(maxSecret)
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if left -= h.Size; left < 0 {
			return nil, fmt.Errorf("more than %d bytes", maxSecret)
		}
		if h.Typeflag != tar.TypeReg || strings.ContainsAny(h.Name, `/\`) || strings.HasPrefix(h.Name, ".") || h.Name == "" {
			return nil, fmt.Errorf("%q is not a plain file", h.Name)
		}
		content, err := io.ReadAll(t)
		if err != nil {
			return nil, err
		}
		files = append(files, disk.File{Path: h.Name, Data: content, Mode: 0o600})
	}
}
