//go:build qemu

package qemutests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/step"
	"psyopsOS/vm"
)

// loaderFiles are the boot loader's files on a disk image.
func loaderFiles(t testing.TB, path string) bootstate.Copies {
	t.Helper()
	return bootstate.ReadCopies(openVolume(t, path, layout.EFISystem), openVolume(t, path, layout.EFISystem2))
}

// changeMenu shortens the countdown and adds words to the kernel's.
func changeMenu(t testing.TB, path, words string) {
	t.Helper()
	menu := bootstate.ParseMenu(loaderFiles(t, path).Menu)
	menu.Timeout, menu.Append = 1, strings.TrimSpace(menu.Append+" "+words)
	content, err := menu.Render()
	writeLoaderFile(t, path, layout.Menu, content, err)
}

func changeTries(t testing.TB, path string, tries bootstate.Tries) {
	t.Helper()
	content, err := tries.Render()
	writeLoaderFile(t, path, layout.Tries, content, err)
}

func writeLoaderFile(t testing.TB, path, name string, content []byte, err error) {
	t.Helper()
	if err == nil {
		err = bootstate.Write(openVolume(t, path, layout.EFISystem), name, content, false)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hasFailed checks what FAIL.ENV on a disk says of the last failure.
func hasFailed(t testing.TB, path string, want bootstate.Fail) {
	t.Helper()
	got := bootstate.ParseFail(loaderFiles(t, path).Fail)
	if !strings.Contains(got.Reason, want.Reason) {
		t.Errorf("FAIL.ENV gives the reason %q, want %q in it", got.Reason, want.Reason)
	}
	if got.Reason = want.Reason; got != want {
		t.Errorf("FAIL.ENV says %+v, want %+v", got, want)
	}
}

// BootsAs waits for a boot for this reason.
func (g *Guest) BootsAs(why bootstate.Why) {
	g.t.Helper()
	e := g.Sees(func(e step.Event) bool { return e.Step == "read the command line" && e.Kind == step.Note })
	if !strings.Contains(e.Message, "psyopsos.boot="+string(why)+" ") {
		g.t.Errorf("the loader chose %q, want %s", e.Message, why)
	}
}

// refused is what init says of a side whose squashfs has rotten.
const refused = "is not the file that was signed"

// rottenDisk is a disk of its own with a flipped bit in the squashfs of sides.
func rottenDisk(t testing.TB, sides ...layout.Label) string {
	t.Helper()
	path, _ := ownDisk(t)
	for _, side := range sides {
		flipOnDisk(t, path, side, layout.Squashfs, 0.5)
	}
	return path
}

func committed(t testing.TB, path string) string {
	t.Helper()
	state, err := bootstate.ParseState(loaderFiles(t, path).State1)
	if err != nil {
		t.Fatal(err)
	}
	return state.A
}

// Issue 3, test 6: no key is pressed.
func TestAGoodSideThatRotsEndsOnTheProvenOther(t *testing.T) {
	path := rottenDisk(t, layout.SideA)
	version := committed(t, path)
	changeMenu(t, path, "")
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: onDisk(path), Deadline: 6 * time.Minute})
	g.BootsAs(bootstate.Good)
	g.Fails("copy squashfs", refused)
	g.Says("the loader takes psyopsOS-B, which is proven")
	g.Says("Untouched, the machine restarts in 10 s")
	g.BootsAs(bootstate.Fallback)
	if device := g.Fact("device"); device != "vda4" {
		t.Errorf("booted from %v, want side B", device)
	}
	g.HandsOver()
	hasFailed(t, path, bootstate.Fail{Side: layout.SideA, Version: version, Stage: "copy squashfs", Reason: refused, Seq: 1})
	files := loaderFiles(t, path)
	if tries := bootstate.ParseTries(files.Tries); tries != (bootstate.Tries{Run: bootstate.MaxTries}) {
		t.Errorf("TRIES.ENV says %+v", tries)
	}
	if state, _ := bootstate.Pick(files.State1, files.State2); state.Seq != 1 || state.Good != layout.SideA {
		t.Errorf("a failure is no commit, but the state is %+v", state)
	}
}

// Issue 3, test 6: A fails, B fails, B gets one more chance, and then the
// machine stays with its shell.
func TestBothSidesRottenEndsWithAShellAndNoLoop(t *testing.T) {
	path := rottenDisk(t, layout.SideA, layout.SideB)
	version := committed(t, path)
	changeMenu(t, path, "psyopsos.patience=3")
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: onDisk(path), Deadline: 8 * time.Minute})
	for _, why := range []bootstate.Why{bootstate.Good, bootstate.Fallback, bootstate.Fallback} {
		g.BootsAs(why)
		g.Fails("copy squashfs", refused)
	}
	for range 2 {
		g.Says("both sides have failed: this needs a person")
		g.Says("Untouched, the failed step is repeated in 3 s")
		g.Fails("copy squashfs", refused)
	}
	boots := 0
	for _, e := range g.VM.Events.All() {
		if e.Step == "read the command line" && e.Kind == step.Started {
			boots++
		}
	}
	if boots != 3 {
		t.Errorf("%d boots, want 3", boots)
	}
	hasFailed(t, path, bootstate.Fail{Side: layout.SideB, Version: version, Stage: "copy squashfs", Reason: refused, Seq: 1})
}

func TestATrialThatFailsInInitCountsDownAndEndsOnTheOldSide(t *testing.T) {
	path := rottenDisk(t, layout.SideB)
	changeState(t, path, func(s *bootstate.State) { s.Seq, s.Try = 2, layout.SideB })
	changeTries(t, path, bootstate.Tries{Left: 2, For: 2})
	changeMenu(t, path, "")
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: onDisk(path), Deadline: 8 * time.Minute})
	for left := 1; left >= 0; left-- {
		g.BootsAs(bootstate.Trial(left))
		g.Fails("copy squashfs", refused)
		g.Says("this was a trial")
	}
	g.BootsAs(bootstate.Good)
	g.HandsOver()
	hasFailed(t, path, bootstate.Fail{Side: layout.SideB, Version: committed(t, path), Stage: "copy squashfs", Reason: refused, Seq: 2})
}

// Issue 3, test 7: a panic where steps run side by side, with the shell behind
// it, which shows the stack.
func TestAPanicBesideAnotherLineIsAFailureLikeOthers(t *testing.T) {
	g := boot(t, Scenario{Images: withFaults(t), Words: `psyopsos.fault="copy squashfs:panic" psyopsos.onfail=poweroff`})
	e := g.Fails("copy squashfs", "panic: a fault was asked for")
	if !strings.Contains(e.Stack, "goroutine") || !strings.Contains(e.Hint, "report") {
		t.Errorf("told is %+v", e)
	}
	g.opensShell()
	g.Runs(`grep goroutine /run/psyopsOS/boot.json`)
	g.Types("exit\r")
	g.Fails("copy squashfs", "panic")
	g.Ends("guest-shutdown")
}

func TestAPanicAtTheHandoverHandsNothingOver(t *testing.T) {
	g := boot(t, Scenario{Images: withFaults(t), Words: `psyopsos.fault="hand over:panic" psyopsos.shell=never psyopsos.onfail=poweroff`})
	g.Fails("hand over", "panic: a fault was asked for")
	g.Ends("guest-shutdown")
	if text := g.VM.Console.Text(); strings.Contains(text, "OpenRC") {
		t.Errorf("it was handed over:\n%s", text)
	}
}

// Here not even the failure can be told, by the rules; but PID 1 does not end.
func TestAPanicOfTheTellingRestartsTheMachine(t *testing.T) {
	g := boot(t, Scenario{Images: withFaults(t), Words: `psyopsos.fault="mount modloop:telling"`, OpenEnd: true})
	g.Says("the boot ended: panic: a fault was asked for")
	g.Ends("guest-reset")
}

// The word for faults is no word of what we ship.
func TestTheShippedInitKnowsNoFaults(t *testing.T) {
	i := images(t)
	program, err := os.ReadFile(filepath.Join(out, "stages/init/init"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(program, []byte("psyopsos.fault")) || bytes.Contains(program, []byte(`psyopsos\.fault`)) {
		t.Error("it is in the program")
	}
	g := boot(t, Scenario{Images: func() (Images, error) { return i, nil }, Words: `psyopsos.fault="copy squashfs:panic"`})
	g.Warns("psyopsos.fault")
	g.HandsOver()
}

// Issue 3, test 9. The kernel makes a /dev/console of its own where the archive
// has none.
func TestAnArchiveWithoutDeviceNodesBoots(t *testing.T) {
	g := boot(t, Scenario{Images: withInitramfs(t, without("dev/console", "dev/null"))})
	g.Says(`psyopsOS \[`)
	g.HandsOver()
}

// showDescriptors is a new init that shows what it got, and powers off.
const showDescriptors = `init=/bin/sh init_args="-c ls${IFS}-l${IFS}/proc/1/fd;poweroff${IFS}-f"`

func TestAnInitThatStartsWithClosedDescriptorsBootsAndGivesOpenOnes(t *testing.T) {
	change := withProgram(t, "init", closer(t), "init.real")
	g := boot(t, Scenario{Images: withInitramfs(t, change), Words: showDescriptors})
	g.HandsOver()
	g.Says(`0 -> /dev/console\n.*1 -> /dev/console\n.*2 -> /dev/console`)
	g.Ends("guest-shutdown")
}

func TestAMachineWithoutAnyConsoleBoots(t *testing.T) {
	g := boot(t, Scenario{Cmdline: "psyopsos=psyopsOS-A console=hvc0 panic=-1 psyopsos.events=" + vm.EventsDevice + " " +
		strings.Replace(showDescriptors, "/proc/1/fd", "/proc/1/fd>/dev/ttyS0", 1)})
	g.HandsOver()
	g.Says(`0 -> /dev/null\n.*1 -> /dev/ttyS0\n.*10 -> /dev/null\n.*2 -> /dev/null`)
	g.Ends("guest-shutdown")
	if strings.Contains(g.VM.Console.Text(), "psyopsOS [") {
		t.Error("a serial port was written to that nobody named")
	}
}

// closer is a program that becomes /init.real with descriptors 0 to 2 closed.
func closer(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module closer\n\ngo 1.26\n",
		"main.go": `package main

import "syscall"

func main() {
	for fd := range 3 {
		_ = syscall.Close(fd)
	}
	panic(syscall.Exec("/init.real", []string{"/init"}, nil))
}
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-o", "closer", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return filepath.Join(dir, "closer")
}
