package qemutests

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"psyopsOS/step"
	"psyopsOS/vm"
)

// A Guest is a booting or running machine. Each of its methods waits for what
// it names and fails the test where that does not come; they are called by the
// test's own goroutine.
type Guest struct {
	VM     *vm.VM
	Images Images

	t   testing.TB
	ctx context.Context
}

// Sees waits for an event.
func (g *Guest) Sees(want func(step.Event) bool) step.Event {
	g.t.Helper()
	e, err := g.VM.Events.Expect(g.ctx, want)
	if err != nil {
		g.t.Fatal(err)
	}
	return e
}

// Finishes waits until each of the named steps is done.
func (g *Guest) Finishes(steps ...string) {
	g.t.Helper()
	for _, name := range steps {
		g.Sees(vm.Finished(name))
	}
}

// Fails waits for the failure of the named step, which must say words, and
// returns it.
func (g *Guest) Fails(name, words string) step.Event {
	g.t.Helper()
	e := g.Sees(vm.FailedStep(name))
	if !strings.Contains(e.Message, words) {
		g.t.Errorf("%s failed with %q, want one with %q", name, e.Message, words)
	}
	return e
}

// Fact waits for a machine-readable fact and returns its value.
func (g *Guest) Fact(key string) any {
	g.t.Helper()
	return g.Sees(vm.Fact(key)).Value
}

// Warns waits for a warning that contains words.
func (g *Guest) Warns(words string) {
	g.t.Helper()
	g.Sees(vm.Warned(words))
}

// HandsOver waits until our init gives PID 1 away.
func (g *Guest) HandsOver() {
	g.t.Helper()
	e := g.Sees(handedOver)
	g.t.Logf("handed over %.1f s after the kernel's start", e.Time.Seconds())
}

// handedOver accepts the last event of a boot that went well: nobody is left
// to tell that the step has finished.
func handedOver(e step.Event) bool { return e.Step == "hand over" && e.Kind == step.Note }

// Says waits for a match on the console and returns it with its groups.
func (g *Guest) Says(pattern string) []string {
	g.t.Helper()
	m, err := g.VM.Console.Expect(g.ctx, pattern)
	if err != nil {
		g.t.Fatal(err)
	}
	return m
}

// Types types on the console; Enter is \r.
func (g *Guest) Types(text string) {
	g.t.Helper()
	if err := g.VM.Console.Send(text); err != nil {
		g.t.Fatal(err)
	}
}

// Login logs root in on the console and keeps the kernel from speaking there.
func (g *Guest) Login() {
	g.t.Helper()
	if err := g.VM.Console.Login(g.ctx, "root"); err != nil {
		g.t.Fatal(err)
	}
	g.t.Logf("logged in %.1f s after power-on", g.age())
	g.Runs("dmesg -n 1")
}

// Tries runs a shell command and returns its output, without the last line
// end, and its exit code.
func (g *Guest) Tries(command string) (output string, code int) {
	g.t.Helper()
	output, code, err := g.VM.Console.Run(g.ctx, command)
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSuffix(output, "\n"), code
}

// Runs runs a shell command that must succeed, and returns its output.
func (g *Guest) Runs(command string) string {
	g.t.Helper()
	output, code := g.Tries(command)
	if code != 0 {
		g.t.Errorf("%s: exit code %d\n%s", command, code, output)
	}
	return output
}

// Prints runs a shell command that must succeed and print want.
func (g *Guest) Prints(command, want string) {
	g.t.Helper()
	if got := g.Runs(command); got != want {
		g.t.Errorf("%s: got %q, want %q", command, got, want)
	}
}

// Unplug pulls out a disk, Plug puts it in.
func (g *Guest) Unplug(id string) {
	g.t.Helper()
	if err := g.VM.Unplug(g.ctx, id); err != nil {
		g.t.Fatal(err)
	}
}

// Plug puts in a disk that was absent or pulled out.
func (g *Guest) Plug(id string) {
	g.t.Helper()
	if err := g.VM.Plug(g.ctx, id); err != nil {
		g.t.Fatal(err)
	}
}

// Restarts types a command that restarts the guest, whose next boot tells its
// events anew.
func (g *Guest) Restarts(command string) {
	g.t.Helper()
	g.VM.Events.Forget()
	g.Types(command + "\r")
}

// PowersOff types poweroff at a shell and waits until the guest is off.
func (g *Guest) PowersOff() {
	g.t.Helper()
	g.Types("poweroff\r")
	g.Ends("guest-shutdown")
}

// Ends waits for the machine's end, for QEMU's reason: guest-shutdown,
// guest-reset, guest-panic.
func (g *Guest) Ends(reason string) {
	g.t.Helper()
	got, err := g.VM.Wait(g.ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	if got != reason {
		g.t.Errorf("the machine ended by %s, want %s", got, reason)
	}
}

// Sleeps lets the guest go on by itself for so many seconds.
func (g *Guest) Sleeps(seconds int) {
	g.t.Helper()
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
	case <-g.ctx.Done():
		g.t.Fatal(context.Cause(g.ctx))
	}
}

// AnswersSSH waits until an ssh server greets at a port of 127.0.0.1.
func (g *Guest) AnswersSSH(port int) {
	g.t.Helper()
	for {
		if greeting, err := greetingAt(g.ctx, port); strings.HasPrefix(greeting, "SSH-2.0") {
			return
		} else if g.ctx.Err() != nil {
			g.t.Fatalf("no ssh server answers: %v, %q", err, greeting)
		}
		g.Sleeps(1)
	}
}

func greetingAt(ctx context.Context, port int) (string, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return bufio.NewReader(conn).ReadString('\n')
}
