//go:build qemu

package qemutests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/step"
)

// builtTk is tk itself, built once for all tests: a terminal's program cannot be
// `go run`.
var builtTk = sync.OnceValues(func() (string, error) {
	name, err := filepath.Abs(filepath.Join(out, "bin/tk"))
	if err != nil {
		return "", err
	}
	if said, err := exec.Command("go", "build", "-o", name, "psyopsOS/cmd/tk").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tk: %w\n%s", err, said)
	}
	return name, nil
})

func tkBinary(t testing.TB) string {
	t.Helper()
	name, err := builtTk()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Issue 5: what tk init makes and what it says to type next works: a site's
// image, signed by the site's key, boots as its node, by UEFI, with a second
// disk and a USB stick, and is found healthy.
func TestASiteFromInitToAHealthyBoot(t *testing.T) {
	images(t) // so that what is shared of the build is there
	tk, dir := tkBinary(t), t.TempDir()
	site := filepath.Join(dir, "site")
	run := func(at string, args ...string) string {
		t.Helper()
		cmd := exec.Command(tk, args...)
		cmd.Dir = at
		cmd.Stderr = os.Stderr
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("tk %v: %v\n%s", args, err, text)
		}
		return string(text)
	}
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	run(dir, "init", "site", "--no-password", "--source", source)
	for _, name := range []string{"data.img", "stick.img"} {
		if err := os.WriteFile(filepath.Join(site, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(site, name), 8<<20); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(site, "psyops.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// What the site's key and node do not change is there already.
	if err := os.MkdirAll(filepath.Join(site, "artifacts/stages"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"init", "commands", "kernel"} {
		if said, err := exec.Command("cp", "-a", filepath.Join(out, "stages", stage), filepath.Join(site, "artifacts/stages")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	changed := strings.NewReplacer(
		`#size = ["psyopsOS-A=2048", "psyopsOS-B=2048"]`, `size = ["psyopsOS-A=160", "psyopsOS-B=160", "psyops-secret=16"]`,
		"disk = \"node1.img\"\n", "disk = \"node1.img\"\ndisk2 = \"data.img\"\nusb = \"stick.img\"\nssh = 0\n").Replace(string(text))
	if err := os.WriteFile(config, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	building.Lock()
	run(site, "node", "image", "node1")
	building.Unlock()
	var result struct {
		Health struct{ Healthy bool }
		Error  string
		Login  float64 `json:"login_seconds"`
	}
	if err := json.Unmarshal([]byte(run(site, "vm", "test", "node1", "--until", "health", "--timeout", "10m", "--json")), &result); err != nil {
		t.Fatal(err)
	}
	if !result.Health.Healthy || result.Error != "" || result.Login == 0 {
		t.Errorf("got %+v", result)
	}
}

// Issue 5: an unpacked side boots directly, with its console in the terminal:
// Ctrl-C goes to the guest, and the one documented key leaves.
func TestAnUnpackedSideBootsInTheTerminal(t *testing.T) {
	i := images(t)
	tk, dir := tkBinary(t), filepath.Join(t.TempDir(), "side")
	tars, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(i.Squashfs)), "ostar", "*.tar"))
	if err != nil || len(tars) != 1 {
		t.Fatalf("%v, %v", tars, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("tar", "-C", dir, "-xf", tars[0]).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	tty := startInTerminal(t, tk, "vm", "osdir", dir, "--ssh", "0")
	tty.says("the virtual machine, Ctrl-C goes to the guest") // vm.HowToLeave
	tty.says("login: ")
	tty.types("root\r")
	tty.says("# ")
	// What Ctrl-C ends is the guest's command, and not the machine.
	// A Ctrl-C that comes before the shell has let go of the terminal is a letter.
	tty.types("echo SLE''EPS; sleep 1000; echo EN''DED\r")
	tty.says("SLEEPS")
	time.Sleep(2 * time.Second)
	tty.types("\x03")
	tty.says("# ")
	tty.types("echo ALI''VE; cat /proc/cmdline\r")
	tty.says("ALIVE")
	tty.says("psyopsos=psyopsOS-A")
	tty.types("\x01x")
	if err := tty.ends(); err != nil {
		t.Errorf("after Ctrl-A X: %v", err)
	}
}

// A terminal is a program on a pseudoterminal.
type terminal struct {
	t    testing.TB
	cmd  *exec.Cmd
	pty  *os.File
	text chan string
	seen string
}

func startInTerminal(t testing.TB, name string, args ...string) *terminal {
	t.Helper()
	ours, theirs, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	x := &terminal{t: t, cmd: cmd, pty: ours, text: make(chan string, 1024)}
	go func() {
		defer close(x.text)
		buf := make([]byte, 4096)
		for {
			n, err := ours.Read(buf)
			if n > 0 {
				x.text <- string(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // where it has ended, all is well
		ours.Close()
	})
	return x
}

func (x *terminal) says(words string) {
	x.t.Helper()
	deadline := time.After(4 * time.Minute)
	for !strings.Contains(x.seen, words) {
		select {
		case more, ok := <-x.text:
			if !ok {
				x.t.Fatalf("it ended without %q:\n%s", words, x.seen)
			}
			x.seen += more
		case <-deadline:
			x.t.Fatalf("no %q within four minutes:\n%s", words, x.seen)
		}
	}
	x.seen = x.seen[strings.Index(x.seen, words)+len(words):]
}

func (x *terminal) types(text string) {
	x.t.Helper()
	if _, err := x.pty.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

func (x *terminal) ends() error {
	done := make(chan error, 1)
	go func() { done <- x.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		return os.ErrDeadlineExceeded
	}
}

// openPTY is a new pseudoterminal: our end and the program's.
func openPTY() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	raw, err := ours.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var number uint32
	var failed error
	if err := raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || failed != nil {
		return nil, nil, errors.Join(err, failed)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return ours, theirs, err
}

// Issue 5: bit for bit the same under another time zone, umask, path, file
// order, clock and user.
func TestTheDiskImageIsReproducible(t *testing.T) {
	images(t) // so that compilers' caches are warm
	building.Lock()
	defer building.Unlock()
	cmd := exec.Command(tkBinary(t), "mkimage", "diskimg", "--check-reproducible", "--quiet", "--out", out,
		"--size", "psyopsOS-A=160", "--size", "psyopsOS-B=160", "--size", "psyops-secret=16")
	said, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "are the same from two builds under another time zone, umask, path, file order") {
		t.Errorf("%v\n%s", err, said)
	}
	t.Logf("%s", said)
}

// Issue 5: one changed overlay file rebuilds squashfs, ostar, diskimg and
// nothing else, and with nothing changed it takes less than half a second.
func TestOneChangedOverlayFileRebuildsWhatHoldsIt(t *testing.T) {
	images(t)
	building.Lock()
	defer building.Unlock()
	tk, site := tkBinary(t), t.TempDir()
	overlay := filepath.Join(site, "overlay")
	build := func(motd string) (ran []string, took time.Duration) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(overlay, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(overlay, "etc/motd")
		if old, _ := os.ReadFile(name); string(old) != motd {
			if err := os.WriteFile(name, []byte(motd), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(tk, "mkimage", "diskimg", "--json", "--out", filepath.Join(site, "out"), "--overlay", overlay,
			"--size", "psyopsOS-A=160", "--size", "psyopsOS-B=160", "--size", "psyops-secret=16")
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1795255200")
		var said bytes.Buffer
		cmd.Stderr = &said
		start := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, said.String())
		}
		took = time.Since(start)
		for line := range strings.Lines(said.String()) {
			var e step.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if e.Kind == step.Finished {
				ran = append(ran, e.Step)
			}
		}
		slices.Sort(ran)
		return ran, took
	}
	if err := os.MkdirAll(filepath.Join(site, "out/stages"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"init", "commands", "kernel"} {
		if said, err := exec.Command("cp", "-a", filepath.Join(out, "stages", stage), filepath.Join(site, "out/stages")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	build("one\n")
	if ran, took := build("one\n"); len(ran) > 0 || took > 500*time.Millisecond {
		t.Errorf("with nothing changed %v ran, in %s", ran, took)
	}
	ran, took := build("two\n")
	if want := []string{"diskimg", "ostar", "squashfs"}; !slices.Equal(ran, want) {
		t.Errorf("one changed file: %v ran, want %v", ran, want)
	}
	t.Logf("one changed file took %s", took)
}
