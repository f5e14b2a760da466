package boot_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/layout"
	"psyopsOS/step"
)

// Who greps boot.json finds whole events, and who parses it finds all of it.
func TestTheReportHasAnEventALineAndReadsBack(t *testing.T) {
	c, err := boot.ParseCmdline("psyopsos=psyopsOS-A psyopsos.boot=good")
	if err != nil {
		t.Fatal(err)
	}
	for _, events := range [][]step.Event{
		{},
		{{Time: time.Second, Step: "one", Kind: step.Started}},
		{
			{Time: time.Second, Step: "one", Kind: step.Note, Key: "device", Value: "vda3", Message: "a \"line\"\nand <another>"},
			{Time: 2 * time.Second, Step: "one", Kind: step.Failed, Message: "no", Hint: "]}", Stack: "goroutine 1\n"},
		},
	} {
		root := t.TempDir()
		want := boot.NewReport(c, "test", events)
		if err := want.Write(root); err != nil {
			t.Fatal(err)
		}
		got, err := boot.ReadReport(root)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		text, err := os.ReadFile(filepath.Join(root, layout.BootJSON))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines) != len(events)+2 {
			t.Fatalf("%d events in %d lines, want one more before and one behind:\n%s", len(events), len(lines), text)
		}
		for i, event := range events {
			var e step.Event
			if err := json.Unmarshal([]byte(strings.TrimSuffix(lines[i+1], ",")), &e); err != nil || !reflect.DeepEqual(e, event) {
				t.Errorf("line %d is %q, %v", i+1, lines[i+1], err)
			}
		}
	}
}
