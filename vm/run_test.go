package vm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"psyopsOS/step"
)

// TestMain lets this test program be QEMU: started with a variable in its
// environment it speaks on the three inherited ports as QEMU does.
func TestMain(m *testing.M) {
	if manner := os.Getenv("VM_TEST_QEMU"); manner != "" {
		os.Exit(fakeQEMU(manner))
	}
	os.Exit(m.Run())
}

// fakeQEMU boots at once: it says a line on the console and an event, then
// answers the monitor until it is told to quit.
func fakeQEMU(manner string) int {
	if manner == "in the terminal" {
		return fakeInTerminal(os.NewFile(fdTerminalQMP, "qmp"))
	}
	console, events, qmp := os.NewFile(fdConsole, "console"), os.NewFile(fdEvents, "events"), os.NewFile(fdQMP, "qmp")
	if manner == "refuses" {
		fmt.Fprintln(os.Stderr, "qemu-system-x86_64: unknown machine")
		return 1
	}
	fmt.Fprintf(qmp, `{"QMP": {"version": {}, "capabilities": []}}`+"\r\n")
	fmt.Fprint(console, "uptime 1.5\r\n")
	if manner == "resets" {
		fmt.Fprintf(console, "started with %s\r\n", strings.Join(os.Args[1:], " "))
	}
	fmt.Fprint(events, findDone)
	commands := bufio.NewScanner(qmp)
	for commands.Scan() {
		var c struct {
			Execute   string
			Arguments map[string]any
			ID        int
		}
		if err := json.Unmarshal(commands.Bytes(), &c); err != nil {
			return 3
		}
		id := c.Arguments["id"]
		switch {
		case c.Execute == "device_del" && id == "root":
			fmt.Fprintf(qmp, `{"id": %d, "error": {"class": "GenericError", "desc": "Bus does not support hotplugging"}}`+"\r\n", c.ID)
			continue
		case c.Execute == "device_del":
			fmt.Fprintf(qmp, `{"event": "DEVICE_DELETED", "data": {"path": "/machine/%v/backend"}}`+"\r\n", id)
		}
		fmt.Fprintf(qmp, `{"return": {"arguments": %d}, "id": %d}`+"\r\n", len(c.Arguments), c.ID)
		switch c.Execute {
		case "device_del":
			time.Sleep(20 * time.Millisecond)
			fmt.Fprintf(qmp, `{"event": "DEVICE_DELETED", "data": {"device": "%v"}}`+"\r\n", id)
		case "system_powerdown":
			fmt.Fprint(console, "reboot: Power down\r\n")
			fmt.Fprint(events, `{"time":2,"st`)
			fmt.Fprintf(qmp, `{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}`+"\r\n")
			return 0
		case "system_reset":
			fmt.Fprint(console, "half a li")
			fmt.Fprintf(qmp, `{"event": "RTC_CHANGE", "data": {"offset": 1}}`+"\r\n"+`{"event": "RTC_CHANGE", "data": {"offset": %d}}`+"\r\n", 100*365*24*3600)
			fmt.Fprintf(qmp, `{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-system-reset"}}`+"\r\n")
			return 0
		case "quit":
			fmt.Fprintf(qmp, `{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`+"\r\n")
			return 0
		}
	}
	return 4
}

// fakeInTerminal resets once, and then powers off. That its clock was set says
// that this is the second time.
func fakeInTerminal(qmp *os.File) int {
	fmt.Printf("started with %s\r\n", strings.Join(os.Args[1:], " "))
	fmt.Fprintf(qmp, `{"QMP": {"version": {}, "capabilities": []}}`+"\r\n")
	if asked, err := bufio.NewReader(qmp).ReadString('\n'); err != nil || !strings.Contains(asked, "qmp_capabilities") {
		return 3
	}
	reason := "guest-shutdown"
	if !slices.Contains(os.Args, "-rtc") {
		fmt.Fprintf(qmp, `{"event": "RTC_CHANGE", "data": {"offset": 60}}`+"\r\n")
		reason = "guest-reset"
	}
	fmt.Fprintf(qmp, `{"event": "SHUTDOWN", "data": {"guest": true, "reason": "%s"}}`+"\r\n", reason)
	return 0
}

// Somebody types reboot.
func TestAResetInTheTerminalIsAnotherQEMUToo(t *testing.T) {
	t.Setenv("VM_TEST_QEMU", "in the terminal")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, []byte("variables"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	m := Machine{Binary: self, Firmware: Firmware{disk, disk}, Disks: []Disk{{ID: "root", Path: disk, Snapshot: true}}}
	if err := Interactive(soon(t), m, t.TempDir(), Terminal{Out: &said, Err: &said}); err != nil {
		t.Fatal(err)
	}
	runs := strings.Split(strings.TrimSpace(said.String()), "\r\n")
	if len(runs) != 2 || !strings.HasPrefix(runs[1], runs[0]+" -rtc base=") || !strings.HasSuffix(runs[0], " -no-reboot") {
		t.Errorf("got %q", runs)
	}
	said.Reset()
	m.NoReboot = true
	if err := Interactive(soon(t), m, t.TempDir(), Terminal{Out: &said, Err: &said}); err != nil || strings.Count(said.String(), "started") != 1 {
		t.Errorf("a machine that shall not restart: %v, %q", err, &said)
	}
}

// started is a VM whose QEMU is this program, in the given manner.
func started(t *testing.T, manner string) (*VM, error) {
	t.Helper()
	t.Setenv("VM_TEST_QEMU", manner)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.img")
	firmware := Firmware{disk, disk}
	if err := os.WriteFile(disk, []byte("variables"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := Start(soon(t), Machine{Binary: self, Firmware: firmware, Disks: []Disk{
		{ID: "root", Path: disk, Snapshot: true}, {ID: "stick", Path: disk, Bus: USB}}}, filepath.Join(dir, "run"))
	if err == nil {
		t.Cleanup(v.Close)
	}
	return v, err
}

func TestAMachineRunsFromStartToPoweroff(t *testing.T) {
	v, err := started(t, "boots")
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	if m, err := v.Console.Expect(ctx, `uptime (\S+)`); err != nil || m[1] != "1.5" {
		t.Errorf("console: got %q, %v", m, err)
	}
	if _, err := v.Events.Expect(ctx, Finished("find psyopsOS-A")); err != nil {
		t.Error(err)
	}
	if answer, err := v.QMP(ctx, "query-status", nil); err != nil || string(answer) != `{"arguments": 0}` {
		t.Errorf("QMP: got %s, %v", answer, err)
	}
	if err := v.Poweroff(ctx); err != nil {
		t.Error(err)
	}
	if reason, err := v.Wait(ctx); err != nil || reason != "guest-shutdown" {
		t.Errorf("end: got %q, %v", reason, err)
	}
	for file, want := range map[string]string{consoleFile: "uptime 1.5\r\nreboot: Power down\r\n",
		eventsFile: findDone + `{"time":2,"st`, varsFile: "variables", qemuFile: ""} {
		if got, err := os.ReadFile(filepath.Join(v.Dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", file, got, err, want)
		}
	}
	if got, err := guestSize(filepath.Join(v.Dir, "root.qcow2"), "qcow2"); err != nil || got != int64(len("variables")) {
		t.Errorf("overlay: got a disk of %d bytes, %v, want the image's size", got, err)
	}
}

func TestAPortThatBreaksOffIsTheMachinesEnd(t *testing.T) {
	other := errors.New("other")
	for in, want := range map[error]error{io.EOF: ErrEnded, &os.PathError{Err: syscall.ECONNRESET}: ErrEnded, other: other, nil: nil} {
		if got := ending(in); got != want {
			t.Errorf("%v: got %v, want %v", in, got, want)
		}
	}
}

func TestDisksArePulledAndPutBack(t *testing.T) {
	v, err := started(t, "boots")
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	if err := v.Unplug(ctx, "stick"); err != nil {
		t.Error(err)
	}
	deleted := func(e QMPEvent) bool { return e.Data["device"] == "stick" }
	if !slices.ContainsFunc(v.QMPEvents(), deleted) {
		t.Error("Unplug returned before the disk was gone")
	}
	if err := v.Plug(ctx, "stick"); err != nil {
		t.Error(err)
	}
	var refused *QMPError
	if err := v.Unplug(ctx, "root"); !errors.As(err, &refused) || refused.Command != "device_del" {
		t.Errorf("got %v, want QEMU's refusal", err)
	}
	if err := v.Plug(ctx, "nothing"); err == nil {
		t.Error("a disk was plugged that the machine does not have")
	}
	if err := v.Quit(ctx); err != nil {
		t.Error(err)
	}
	if reason, err := v.Wait(ctx); err != nil || reason != "host-qmp-quit" {
		t.Errorf("end: got %q, %v", reason, err)
	}
	if err := v.Reset(ctx); !errors.Is(err, ErrEnded) && !errors.Is(err, os.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a machine that ended was reset: %v", err)
	}
}

func TestAResetIsAnotherQEMUWithTheSamePortsDisksAndClock(t *testing.T) {
	v, err := started(t, "resets")
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	if m, err := v.Console.Expect(ctx, `started with (.*)`); err != nil || !strings.HasSuffix(m[1], " -no-reboot") || !strings.Contains(m[1], "drive=node-stick") {
		t.Errorf("the first: got %q, %v", m, err)
	}
	if err := v.Unplug(ctx, "stick"); err != nil {
		t.Error(err)
	}
	for _, century := range []int{100, 200} {
		if err := v.Reset(ctx); err != nil {
			t.Fatal(err)
		}
		m, err := v.Console.Expect(ctx, `half a liuptime 1.5\nstarted with (.*)`)
		if err != nil {
			t.Fatal(err)
		}
		if base := fmt.Sprintf(" -no-reboot -rtc base=%d-", time.Now().Add(time.Duration(century)*365*24*time.Hour).UTC().Year()); !strings.Contains(m[1], base) {
			t.Errorf("got %q, want%s…", m[1], base)
		}
		if strings.Contains(m[1], "drive=node-stick") {
			t.Errorf("a disk that was pulled out is in again: %q", m[1])
		}
	}
	if err := v.Poweroff(ctx); err != nil {
		t.Error(err)
	}
	if reason, err := v.Wait(ctx); err != nil || reason != "guest-shutdown" {
		t.Errorf("end: got %q, %v", reason, err)
	}
}

func TestWhatQEMUSaysIsInTheErrorOfAMachineThatDoesNotStart(t *testing.T) {
	_, err := started(t, "refuses")
	if err == nil || !strings.Contains(err.Error(), "unknown machine") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("got %v, want QEMU's words and its exit status", err)
	}
}

func TestTheEndOfTheContextEndsQEMU(t *testing.T) {
	v, err := started(t, "boots")
	if err != nil {
		t.Fatal(err)
	}
	v.kill()
	if _, err := v.Wait(soon(t)); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v, want that it was killed", err)
	}
	v.Close() // twice is no harm
}

func TestAWaitForTheEndHasAnEnd(t *testing.T) {
	v, err := started(t, "boots")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := v.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestAMissingQEMUIsToldWithItsPackage(t *testing.T) {
	m := Machine{Binary: "qemu-system-that-is-not-there", Kernel: "/k"}
	_, err := Start(soon(t), m, t.TempDir())
	if !strings.Contains(step.HintOf(err), "qemu-system-x86") {
		t.Errorf("Start: got %v with hint %q", err, step.HintOf(err))
	}
	err = Interactive(soon(t), m, t.TempDir(), Terminal{})
	if !strings.Contains(step.HintOf(err), "qemu-system-x86") {
		t.Errorf("Interactive: got %v with hint %q", err, step.HintOf(err))
	}
}
