package main

import (
	"bytes"
	"flag"
	"net"
	"strconv"
	"strings"
	"testing"

	"psyopsOS/vm"
)

func TestASecondMachineTakesAnotherPortForItsSSH(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	for name, test := range map[string]struct {
		port  int
		given bool
		want  string // of the error
	}{
		"the usual one is taken": {port: taken},
		"a named one is taken":   {port: taken, given: true, want: "--ssh " + strconv.Itoa(taken)},
		"none is wanted":         {},
	} {
		f := &vmFlags{wordsAndFlags: wordsAndFlags{FlagSet: flag.NewFlagSet("vm", flag.ContinueOnError)}}
		f.IntVar(&f.ssh, "ssh", test.port, "")
		if test.given {
			if err := f.Parse([]string{"--ssh", strconv.Itoa(test.port)}); err != nil {
				t.Fatal(err)
			}
		}
		var told bytes.Buffer
		err := f.takePort(env{stderr: &told})
		switch {
		case test.want != "":
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: got %v, want %q", name, err, test.want)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case test.port == 0 && (f.ssh != 0 || told.Len() != 0):
			t.Errorf("%s: got port %d and %q", name, f.ssh, &told)
		case test.port != 0 && (f.ssh == taken || vm.PortIsFree(f.ssh) != nil || !strings.Contains(told.String(), strconv.Itoa(taken))):
			t.Errorf("%s: got port %d and %q", name, f.ssh, &told)
		}
	}
}
