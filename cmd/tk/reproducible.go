package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"psyopsOS/step"
)

// checkReproducible builds the targets twice, each time from a copy of the
// source and with this program, and compares all that their stages made.
func (p *project) checkReproducible(ctx context.Context, e env, targets []string, args []string) error {
	dir, err := os.MkdirTemp(p.out, ".reproducible-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := sourceFiles(ctx, p.root)
	if err != nil {
		return err
	}
	var builds [2]variation
	for i := range builds {
		builds[i] = p.variation(i, filepath.Join(dir, []string{"one", "another path"}[i]))
		if err := builds[i].run(ctx, e, p.root, files, args); err != nil {
			return fmt.Errorf("build %d of 2: %w", i+1, err)
		}
	}
	same, err := firstDifference(builds[0].out(), builds[1].out(), targets)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%d files of %s are the same from two builds under another %s\n", same, strings.Join(targets, ", "), strings.Join(builds[1].varied, ", "))
	return nil
}

// A variation is one of the two builds.
type variation struct {
	dir     string
	reverse bool // the copy's files are made in the other order
	umask   string
	env     []string
	uid     int      // as which the build sees itself
	varied  []string // for the report
}

func (v variation) source() string { return filepath.Join(v.dir, "source") }
func (v variation) out() string    { return filepath.Join(v.dir, "out") }

// variation is the n-th build's. The clock goes on between the two, and what
// is made of it is fixed for both: the release's time.
func (p *project) variation(n int, dir string) variation {
	v := variation{dir: dir, umask: []string{"022", "077"}[n], reverse: n == 1, uid: os.Getuid()}
	v.env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "TZ=") || strings.HasPrefix(s, "LC_ALL=") }),
		"SOURCE_DATE_EPOCH="+strconv.FormatInt(p.source.Time.Unix(), 10), "PSYOPSOS_REVISION="+p.commit(),
		"TZ="+[]string{"UTC0", "XXX-13:45"}[n], "LC_ALL="+[]string{"C", "C.UTF-8"}[n], "GOMAXPROCS="+[]string{"1", "4"}[n])
	v.varied = []string{"time zone", "umask", "path", "file order", "locale", "clock", "number of threads"}
	if n == 1 {
		if canMapUsers() {
			v.uid = 12345
			v.varied = append(v.varied, "user")
		} else {
			v.varied[len(v.varied)-1] += " (the user was the same: no user namespaces here)"
		}
	}
	return v
}

// canMapUsers says whether a program may see itself as another user.
func canMapUsers() bool {
	cmd := exec.Command("true")
	asUser(cmd, 12345)
	return cmd.Run() == nil
}

// asUser starts cmd in a namespace in which this user has another number. It
// keeps the access to this user's files: caches and keys serve both builds.
func asUser(cmd *exec.Cmd, uid int) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}}}
}

func (v variation) run(ctx context.Context, e env, root string, files, args []string) error {
	if err := os.MkdirAll(v.out(), 0o755); err != nil {
		return err
	}
	if v.reverse {
		slices.Reverse(files)
	}
	for _, name := range files {
		if err := copySource(filepath.Join(root, name), filepath.Join(v.source(), name)); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	words := append([]string{"-c", "umask " + v.umask + ` && exec "$@"`, "sh", self, "mkimage"}, args...)
	words = append(words, "--source", v.source(), "--out", v.out())
	cmd := exec.CommandContext(ctx, "sh", words...)
	if v.uid != os.Getuid() {
		asUser(cmd, v.uid)
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = v.env, e.stderr, e.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

// sourceFiles lists what git knows of the source, and what it would add.
func sourceFiles(ctx context.Context, root string) ([]string, error) {
	list, err := git(ctx, root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, step.WithHint(err, "the source must be a git checkout: what git ignores is no source")
	}
	files := strings.Split(strings.TrimRight(list, "\x00"), "\x00")
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(name string) bool {
		info, err := os.Lstat(filepath.Join(root, name))
		return err != nil || info.IsDir() // deleted and not yet committed
	}), nil
}

func copySource(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// firstDifference compares the stages' files of two builds. The stages are
// taken in the order in which they were made from one another, so that the
// first difference is its cause.
func firstDifference(one, two string, targets []string) (same int, err error) {
	order, err := stageOrder(filepath.Join(one, "stages"), targets)
	if err != nil {
		return 0, err
	}
	for _, name := range order {
		a, err := hashes(filepath.Join(one, "stages", name))
		if err != nil {
			return 0, err
		}
		b, err := hashes(filepath.Join(two, "stages", name))
		if err != nil {
			return 0, err
		}
		all := maps.Clone(a)
		maps.Copy(all, b)
		for _, file := range slices.Sorted(maps.Keys(all)) {
			if a[file] != b[file] {
				return same, errDiffers(one, two, name, file)
			}
			same++
		}
	}
	return same, nil
}

// stageOrder lists the stages that were built, by the time of their records.
func stageOrder(dir string, targets []string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	made := map[string]int64{}
	for _, entry := range entries {
		if info, err := os.Stat(filepath.Join(dir, entry.Name(), ".stage.json")); err == nil {
			names = append(names, entry.Name())
			made[entry.Name()] = info.ModTime().UnixNano()
		}
	}
	if len(names) < len(targets) {
		return nil, fmt.Errorf("%s has %v, and %v were asked for", dir, names, targets)
	}
	slices.SortFunc(names, func(a, b string) int { return int(made[a] - made[b]) })
	return names, nil
}

// hashes are those of a stage's files.
func hashes(dir string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".stage.json" {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		found[name] = hex.EncodeToString(h.Sum(nil))
		return errors.Join(err, f.Close())
	})
	return found, err
}

// errDiffers tells where two files part.
func errDiffers(one, two, stage, file string) error {
	at := ""
	a, errA := os.Open(filepath.Join(one, "stages", stage, file))
	b, errB := os.Open(filepath.Join(two, "stages", stage, file))
	if errA == nil && errB == nil {
		at = fmt.Sprintf(" from byte %d on", differsAt(a, b))
	}
	for _, f := range []*os.File{a, b} {
		if f != nil {
			f.Close()
		}
	}
	return step.WithHint(fmt.Errorf("the first file that differs is %s of the stage %s%s", file, stage, at),
		"what it is made of is in `tk mkimage --why %s`; build into two folders by hand (--out) and compare them with diffoscope", stage)
}

func differsAt(a, b io.Reader) int64 {
	var at int64
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if k := min(n, m); !bytes.Equal(bufA[:k], bufB[:k]) || n != m {
			for i := range k {
				if bufA[i] != bufB[i] {
					return at + int64(i)
				}
			}
			return at + int64(k)
		}
		at += int64(n)
		if errA != nil || errB != nil {
			return at
		}
	}
}
