package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// lseek(2)'s ways to ask for the next data and the next hole of a file.
const (
	seekData = 3
	seekHole = 4
)

// copySparse copies the file source to offset at of out, which must be zero
// there, and leaves out what is zero. It returns source's size.
func copySparse(ctx context.Context, out io.WriterAt, at int64, source string, tell func(done int64)) (int64, error) {
	in, err := os.Open(source)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return 0, err
	}
	buffer := make([]byte, mebibyte)
	for start := int64(0); start < info.Size(); {
		data, hole, err := nextData(in, start, info.Size())
		if err != nil {
			return 0, err
		}
		for pos := data; pos < hole; {
			if err := ctx.Err(); err != nil {
				return 0, context.Cause(ctx)
			}
			n, err := in.ReadAt(buffer[:min(int64(len(buffer)), hole-pos)], pos)
			if err != nil && !(errors.Is(err, io.EOF) && n > 0) {
				return 0, err
			}
			if err := writeNonZero(out, at+pos, buffer[:n]); err != nil {
				return 0, err
			}
			pos += int64(n)
			tell(pos)
		}
		start = hole
	}
	tell(info.Size())
	return info.Size(), nil
}

// nextData is where the next data at or behind start begins and ends; both
// are size where there is none.
func nextData(f *os.File, start, size int64) (data, hole int64, err error) {
	data, err = f.Seek(start, seekData)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return size, size, nil
	case errors.Is(err, syscall.EINVAL): // a filesystem that knows no holes
		return start, size, nil
	case err != nil:
		return 0, 0, fmt.Errorf("look for data: %w", err)
	}
	if hole, err = f.Seek(data, seekHole); err != nil {
		return 0, 0, fmt.Errorf("look for a hole: %w", err)
	}
	return data, min(hole, size), nil
}

// writeNonZero writes p at off but for blocks of zeroes.
func writeNonZero(out io.WriterAt, off int64, p []byte) error {
	var zero [block]byte
	for len(p) > 0 {
		n := 0
		for n < len(p) && !bytes.Equal(p[n:min(n+block, len(p))], zero[:min(block, len(p)-n)]) {
			n = min(n+block, len(p))
		}
		if n == 0 {
			n = min(block, len(p))
		} else if _, err := out.WriteAt(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}
