package repo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/release"
	"psyopsOS/step"
)

// Unverified is added to the name of a file until it is verified, and then a
// word that says what it will be.
const Unverified = ".unverified"

// maxUnsized bounds a tar of the first psyopsOS, whose signature names no
// size.
const maxUnsized = 8 << 30

// Download fetches the tar into a file, and its signatures beside it. The file
// has its name only once it is verified; a second call goes on where an
// earlier one was broken off.
func (r Release) Download(ctx context.Context, name string, progress func(done, total int64)) error {
	temporary := r.Begun(name)
	removeOthers(temporary, name)
	if err := r.fetch(ctx, temporary, progress); err != nil {
		return err
	}
	for i, signature := range r.Signatures {
		if err := os.WriteFile(name+".minisig"+r.suffixes[i], signature, 0o644); err != nil {
			return err
		}
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// Begun is what a file is called while it is fetched. It says which release
// that will be, by its signature: what was fetched of one is not taken for the
// beginning of another, which would be found out only at its end.
func (r Release) Begun(name string) string {
	sum := sha256.Sum256(r.Signatures[0])
	return name + Unverified + "-" + hex.EncodeToString(sum[:begunBytes])
}

const begunBytes = 8 // of a hash, in the name of what is begun

// removeOthers removes what was begun of other releases under the same name: it
// would lie there for ever. What cannot be removed only takes room.
func removeOthers(own, name string) {
	entries, _ := os.ReadDir(filepath.Dir(name))
	for _, e := range entries {
		word, ours := strings.CutPrefix(e.Name(), filepath.Base(name)+Unverified)
		sum, err := hex.DecodeString(strings.TrimPrefix(word, "-"))
		ours = ours && (word == "" || word[0] == '-' && err == nil && len(sum) == begunBytes)
		if ours && e.Name() != filepath.Base(own) && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(filepath.Dir(name), e.Name()))
		}
	}
}

// fetch fills a file, from where it ends, and verifies the whole of it.
func (r Release) fetch(ctx context.Context, name string, progress func(done, total int64)) (err error) {
	verifier, err := r.keys.Verifier(r.Signatures...)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	from := r.Open(ctx)
	defer from.Close()
	have, err := r.have(f, verifier)
	if err != nil {
		return err
	}
	if err := from.Skip(have); err != nil {
		return err
	}
	told := &tellingWriter{ctx: ctx, done: have, size: from.Size, tell: progress}
	if err := copyBounded(io.MultiWriter(f, verifier, told), from, r.bound()-have); err != nil {
		return err
	}
	if _, err := verifier.Verify(); err != nil {
		// Whatever is wrong with it, fetching the rest will not mend it.
		return step.WithHint(errors.Join(fmt.Errorf("%s: %w", r.TarAddress(), err), os.Remove(name)),
			"what was fetched has been removed; the repository may be damaged, or somebody changes what it sends")
	}
	return f.Sync()
}

func (r Release) bound() int64 {
	if r.Info.Size > 0 {
		return r.Info.Size
	}
	return maxUnsized
}

// have gives the verifier what is in the file already. A file that is longer
// than the release is none of it.
func (r Release) have(f *os.File, verifier *release.Verifier) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() > r.bound() {
		return 0, f.Truncate(0)
	}
	return io.Copy(verifier, f)
}

// copyBounded copies all, and refuses to copy more than limit bytes.
func copyBounded(w io.Writer, r io.Reader, limit int64) error {
	n, err := io.CopyBuffer(w, io.LimitReader(r, limit+1), make([]byte, 1<<20))
	if err == nil && n > limit {
		err = fmt.Errorf("more than %s", step.Bytes(limit))
	}
	return err
}

type tellingWriter struct {
	ctx  context.Context
	done int64
	size func() int64
	tell func(done, total int64)
}

func (t *tellingWriter) Write(p []byte) (int, error) {
	t.done += int64(len(p))
	if t.tell != nil {
		t.tell(t.done, max(0, t.size()))
	}
	// What the network still holds would be written to the end.
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	return len(p), nil
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Verify reads the whole tar and says whether it is what was signed.
func (r Release) Verify(ctx context.Context) error {
	verifier, err := r.keys.Verifier(r.Signatures...)
	if err != nil {
		return err
	}
	from := r.Open(ctx)
	defer from.Close()
	if err := copyBounded(verifier, from, r.bound()); err != nil {
		return err
	}
	if _, err := verifier.Verify(); err != nil {
		return fmt.Errorf("%s: %w", r.TarAddress(), err)
	}
	return nil
}
