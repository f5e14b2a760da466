package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"psyopsOS/step"
)

// remoteDir is where a release lies on a node until it is written: in RAM, as
// all of its root is, and for root alone.
const remoteDir = "/var/cache/psyopsOS-deploy"

// A remote is a node at the other end of an ssh connection. The commands are
// those of neuralupgrade and of any POSIX userland, busybox included.
type remote struct {
	client *ssh.Client
	dir    string
}

func (m *remote) Close() error { return m.client.Close() }

// output is what a command prints, which is bounded.
func (m *remote) output(ctx context.Context, words ...string) (string, error) {
	b := &bounded{most: statusLimit}
	err := m.run(ctx, nil, b, words...)
	return string(b.text), err
}

func (m *remote) Status(ctx context.Context) (Status, error) {
	text, err := m.output(ctx, "neuralupgrade", "status", "--json")
	if err != nil {
		return Status{}, err
	}
	s, err := ParseStatus([]byte(text))
	if err != nil {
		return s, err
	}
	boot, err := m.output(ctx, "cat", "/proc/sys/kernel/random/boot_id")
	s.Boot = strings.TrimSpace(boot)
	if err == nil && s.Boot == "" {
		err = errors.New("the node does not tell its boot's id")
	}
	return s, err
}

// Room is the lesser of free memory and of what the file system gives.
func (m *remote) Room(ctx context.Context) (int64, error) {
	text, err := m.output(ctx, "sh", "-c", `umask 077; mkdir -p "$1" && df -Pk "$1" | awk 'NR == 2 { print $4 }' && awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo`, "room", m.dir)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return 0, fmt.Errorf("the node's free room: %q, want two numbers", text)
	}
	room := int64(-1)
	for _, f := range fields {
		kib, err := strconv.ParseInt(f, 10, 64)
		if err != nil || kib < 0 || kib > 1<<50 {
			return 0, fmt.Errorf("the node's free room: %q is no number of KiB", f)
		}
		if room < 0 || kib<<10 < room {
			room = kib << 10
		}
	}
	return room, nil
}

func (m *remote) tar(s Source) string { return path.Join(m.dir, filepath.Base(s.Tar)) }

func (m *remote) Send(ctx context.Context, s Source, progress func(done, total int64)) error {
	if _, err := m.output(ctx, "sh", "-c", `umask 077; mkdir -p "$1"`, "mkdir", m.dir); err != nil {
		return err
	}
	for _, name := range s.Signatures {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := m.run(ctx, bytes.NewReader(text), io.Discard, "sh", "-c", `umask 077; cat > "$1"`, "put", path.Join(m.dir, filepath.Base(name))); err != nil {
			return err
		}
	}
	f, err := os.Open(s.Tar)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, err := m.have(ctx, f, info.Size(), m.tar(s))
	if err != nil {
		return err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	from := &telling{r: f, done: have, tell: func(done int64) { progress(done, info.Size()) }}
	// cat is what appends: a release that is changing is refused by its signature.
	if err := m.run(ctx, from, io.Discard, "sh", "-c", `umask 077; test "$2" -gt 0 || : > "$1"; cat >> "$1"`, "put", m.tar(s), fmt.Sprint(have)); err != nil {
		return fmt.Errorf("send %s: %w", s.Tar, err)
	}
	return nil
}

// have is how much of the file an earlier Send has brought: all that the node
// has, when that is how the file begins.
func (m *remote) have(ctx context.Context, f io.ReaderAt, size int64, name string) (int64, error) {
	text, err := m.output(ctx, "sh", "-c", `test -f "$1" || exit 0; wc -c < "$1"; sha256sum < "$1"`, "have", name)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return 0, nil
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || n <= 0 || n > size {
		return 0, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(f, 0, n)); err != nil {
		return 0, err
	}
	if hex.EncodeToString(hash.Sum(nil)) != fields[1] {
		return 0, nil
	}
	return n, nil
}

func (m *remote) Apply(ctx context.Context, r Request, tell step.Sink) error {
	words := []string{"neuralupgrade", "--json"}
	if r.Source.Repository != "" {
		words = append(words, "--repository", r.Source.Repository)
	}
	words = append(words, "apply", "nonbooted", "--confirm=remote", fmt.Sprintf("--tries=%d", r.Tries))
	if r.Source.Sent() {
		words = append(words, "--os-tar", m.tar(r.Source))
	} else {
		words = append(words, "--os-version", r.Version)
	}
	for flag, set := range map[string]bool{"--force": r.Force, "--allow-downgrade": r.AllowDowngrade} {
		if set {
			words = append(words, flag)
		}
	}
	err := m.run(ctx, nil, &eventLines{tell: tell}, words...)
	if r.Source.Sent() && ctx.Err() == nil {
		// It was written or refused, and takes memory in either case.
		_, errClean := m.output(ctx, "rm", "-rf", m.dir)
		err = errors.Join(err, errClean)
	}
	return err
}

// Restart is right also where the node goes before it has answered.
func (m *remote) Restart(ctx context.Context) error {
	_, err := m.output(ctx, "neuralupgrade", "reboot")
	var gone *ssh.ExitMissingError
	if errors.As(err, &gone) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (m *remote) Commit(ctx context.Context) error {
	_, err := m.output(ctx, "neuralupgrade", "commit")
	return err
}

// telling tells how far it was read: first at once, and then every so often, for
// ssh reads 32 KiB at a time.
type telling struct {
	r    io.Reader
	done int64
	next int64 // what is to be told when it is reached
	tell func(done int64)
}

const tellEvery = 1 << 20

func (t *telling) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.done += int64(n)
	if t.done >= t.next || err != nil {
		t.next = t.done + tellEvery
		t.tell(t.done)
	}
	return n, err
}

// eventLines gives each line that is an event to tell. Other lines are text for
// people, as that a release is there already.
type eventLines struct {
	tell step.Sink
	line []byte
}

const lineLimit = 64 << 10

func (l *eventLines) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' {
			if len(l.line) < lineLimit {
				l.line = append(l.line, c)
			}
			continue
		}
		var e step.Event
		if json.Unmarshal(l.line, &e) == nil && e.Kind != "" {
			l.tell(e)
		}
		l.line = l.line[:0]
	}
	return len(p), nil
}

// bounded is a buffer with an end.
type bounded struct {
	text []byte
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > b.most {
		return 0, fmt.Errorf("more than %s", step.Bytes(int64(b.most)))
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
