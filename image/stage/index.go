package stage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A stamp is what of a file changes when its content does.
type stamp struct {
	Size, MTime, CTime int64
	Inode              uint64
	Executable         bool
}

type indexed struct {
	stamp stamp
	sum   string
}

// An index remembers the hashes of files by their stamps, as git does.
type index struct {
	mutex sync.Mutex
	files map[string]indexed
	dirty bool
	now   func() time.Time
}

// racy is how old a file's change must be for its stamp to vouch for the
// content. Within a tick of the kernel's clock (4 ms, 10 on some) a file may
// be written again and keep its stamp.
const racy = 50 * time.Millisecond

// file is the hash of the file's content, with "x" behind it where the file
// is executable, or absent.
func (x *index) file(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	before, err := stampOf(name)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return "", err
	}
	if sum, ok := x.known(name, before); ok {
		return sum, nil
	}
	asked := x.now()
	sum, err := hashFile(name)
	if err != nil {
		return "", err
	}
	if before.Executable {
		sum += "x"
	}
	if age := asked.Sub(time.Unix(0, max(before.MTime, before.CTime))); age > racy {
		x.remember(name, before, sum)
	}
	return sum, nil
}

func (x *index) known(name string, s stamp) (string, bool) {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	known, ok := x.files[name]
	return known.sum, ok && known.stamp == s
}

func (x *index) remember(name string, s stamp, sum string) {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	x.files[name] = indexed{s, sum}
	x.dirty = true
}

func stampOf(name string) (stamp, error) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("%s is no regular file", name)
	}
	s := stamp{Size: info.Size(), MTime: info.ModTime().UnixNano(), Executable: info.Mode()&0o111 != 0}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Inode, s.CTime = sys.Ino, sys.Ctim.Nano()
	}
	return s, nil
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

const indexName = ".index"

// openIndex reads the index in dir. One that cannot be read is as good as
// none: all is hashed again.
func openIndex(dir string) *index {
	x := &index{files: map[string]indexed{}, now: time.Now}
	if data, err := os.ReadFile(filepath.Join(dir, indexName)); err == nil {
		x.files = parseIndex(data)
	}
	return x
}

// save writes the index, where it has changed, without what is gone.
func (x *index) save(dir string) error {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	if !x.dirty {
		return nil
	}
	var b bytes.Buffer
	for name, f := range x.files {
		if _, err := os.Lstat(name); err == nil && !strings.Contains(name, "\n") {
			renderIndexed(&b, name, f)
		}
	}
	return writeFile(filepath.Join(dir, indexName), b.Bytes())
}

func renderIndexed(w io.Writer, name string, f indexed) {
	fmt.Fprintf(w, "%s %d %d %d %d %t %s\n", f.sum, f.stamp.Size, f.stamp.MTime, f.stamp.CTime, f.stamp.Inode, f.stamp.Executable, name)
}

// parseIndex reads lines as renderIndexed writes them and passes over others.
func parseIndex(data []byte) map[string]indexed {
	files := map[string]indexed{}
	for line := range strings.Lines(string(data)) {
		line, whole := strings.CutSuffix(line, "\n")
		words := strings.SplitN(line, " ", 7)
		if !whole || len(words) < 7 || len(words[0]) < 2*sha256.Size {
			continue
		}
		if s, ok := parseStamp(words[1:6]); ok {
			files[words[6]] = indexed{s, words[0]}
		}
	}
	return files
}

func parseStamp(words []string) (s stamp, ok bool) {
	var errs [5]error
	s.Size, errs[0] = strconv.ParseInt(words[0], 10, 64)
	s.MTime, errs[1] = strconv.ParseInt(words[1], 10, 64)
	s.CTime, errs[2] = strconv.ParseInt(words[2], 10, 64)
	s.Inode, errs[3] = strconv.ParseUint(words[3], 10, 64)
	s.Executable, errs[4] = strconv.ParseBool(words[4])
	return s, errors.Join(errs[:]...) == nil
}

// writeFile writes to a temporary name first.
func writeFile(name string, data []byte) error {
	temp := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.WriteFile(temp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, name)
}
