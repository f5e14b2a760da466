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
		// Whoever runs the tests may ignore others, which are inherited.
		var ignored uint64
		if _, err := fmt.Sscanf(line, "SigIgn: %x", &ignored); err != nil {
			continue
		}
		for _, s := range deadly() {
			if ignored&(1<<(uint(s.(unix.Signal))-1)) != 0 {
				t.Errorf("%v is ignored (%#x)", s, ignored)
			}
		}
	}
}
