// Package decompress opens compressed streams: of packages, of tars, of the
// layers of container images. What a stream is compressed with is read from
// its first bytes, never from its name: layers have none, and names of tars
// are often wrong.
//
// The zstd and xz readers of the build's inputs have their door here.
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
)

// What the formats begin with.
const (
	gzipMagic  = "\x1f\x8b"
	zstdMagic  = "\x28\xb5\x2f\xfd"
	xzMagic    = "\xfd7zXZ\x00"
	bzip2Magic = "BZh"
)

// maxWindow bounds the memory that a zstd stream can ask for; `zstd --long`
// needs 128 MiB.
const maxWindow = 128 << 20

// Reader reads what r holds, uncompressed: gzip, zstd, xz and bzip2 are known,
// all else is passed on as it is. Whoever wants to know that the compressed
// stream was whole reads to the end.
func Reader(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	head, err := buffered.Peek(len(xzMagic))
	if err != nil && err != io.EOF {
		return nil, err
	}
	begins := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case begins(gzipMagic):
		return gzip.NewReader(buffered)
	case begins(zstdMagic), isSkippable(head):
		// One thread: the stream may be damaged, and then is left half read.
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case begins(xzMagic):
		return unxz(buffered)
	case begins(bzip2Magic):
		return io.NopCloser(bzip2.NewReader(buffered)), nil
	}
	return io.NopCloser(buffered), nil
}

// isSkippable recognises a zstd stream that begins with a frame of metadata,
// as pzstd and zstd:chunked layers do.
func isSkippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18"
}
