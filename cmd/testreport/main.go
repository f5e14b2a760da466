// Testreport reads what `go test -json` prints, of one run or of several one
// after another, and says it to a person: a line for each package, the output
// of what failed in full, the ten slowest tests, and as the last line
//
//	N passed, N failed, N skipped
//
// It exits with 1 when anything failed, did not build, panicked or began and
// never ended, and when no test ran at all.
//
// A pipe hides how the programs before it ended, so they may tell: a line
// "exit STATUS" in the stream is the status of the run before it. With
// -runs=N there must be N such lines.
//
//	( go test -json ./...; echo exit $? ) | testreport -runs=1
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	runs := flag.Int("runs", 0, "how many \"exit STATUS\" lines the stream must have; 0: any number")
	flag.Parse()
	report := newReport(os.Stdout)
	err := report.read(os.Stdin)
	if err != nil {
		err = fmt.Errorf("read the test stream: %w", err)
	}
	if !report.finish(*runs, err) {
		os.Exit(1)
	}
}
