package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
	"psyopsOS/step"
)

func (j *journey) copySquashfs(ctx context.Context, r *step.Reporter) (err error) {
	j.squashfs, err = j.fetch(ctx, r, layout.Squashfs)
	return err
}

func (j *journey) copyModloop(ctx context.Context, r *step.Reporter) (err error) {
	j.modloop, err = j.fetch(ctx, r, layout.Modloop)
	return err
}

// fetch brings a file of the side to where it will be mounted from, and
// verifies it on the way: while it is copied, or where it lies. The path is
// given only for a file that may be mounted.
func (j *journey) fetch(ctx context.Context, r *step.Reporter, name string) (path string, err error) {
	want, listed := j.manifest.File(name)
	switch {
	case !listed && j.c.Verify == VerifyRequire:
		return "", j.otherSide(fmt.Errorf("the manifest does not name %s", name))
	case !listed && !j.toRAM:
		return j.source(name), nil
	}
	path, dst, err := j.destination(name)
	if err != nil {
		return "", err
	}
	options := mounts.CopyOptions{Progress: func(done int64) { r.Progress(done, want.Size) }}
	verified := func() error { return nil }
	if listed {
		options.Size = want.Size
		verified = j.verifyWith(&options, r, name, want.Proof())
	}
	_, err = mounts.CopyFile(ctx, dst, j.source(name), options)
	err = errors.Join(err, dst.Close())
	if err == nil {
		err = verified()
	}
	if err != nil {
		return "", errors.Join(j.otherSide(err), j.forget(path))
	}
	return path, nil
}

// verifyWith has a copy's bytes compared with what was signed, as they come. A
// difference is an error, or a warning where the command line asks for no more.
// What it returns is asked when all have come.
func (j *journey) verifyWith(o *mounts.CopyOptions, r *step.Reporter, name string, proof *release.Proof) func() error {
	o.Hash = proof.Whole()
	var warned sync.Once
	judge := func(difference error) error {
		if difference == nil {
			return nil
		}
		err := j.otherSide(fmt.Errorf("%s on %s (%s) is not the file that was signed: %w", name, j.c.Side, j.side.Name, difference))
		if j.c.Verify == VerifyRequire {
			return err
		}
		warned.Do(func() { r.Warn(err) }) // that no more is asked for: once, not for each MiB
		return nil
	}
	if prove := proof.Piece(); prove != nil {
		o.Piece = func(offset int64, piece []byte) error { return judge(prove(offset, piece)) }
	}
	return func() error { return judge(proof.Err()) }
}

// destination is where a file of the side is written to, and mounted from.
func (j *journey) destination(name string) (path string, dst io.WriteCloser, err error) {
	if !j.toRAM {
		return j.source(name), nowhere{}, nil
	}
	path = j.m.path(layout.MediaRAM, name)
	// What an earlier try has left is overwritten.
	dst, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o444)
	return path, dst, err
}

// forget removes a copy that is not to be mounted: the step may be repeated,
// and its memory is needed.
func (j *journey) forget(path string) error {
	if !j.toRAM {
		return nil
	}
	return os.Remove(path)
}

// nowhere is where a file goes that is only hashed.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }
