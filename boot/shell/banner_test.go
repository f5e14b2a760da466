package shell

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"psyopsOS/step"
)

var update = flag.Bool("update", false, "write the golden files")

func TestBanner(t *testing.T) {
	notFound := &step.Error{Step: "find psyopsOS-A", Err: step.WithHint(
		errors.New("no volume labelled psyopsOS-A after 30 s; saw PSYOPSOSEFI (vda1), psyops-secret (vda2), psyopsOS-B (vda4)"),
		"choose psyopsOS-B in the boot loader's menu, or run `neuralupgrade apply a` from there")}
	facts := Facts{
		Program: "psyopsOS 0123abcd4567",
		Side:    "psyopsOS-A",
		Why:     "trial2",
		Seen:    []string{"PSYOPSOSEFI vda1 vfat 300.0 MiB", "psyops-secret vda2 ext4 128.0 MiB"},
		Done:    []string{"read the command line", "load storage drivers"},
		Next:    "repeats \"find psyopsOS-A\"",
	}
	tests := []struct {
		name    string
		failure *step.Error
		facts   Facts
	}{
		{"a side that is not there", notFound, facts},
		{"asked for", nil, Facts{Program: facts.Program, Asked: "psyopsos.shell=first", Next: "goes on with the boot"}},
		{"a panic", &step.Error{Step: "copy squashfs", Err: &step.Panic{Value: "index out of range", Stack: []byte("goroutine 1")}}, Facts{Program: facts.Program}},
		{"text from a foreign disk", &step.Error{Step: "mount psyopsOS-A", Err: errors.New("label \x1b[2Jevil\a")}, Facts{Program: facts.Program, Seen: []string{"\x1b]0;x\x07 vda1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			golden := filepath.Join("testdata", strings.ReplaceAll(tt.name, " ", "-")+".txt")
			got := Banner(tt.failure, tt.facts)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestEveryFailureGetsThreeCommandsThatAreThere(t *testing.T) {
	// Those that image's test promises, and the shell's own.
	there := strings.Fields("blkid cat df dmesg free grep ip ls lsmod tail uname")
	steps := []string{"something new"}
	for _, s := range suggestions() {
		steps = append(steps, "the "+strings.Fields(s.steps)[0])
	}
	for _, failure := range steps {
		commands := Suggest(&step.Error{Step: failure})
		if len(commands) != 3 {
			t.Errorf("%v: got %d commands, want 3", failure, len(commands))
		}
		for _, c := range commands {
			for part := range strings.SplitSeq(strings.ReplaceAll(c.Line, "usb|nvme|scsi", ""), " | ") {
				if program := strings.Fields(part)[0]; !contains(there, program) {
					t.Errorf("%v: %q calls %s, which the initramfs does not have", failure, c.Line, program)
				}
			}
			if c.Why == "" || len(c.Line) > 34 || len("  ")+35+len(c.Why) > width {
				t.Errorf("%v: %q %q does not fit its line", failure, c.Line, c.Why)
			}
		}
	}
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

func FuzzBannerObeysNoDisk(f *testing.F) {
	f.Add("find psyopsOS-A", "no volume\x1b[2J", "vda1\r\n\x00")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, name, because, seen string) {
		got := Banner(&step.Error{Step: name, Err: errors.New(because)}, Facts{Program: "p", Seen: []string{seen}})
		for _, r := range got {
			if r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
				t.Fatalf("control character %q in %q", r, got)
			}
		}
		if !utf8.ValidString(got) {
			t.Fatalf("not UTF-8: %q", got)
		}
	})
}
