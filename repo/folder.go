package repo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"psyopsOS/release"
)

// A folder is a repository in the file system: a replica, a stick, a share.
type folder struct{ dir string }

func (f folder) address(name string) string { return filepath.Join(f.dir, name) }

func (f folder) signature(_ context.Context, name string) (content []byte, at, final string, err error) {
	// In a folder "latest" is a link to the versioned name.
	at, err = filepath.EvalSymlinks(f.address(name))
	if err != nil {
		return nil, "", "", err
	}
	file, err := os.Open(at)
	if err != nil {
		return nil, "", "", err
	}
	defer file.Close()
	content, err = io.ReadAll(io.LimitReader(file, release.MaxSignature+1))
	if err != nil {
		return nil, "", "", err
	}
	if len(content) > release.MaxSignature {
		return nil, "", "", &AnswerError{at, fmt.Sprintf("more than the %d bytes of a signature", release.MaxSignature)}
	}
	return content, at, filepath.Base(at), nil
}

func (f folder) open(_ context.Context, name string, offset int64) (part, error) {
	file, err := os.Open(f.address(name))
	if err != nil {
		return part{}, err
	}
	info, err := file.Stat()
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return part{}, err
	}
	return part{ReadCloser: file, offset: offset, total: info.Size(), address: f.address(name)}, nil
}
