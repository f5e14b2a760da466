package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"psyopsOS/step"
)

// A bench is a folder with a source file, an overlay and the usual graph:
// kernel and squashfs, from which disk is made.
type bench struct {
	t       *testing.T
	dir     string
	setting string
	recipe  string
	fail    string // the stage that fails
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir(), setting: "15", recipe: "1"}
	b.write("src/vmlinuz", "kernel")
	b.write("overlay/etc/motd", "welcome")
	b.write("overlay/etc/issue", "hello")
	b.age()
	return b
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	at := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// age waits until stamps vouch for contents.
func (b *bench) age() { time.Sleep(racy + 10*time.Millisecond) }

func (b *bench) copying(from string) func(context.Context, *Work) error {
	return func(_ context.Context, w *Work) error {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(w.Dir, "out"), content, 0o644)
	}
}

func (b *bench) graph() *Graph {
	b.t.Helper()
	src, overlay := filepath.Join(b.dir, "src/vmlinuz"), filepath.Join(b.dir, "overlay")
	stages := []Stage{
		{Name: "disk", Inputs: []Input{From("squashfs"), From("kernel", "out")}, Run: func(_ context.Context, w *Work) error {
			one, err := os.ReadFile(w.Path("squashfs", "out"))
			if err != nil {
				return err
			}
			two, err := os.ReadFile(w.Path("kernel", "out"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(w.Dir, "disk"), append(one, two...), 0o644)
		}},
		{Name: "kernel", Recipe: b.recipe, Inputs: []Input{File(src)}, Run: b.copying(src)},
		{Name: "squashfs", Inputs: []Input{Folder(overlay), Value("level", b.setting)}, Run: b.copying(filepath.Join(overlay, "etc/motd"))},
	}
	for i, s := range stages {
		stages[i].Run = func(ctx context.Context, w *Work) error {
			if s.Name == b.fail {
				_ = os.WriteFile(filepath.Join(w.Dir, "half"), []byte("half"), 0o644)
				return errors.New("out of luck")
			}
			return s.Run(ctx, w)
		}
	}
	g, err := New(filepath.Join(b.dir, "out"), 2, stages...)
	if err != nil {
		b.t.Fatal(err)
	}
	return g
}

func quiet() *step.Runner {
	return &step.Runner{Sink: func(step.Event) {}, Now: func() time.Duration { return 0 }}
}

// build gives the names of the stages that ran.
func (b *bench) build(targets ...string) ([]string, error) {
	results, err := b.graph().Build(context.Background(), quiet(), targets...)
	var ran []string
	for _, r := range results {
		if r.Ran {
			ran = append(ran, r.Stage)
		}
	}
	slices.Sort(ran)
	return ran, err
}

func (b *bench) mustBuild(targets ...string) []string {
	b.t.Helper()
	ran, err := b.build(targets...)
	if err != nil {
		b.t.Fatal(err)
	}
	return ran
}

func TestAStageRunsOnlyWhenAnInputChanged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *bench)
		want   []string
		why    string // of the first stage that runs
	}{
		{"nothing changed", func(*bench) {}, nil, ""},
		{"a file changed", func(b *bench) { b.write("src/vmlinuz", "KERNEL") }, []string{"disk", "kernel"}, "vmlinuz changed"},
		{"a file was written again with the same content", func(b *bench) { b.write("src/vmlinuz", "kernel") }, nil, ""},
		{"a file of a folder changed", func(b *bench) { b.write("overlay/etc/motd", "hi") }, []string{"disk", "squashfs"}, "etc/motd changed"},
		{"a change that changes no output goes no further", func(b *bench) { b.write("overlay/etc/issue", "hi") }, []string{"squashfs"}, "etc/issue changed"},
		{"a file was added", func(b *bench) { b.write("overlay/etc/new", "") }, []string{"squashfs"}, "etc/new is new"},
		{"a file was removed", func(b *bench) { b.remove("overlay/etc/issue") }, []string{"squashfs"}, "etc/issue is gone"},
		{"a file became executable", func(b *bench) { b.chmod("overlay/etc/issue", 0o755) }, []string{"squashfs"}, "etc/issue changed"},
		{"only the umask was another one", func(b *bench) { b.chmod("overlay/etc/issue", 0o600) }, nil, ""},
		{"a setting changed", func(b *bench) { b.setting = "3" }, []string{"squashfs"}, `level was "15" and is "3"`},
		{"a recipe changed", func(b *bench) { b.recipe = "2" }, []string{"kernel"}, `recipe was "1" and is "2"`},
		{"an output was removed", func(b *bench) { b.remove("out/kernel/out") }, []string{"kernel"}, "out is no longer there"},
		{"an output was edited", func(b *bench) { b.write("out/kernel/out", "edited") }, []string{"kernel"}, "out was changed after it was made"},
		{"a record is damaged", func(b *bench) { b.write("out/kernel/.stage.json", "{") }, []string{"kernel"}, "it was never made"},
		{"the index is damaged", func(b *bench) { b.write("out/.index", "\x00\xff") }, nil, ""},
		{"the index is gone", func(b *bench) { b.remove("out/.index") }, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			if got, want := b.mustBuild(), []string{"disk", "kernel", "squashfs"}; !slices.Equal(got, want) {
				t.Fatalf("the first build ran %v, want %v", got, want)
			}
			b.age()
			c.change(b)
			b.checkWhy(c.want, c.why)
			if got := b.mustBuild(); !slices.Equal(got, c.want) {
				t.Errorf("ran %v, want %v", got, c.want)
			}
			if got := b.mustBuild(); len(got) > 0 {
				t.Errorf("ran %v again", got)
			}
		})
	}
}

// checkWhy asks for the reason of the last stage in ran: kernel or squashfs.
func (b *bench) checkWhy(ran []string, want string) {
	b.t.Helper()
	if len(ran) == 0 {
		return
	}
	reasons, err := b.graph().Why(context.Background(), ran[len(ran)-1])
	if err != nil {
		b.t.Fatal(err)
	}
	if len(reasons.Changes) != 1 || !strings.HasSuffix(reasons.Changes[0].Text, want) {
		b.t.Errorf("why %s: %v, want one that ends in %q", reasons.Stage, reasons.Changes, want)
	}
	if _, readable := readRecord(b.graph().Path(reasons.Stage)); readable && !slices.Equal(reasons.Last, []string{"it was never made"}) {
		b.t.Errorf("it ran last because %q", reasons.Last)
	}
}

func (b *bench) remove(name string) {
	if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) chmod(name string, mode os.FileMode) {
	if err := os.Chmod(filepath.Join(b.dir, name), mode); err != nil {
		b.t.Fatal(err)
	}
}

func TestATargetBringsOnlyWhatItNeeds(t *testing.T) {
	b := newBench(t)
	if got := b.mustBuild("kernel"); !slices.Equal(got, []string{"kernel"}) {
		t.Errorf("ran %v", got)
	}
	if got := b.mustBuild("disk"); !slices.Equal(got, []string{"disk", "squashfs"}) {
		t.Errorf("ran %v", got)
	}
	if _, err := b.build("floppy"); err == nil || !strings.Contains(err.Error(), `no stage "floppy"`) {
		t.Errorf("got %v", err)
	}
}

func TestAFailureLeavesTheOldOutputAndNoHalfOne(t *testing.T) {
	b := newBench(t)
	b.mustBuild()
	b.write("src/vmlinuz", "KERNEL")
	b.write("overlay/etc/motd", "hi")
	b.fail = "kernel"
	ran, err := b.build()
	var failed *step.Error
	if !errors.As(err, &failed) || failed.Step != "kernel" {
		t.Errorf("got %v", err)
	}
	if want := []string{"kernel", "squashfs"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v: what does not need the kernel goes on", ran, want)
	}
	content, err := os.ReadFile(filepath.Join(b.dir, "out/kernel/out"))
	if err != nil || string(content) != "kernel" {
		t.Errorf("the old output is %q, %v", content, err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "out/.kernel*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	b.fail = ""
	if got, want := b.mustBuild(), []string{"disk", "kernel"}; !slices.Equal(got, want) {
		t.Errorf("then ran %v, want %v", got, want)
	}
}

func TestAnInterruptedBuildIsTakenUpAgain(t *testing.T) {
	b := newBench(t)
	b.mustBuild()
	for _, c := range []struct {
		name  string
		leave func()
		want  []string
	}{
		{"while it ran", func() { b.write("out/.kernel.new/half", "half") }, nil},
		{"between the two renames", func() {
			if err := os.Rename(filepath.Join(b.dir, "out/kernel"), filepath.Join(b.dir, "out/.kernel.old")); err != nil {
				t.Fatal(err)
			}
		}, []string{"kernel"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.leave()
			if got := b.mustBuild(); !slices.Equal(got, c.want) {
				t.Errorf("ran %v, want %v", got, c.want)
			}
		})
	}
}

func TestIndependentStagesRunAtTheSameTime(t *testing.T) {
	var running, most atomic.Int32
	meet := make(chan struct{})
	stage := func(name string) Stage {
		return Stage{Name: name, Run: func(ctx context.Context, w *Work) error {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			select {
			case meet <- struct{}{}:
			case <-meet:
			case <-time.After(5 * time.Second):
				return errors.New("nobody else is running")
			}
			return nil
		}}
	}
	g, err := New(t.TempDir(), 2, stage("a"), stage("b"), stage("c"), stage("d"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Build(context.Background(), quiet()); err != nil {
		t.Fatal(err)
	}
	if most.Load() != 2 {
		t.Errorf("%d stages ran at the same time, want 2", most.Load())
	}
}

func TestAGraphThatCannotBeBuiltIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		stages []Stage
		want   string
	}{
		{"a circle", []Stage{{Name: "a", Inputs: []Input{From("b")}}, {Name: "b", Inputs: []Input{From("a")}}}, "needs itself"},
		{"an unknown stage", []Stage{{Name: "a", Inputs: []Input{From("b")}}}, `needs the stage "b"`},
		{"twice the same name", []Stage{{Name: "a"}, {Name: "a"}}, "two stages"},
		{"a name that leads elsewhere", []Stage{{Name: "../a"}}, "no plain file name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := New(t.TempDir(), 0, c.stages...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestWhyTellsThatAnotherStageRunsFirst(t *testing.T) {
	b := newBench(t)
	b.mustBuild()
	b.write("src/vmlinuz", "KERNEL")
	reasons, err := b.graph().Why(context.Background(), "disk")
	if err != nil {
		t.Fatal(err)
	}
	if len(reasons.Changes) != 1 || !strings.HasPrefix(reasons.Changes[0].Text, "stage kernel runs first: ") {
		t.Errorf("got %v", reasons.Changes)
	}
	if said := reasons.String(); !strings.HasPrefix(said, "disk would run:\n  stage kernel runs first: ") {
		t.Errorf("a person reads %q", said)
	}
	b.mustBuild()
	if reasons, err = b.graph().Why(context.Background(), "disk"); err != nil || !strings.HasPrefix(reasons.String(), "disk is up to date; it ran last because:\n  ") {
		t.Errorf("after a build a person reads %q, %v", reasons, err)
	}
}

func TestALogIsKeptForEachStage(t *testing.T) {
	dir := t.TempDir()
	g, err := New(dir, 0, Stage{Name: "a", Run: func(_ context.Context, w *Work) error {
		_, err := io.WriteString(w.Log, "said\n")
		return errors.Join(err, errors.New("mkthing -x: exit status 1\nno such thing"))
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second run begins anew
		if _, err := g.Build(context.Background(), quiet()); err == nil {
			t.Fatal("it did not fail")
		}
	}
	const want = "[   0.000] a ...\n[   0.000] a: because it was never made\nsaid\n[   0.000] FAILED: a: mkthing -x: exit status 1\nno such thing\n"
	if log, err := os.ReadFile(filepath.Join(dir, ".log/a.log")); err != nil || string(log) != want {
		t.Errorf("got %q, %v, want %q", log, err, want)
	}
}

func TestWhatAStageMadeElsewhereIsWatched(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "published")
	ran := 0
	g, err := New(t.TempDir(), 0, Stage{Name: "publish", Run: func(_ context.Context, w *Work) error {
		ran++
		return errors.Join(os.WriteFile(elsewhere, []byte("x"), 0o644), w.Made(elsewhere))
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func() error
		want   int
	}{
		{"the first time", func() error { return nil }, 1},
		{"nothing changed", func() error { return nil }, 1},
		{"it is gone", func() error { return os.Remove(elsewhere) }, 2},
		{"it was changed", func() error { return os.WriteFile(elsewhere, []byte("another"), 0o644) }, 3},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Build(context.Background(), quiet()); err != nil || ran != c.want {
			t.Errorf("%s: it ran %d times, %v; want %d", c.name, ran, err, c.want)
		}
	}
}

// A build is killed in the middle of a stage, as by a power cut: the next one
// finds the old output or none, and makes a whole one.
func TestAKilledBuildLeavesNoHalfArtefact(t *testing.T) {
	if dir := os.Getenv("STAGE_TEST_KILLED"); dir != "" {
		killedBuild(dir)
		return
	}
	dir := t.TempDir()
	for range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAKilledBuildLeavesNoHalfArtefact$")
		cmd.Env = append(os.Environ(), "STAGE_TEST_KILLED="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("half"))); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if _, err := os.Stat(filepath.Join(dir, "slow")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("there is an output after the kill: %v", err)
		}
	}
	g, err := New(dir, 0, Stage{Name: "slow", Run: func(_ context.Context, w *Work) error {
		return os.WriteFile(filepath.Join(w.Dir, "out"), []byte("whole"), 0o644)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Build(context.Background(), quiet(), "slow"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "slow/out")); string(got) != "whole" {
		t.Errorf("got %q, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".slow*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// killedBuild writes half of an output and waits for its end.
func killedBuild(dir string) {
	g, err := New(dir, 0, Stage{Name: "slow", Run: func(_ context.Context, w *Work) error {
		if err := os.WriteFile(filepath.Join(w.Dir, "out"), []byte("half"), 0o644); err != nil {
			return err
		}
		fmt.Print("half")
		time.Sleep(time.Minute)
		return nil
	}})
	if err == nil {
		_, err = g.Build(context.Background(), quiet())
	}
	fmt.Print(err)
}

func TestABuildWaitsForAnotherOne(t *testing.T) {
	b := newBench(t)
	b.mustBuild()
	unlock, err := b.graph().lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	if _, err := b.graph().Build(ctx, quiet()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time was up", err)
	}
	unlock()
	if got := b.mustBuild(); len(got) > 0 {
		t.Errorf("ran %v", got)
	}
}

func TestAStampVouchesOnlyForAFileThatHasBeenLeftAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		age  time.Duration
		want bool
	}{
		{"changed within a tick of the clock", racy / 2, false},
		{"changed in the future", -time.Hour, false},
		{"left alone", 2 * racy, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "f")
			if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := stampOf(name)
			if err != nil {
				t.Fatal(err)
			}
			x := openIndex(dir)
			x.now = func() time.Time { return time.Unix(0, s.CTime).Add(c.age) }
			if _, err := x.file(name); err != nil {
				t.Fatal(err)
			}
			if _, known := x.known(name, s); known != c.want {
				t.Errorf("it is remembered: %v, want %v", known, c.want)
			}
		})
	}
}

func TestATool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	x := openIndex(dir)
	in := Tool("mkthing")
	look := func() string {
		t.Helper()
		parts, err := in.parts(context.Background(), nil, x)
		if err != nil {
			t.Fatal(err)
		}
		return parts["program mkthing"]
	}
	if got := look(); got != absent {
		t.Errorf("a missing program is %q", got)
	}
	for _, content := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, "mkthing"), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := look(); !isHash(got) {
			t.Errorf("got %q", got)
		}
	}
}

func TestTheIndexReadsWhatItWrote(t *testing.T) {
	dir := t.TempDir()
	x := openIndex(dir)
	name := filepath.Join(dir, "a file with blanks")
	if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	x.now = func() time.Time { return time.Now().Add(time.Hour) }
	if _, err := x.file(name); err != nil {
		t.Fatal(err)
	}
	if err := x.save(dir); err != nil {
		t.Fatal(err)
	}
	got := openIndex(dir).files
	if len(got) != 1 || got[name] != x.files[name] {
		t.Errorf("got %v, want %v", got, x.files)
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + " 1 2 3 4 true /a b\n"))
	f.Add([]byte("\n x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, one := range parseIndex(data) {
			var b strings.Builder
			renderIndexed(&b, name, one)
			if again := parseIndex([]byte(b.String())); again[name] != one {
				t.Errorf("%q became %v, want %v", b.String(), again, one)
			}
		}
	})
}

func BenchmarkNothingChanged(b *testing.B) {
	dir := b.TempDir()
	for i := range 5000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), []byte("x"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(2 * racy)
	g, err := New(b.TempDir(), 0, Stage{Name: "a", Inputs: []Input{Folder(dir)}, Run: func(context.Context, *Work) error { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := g.Build(context.Background(), quiet()); err != nil {
			b.Fatal(err)
		}
	}
}
