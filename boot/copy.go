package boot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"psyopsOS/layout"
	"psyopsOS/mounts"
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
	hash := sha256.New()
	// What comes after the modloop has time until the squashfs is there.
	options := mounts.CopyOptions{Urgent: name == layout.Squashfs, Progress: func(done int64) { r.Progress(done, want.Size) }}
	if listed {
		options.Size, options.Hash = want.Size, hash
	}
	_, err = mounts.CopyFile(ctx, dst, j.source(name), options)
	if err := errors.Join(err, dst.Close()); err != nil {
		return "", errors.Join(j.otherSide(err), j.forget(path))
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); listed && sum != want.SHA256 {
		if err := j.refuse(r, name, sum, want.SHA256); err != nil {
			return "", errors.Join(err, j.forget(path))
		}
	}
	return path, nil
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

// refuse is the error of a file that is not what was signed, or a warning
// where the command line asks for no more.
func (j *journey) refuse(r *step.Reporter, name, sum, want string) error {
	err := j.otherSide(fmt.Errorf("%s on %s (%s) is not the file that was signed: its SHA-256 is %s, the manifest says %s",
		name, j.c.Side, j.side.Name, sum, want))
	if j.c.Verify == VerifyRequire {
		return err
	}
	r.Warn(err)
	return nil
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
