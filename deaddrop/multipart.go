package deaddrop

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
)

const (
	// partSize is the unit that is not sent again after a broken connection,
	// and what several of which are in memory. S3 wants at least 5 MiB.
	partSize = 16 << 20
	maxParts = 10_000
	// smallFile is what any number of requests may have in memory at once.
	smallFile = 1 << 20
	// partsAtOnce bounds the memory, with files of some size that are sent in
	// one piece: 64 MiB, whatever number of requests is asked for.
	partsAtOnce = 4
	notesFolder = ".deaddrop"
)

// partSizeOf is the size of the parts of a file of so many bytes.
func partSizeOf(size int64) int64 { return max(int64(partSize), (size+maxParts-1)/maxParts) }

// A partSum is what a part was when the file was hashed. The request that sends
// it is signed over the SHA-256, so that the server refuses all else. The CRC is
// for us to see before that the file has changed: it takes a tenth of a second
// for two gigabytes, where another SHA-256 took three.
type partSum struct {
	sha256 [sha256.Size]byte
	crc    uint32
}

func sumOf(part []byte) partSum { return partSum{sha256.Sum256(part), crcOf(part)} }

func crcOf(part []byte) uint32 { return crc32.Checksum(part, crc32.MakeTable(crc32.Castagnoli)) }

// Send sends a file of the folder, which Hash has read. What is sent is what
// was hashed: an object that e's hash does not describe never comes to be.
// progress is told of bytes as they arrive.
func (b *Bucket) Send(ctx context.Context, from *Folder, e Entry, progress func(n int64)) error {
	size := partSizeOf(e.Size)
	if e.Size > size {
		return b.sendInParts(ctx, from, e, size, progress)
	}
	if e.Size > smallFile {
		buffer := <-b.buffers // its holder does not wait for another
		defer func() { b.buffers <- buffer }()
	}
	file, err := from.root.Open(e.Key)
	if err != nil {
		return err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, e.Size+1))
	if err != nil {
		return err
	}
	if sha256Of(content) != e.SHA256 {
		return changedError(e.Key)
	}
	if err := b.Put(ctx, e, content); err != nil {
		return err
	}
	progress(e.Size)
	return nil
}

// An upload is a file on its way, in parts.
type upload struct {
	bucket   *Bucket
	key      string
	id       string
	there    map[int]minio.ObjectPart // by an earlier run
	progress func(n int64)

	mu    sync.Mutex
	parts []minio.CompletePart
}

// sendInParts goes on where an earlier run was broken off: the folder keeps a
// note of the upload's id, by place and hash of the file.
func (b *Bucket) sendInParts(ctx context.Context, from *Folder, e Entry, size int64, progress func(n int64)) error {
	if e.parts == nil { // it was thought to be there
		sum := e.SHA256
		if err := from.hash(ctx, &e, true, func(int) {}); err != nil {
			return err
		}
		if e.SHA256 != sum {
			return changedError(e.Key)
		}
	}
	u := &upload{bucket: b, key: e.Key, progress: progress}
	note := b.noteOf(e, size)
	if err := u.begin(ctx, from, note, b.options(e)); err != nil {
		return err
	}
	err := u.sendParts(ctx, from, e, size)
	if errors.Is(err, errChanged) {
		abort := b.client.AbortMultipartUpload(ctx, b.name, b.prefix+e.Key, u.id)
		return errors.Join(changedError(e.Key), abort, from.removeIfThere(note))
	}
	if err != nil {
		return err
	}
	_, err = b.client.CompleteMultipartUpload(ctx, b.name, b.prefix+e.Key, u.id, u.parts, minio.PutObjectOptions{})
	if err != nil {
		return b.explain("complete "+e.Key, err)
	}
	return from.removeIfThere(note)
}

func (b *Bucket) noteOf(e Entry, size int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%s", b, e.Key, size, e.SHA256))
	return path.Join(notesFolder, "upload-"+hex.EncodeToString(sum[:16]))
}

// begin finds the upload of an earlier run, or begins one.
func (u *upload) begin(ctx context.Context, from *Folder, note string, options minio.PutObjectOptions) error {
	text, err := from.root.ReadFile(note)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if id := strings.TrimSpace(string(text)); id != "" {
		u.id = id
		if u.there, err = u.sent(ctx); err == nil {
			return nil
		}
		// The server may have thrown it away meanwhile.
		if code := minio.ToErrorResponse(err).Code; code != "NoSuchUpload" {
			return u.bucket.explain("look at the upload of "+u.key, err)
		}
	}
	if u.id, err = u.bucket.client.NewMultipartUpload(ctx, u.bucket.name, u.bucket.prefix+u.key, options); err != nil {
		return u.bucket.explain("send "+u.key, err)
	}
	if err := from.root.MkdirAll(notesFolder, 0o755); err != nil {
		return err
	}
	return from.replace(note, func(temporary string) error {
		return from.root.WriteFile(temporary, []byte(u.id+"\n"), 0o644)
	})
}

// sent are the parts that are there already.
func (u *upload) sent(ctx context.Context) (map[int]minio.ObjectPart, error) {
	there := map[int]minio.ObjectPart{}
	for marker := 0; ; {
		page, err := u.bucket.client.ListObjectParts(ctx, u.bucket.name, u.bucket.prefix+u.key, u.id, marker, 1000)
		if err != nil {
			return nil, err
		}
		for _, p := range page.ObjectParts {
			there[p.PartNumber] = p
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return there, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// errChanged is a part that is not what was hashed.
var errChanged = errors.New("the file has changed")

// sendParts reads the file once, in order, while several parts are on their
// way.
func (u *upload) sendParts(ctx context.Context, from *Folder, e Entry, size int64) error {
	file, err := from.root.Open(e.Key)
	if err != nil {
		return err
	}
	defer file.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u.parts = make([]minio.CompletePart, len(*e.parts))
	var wait sync.WaitGroup
	for i, sum := range *e.parts {
		buffer := <-u.bucket.buffers // its holder does not wait for another
		content, err := readPart(file, buffer, min(size, e.Size-int64(i)*size))
		if err != nil || crcOf(content) != sum.crc {
			cancel(errors.Join(errChanged, err))
		}
		if ctx.Err() != nil {
			u.bucket.buffers <- buffer
			break
		}
		wait.Go(func() {
			defer func() { u.bucket.buffers <- content }()
			if err := u.sendPart(ctx, i, content, sum); err != nil {
				cancel(err)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

func readPart(file *os.File, buffer []byte, size int64) ([]byte, error) {
	if int64(cap(buffer)) < size {
		buffer = make([]byte, size)
	}
	_, err := io.ReadFull(file, buffer[:size])
	return buffer[:size], err
}

// sendPart sends part i, unless the server has the very same already.
func (u *upload) sendPart(ctx context.Context, i int, content []byte, sum partSum) error {
	number := i + 1
	part, ok := u.there[number]
	if !ok || part.Size != int64(len(content)) || strings.Trim(part.ETag, `"`) != md5Of(content) {
		var err error
		part, err = u.bucket.client.PutObjectPart(ctx, u.bucket.name, u.bucket.prefix+u.key, u.id, number,
			bytes.NewReader(content), int64(len(content)), minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum.sha256[:]), DisableContentSha256: true})
		if err != nil {
			return u.bucket.explain(fmt.Sprintf("send part %d of %s", number, u.key), err)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[i] = minio.CompletePart{PartNumber: number, ETag: part.ETag}
	u.progress(int64(len(content)))
	return nil
}

// md5Of is the ETag of a part.
func md5Of(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}
