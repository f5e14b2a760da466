package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudoTerminal is a person's end of a terminal and the path of the other.
func pseudoTerminal(t *testing.T) (person *os.File, path string) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return person, fmt.Sprintf("/dev/pts/%d", number)
}

func TestAStrayCtrlSStopsNoMessage(t *testing.T) {
	person, path := pseudoTerminal(t)
	// The kernel keeps the settings as long as somebody has the terminal open.
	other, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := person.Write([]byte("\x13")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	console, err := openTTY(path)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	if n, err := console.Write([]byte("told\n")); n != 5 || err != nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	if took := time.Since(start); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

func TestALineThatTakesNothingIsGivenUp(t *testing.T) {
	_, path := pseudoTerminal(t) // the person does not read
	console, err := openTTY(path)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	start := time.Now()
	if _, err := console.Write(make([]byte, 1<<20)); err == nil {
		t.Error("a megabyte went where nobody reads")
	}
	if took := time.Since(start); took > 3*patience {
		t.Errorf("it took %v to give up", took)
	}
}
