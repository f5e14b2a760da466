package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The test program itself would end at the first signal that is not outlived.
func TestNoSignalEndsPID1(t *testing.T) {
	outliveSignals()
	for _, s := range deadly() {
		if err := unix.Kill(os.Getpid(), s.(unix.Signal)); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
}

func TestProgramsThatAreStartedObeySignalsAllTheSame(t *testing.T) {
	outliveSignals()
	status, err := exec.Command("cat", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var ignored uint64
		if n, _ := fmt.Sscanf(line, "SigIgn: %x", &ignored); n == 1 && ignored != 0 {
			t.Errorf("ignored signals: %#x", ignored)
		}
	}
}
