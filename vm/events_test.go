package vm

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"psyopsOS/step"
)

const (
	findDone   = `{"time":1,"step":"find psyopsOS-A","kind":"finished","elapsed":0.5}` + "\r\n"
	copyDone   = `{"time":2,"step":"copy squashfs","kind":"finished","elapsed":1}` + "\r\n"
	copyFailed = `{"time":3,"step":"copy squashfs","kind":"failed","message":"no room","hint":"more RAM"}` + "\r\n"
	optional   = `{"time":3,"step":"secrets","kind":"failed","message":"no such volume","optional":true}` + "\r\n"
)

// told are events of a guest that said in, and may say more into port.
func told(t *testing.T, console *Console, in string) (e *Events, port net.Conn, log *bytes.Buffer) {
	t.Helper()
	ours, theirs := net.Pipe()
	e, log = newEvents(console), new(bytes.Buffer)
	done := make(chan struct{})
	go func() { e.read(ours, log); close(done) }()
	t.Cleanup(func() { theirs.Close(); <-done })
	for piece := range strings.SplitSeq(in, "") {
		if _, err := theirs.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	return e, theirs, log
}

func TestEventsAreFoundInAnyOrder(t *testing.T) {
	e, _, log := told(t, nil, findDone+copyDone)
	for _, name := range []string{"copy squashfs", "find psyopsOS-A", "copy squashfs"} {
		got, err := e.Expect(soon(t), Finished(name))
		if err != nil || got.Step != name {
			t.Errorf("got %v, %v, want %s", got, err, name)
		}
	}
	if log.String() != findDone+copyDone {
		t.Errorf("the log has %q", log)
	}
}

func TestAForgottenEventIsWaitedForAnew(t *testing.T) {
	e, port, _ := told(t, nil, findDone+copyDone)
	if _, err := e.Expect(soon(t), Finished("copy squashfs")); err != nil {
		t.Fatal(err)
	}
	e.Forget()
	go func() { _, _ = port.Write([]byte(strings.Replace(copyDone, `"time":2`, `"time":3`, 1))) }()
	if got, err := e.Expect(soon(t), Finished("copy squashfs")); err != nil || got.Time != 3*time.Second {
		t.Errorf("got %+v, %v, want the second one", got, err)
	}
}

func TestAnEventToComeIsWaitedFor(t *testing.T) {
	e, port, _ := told(t, nil, findDone)
	go func() {
		time.Sleep(30 * time.Millisecond)
		_, _ = port.Write([]byte(copyDone))
	}()
	if got, err := e.Expect(soon(t), Finished("copy squashfs")); err != nil || got.Elapsed != time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAFailureThatNobodyWaitsForEndsTheWait(t *testing.T) {
	e, _, _ := told(t, nil, findDone+optional+copyFailed)
	_, err := e.Expect(soon(t), Finished("hand over"))
	for _, want := range []string{"copy squashfs: no room", "hint: more RAM", "find psyopsOS-A (500 ms)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want one with %q", err, want)
		}
	}
}

func TestAfterAFailureThatWasWaitedForTheStoryGoesOn(t *testing.T) {
	e, _, _ := told(t, nil, copyFailed+copyDone)
	if got, err := e.Expect(soon(t), FailedStep("copy squashfs")); err != nil || got.Hint != "more RAM" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := e.Expect(soon(t), Finished("copy squashfs")); err != nil {
		t.Error(err)
	}
}

func TestSkipForgetsTheBootBefore(t *testing.T) {
	e, port, _ := told(t, nil, findDone)
	if _, err := e.Expect(soon(t), Finished("find psyopsOS-A")); err != nil {
		t.Fatal(err)
	}
	e.Skip()
	port.Close()
	if _, err := e.Expect(soon(t), Finished("find psyopsOS-A")); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want %v", err, ErrEnded)
	}
	if len(e.All()) != 1 {
		t.Error("the events of the boot before were thrown away")
	}
}

func TestTheEndInTheMiddleOfALineIsNoError(t *testing.T) {
	e, port, _ := told(t, nil, "noise\r\n\r\n"+findDone+`{"kind":""}`+"\n"+`{"time":2,"st`)
	port.Close()
	if _, err := e.Expect(soon(t), Finished("find psyopsOS-A")); err != nil {
		t.Error(err)
	}
	_, err := e.Expect(soon(t), Finished("copy squashfs"))
	if !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want %v", err, ErrEnded)
	}
	if got := strings.Join(e.Strays(), "|"); got != `noise|{"kind":""}|{"time":2,"st` {
		t.Errorf("strays: got %s", got)
	}
}

func TestAPanicOnTheConsoleEndsAWaitForAnEvent(t *testing.T) {
	g := newGuest(t, FailurePatterns()...)
	e, _, _ := told(t, g.Console, findDone)
	go func() {
		time.Sleep(30 * time.Millisecond)
		g.says(t, "Kernel panic - ", "not syncing: no init\r\n")
	}()
	_, err := e.Expect(soon(t), Finished("hand over"))
	var f *Failure
	if !errors.As(err, &f) || f.Text != "Kernel panic - not syncing: no init" {
		t.Errorf("got %v, want the panic", err)
	}
}

func TestPredicatesAcceptWhatTheirNamesSay(t *testing.T) {
	fact := step.Event{Step: "RAM", Kind: step.Note, Key: "toram", Value: "yes"}
	warning := step.Event{Step: "find", Kind: step.Warning, Message: "two volumes are called psyopsOS-A"}
	for _, c := range []struct {
		name string
		want func(step.Event) bool
		e    step.Event
		ok   bool
	}{
		{"a fact", Fact("toram"), fact, true},
		{"another fact", Fact("copied"), fact, false},
		{"a warning by its words", Warned("two volumes"), warning, true},
		{"other words", Warned("three volumes"), warning, false},
		{"a warning is no end", Finished("find"), warning, false},
		{"nor a failure", FailedStep("find"), warning, false},
	} {
		if got := c.want(c.e); got != c.ok {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(findDone+copyFailed), 10)
	f.Add([]byte("{}\n[]\n\x00\n"), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		cut = min(max(cut, 0), len(in))
		whole, halves := newEvents(nil), newEvents(nil)
		whole.add(in, ErrEnded)
		halves.add(in[:cut], nil)
		halves.add(in[cut:], ErrEnded)
		if len(whole.All()) != len(halves.All()) || strings.Join(whole.Strays(), "\n") != strings.Join(halves.Strays(), "\n") {
			t.Errorf("at once %d events, in halves %d", len(whole.All()), len(halves.All()))
		}
	})
}
