package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts call tk as a program of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tk": func() {
			os.Exit(run(context.Background(), env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}, os.Args[1:]))
		},
	})
}

// Each script in testdata/script is a transcript: what a user types, and what
// must come back.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"s3": startS3, "apks": makeApks}})
}
