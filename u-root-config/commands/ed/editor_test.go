package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEd(t *testing.T) {
	tests := []struct {
		name, file, typed, want string
	}{
		{"a new file", "", "a\nhello\nworld\n.\nw\nq\n", "hello\nworld\n"},
		{"lines at the end", "one\ntwo\n", "$a\nthree\n.\nw\nq\n", "one\ntwo\nthree\n"},
		{"lines before the first", "one\n", "1i\nzero\n.\nw\nq\n", "zero\none\n"},
		{"lines in another's place", "one\ntwo\nthree\n", "1,2c\nX\n.\nw\nq\n", "X\nthree\n"},
		{"a line less", "one\ntwo\nthree\n", "2d\nw\nq\n", "one\nthree\n"},
		{"the line that holds a word", "one\ntwo\nthree\n", "/two/d\nw\nq\n", "one\nthree\n"},
		{"the search goes on at the start", "one\ntwo\n", "/one/d\nw\nq\n", "two\n"},
		{"all lines", "one\ntwo\n", ",d\nw\nq\n", ""},
		{"one replaced", "aaa\n", "s/a/b/\nw\nq\n", "baa\n"},
		{"everywhere replaced", "a a\na\n", ",s/a/b/g\nw\nq\n", "b b\nb\n"},
		{"another character for the slash", "a/b\n", "s,/,-,\nw\nq\n", "a-b\n"},
		{"text is taken as it is", "a\n", "s/a/$1/\nw\nq\n", "$1\n"},
		{"q keeps what is not written", "one\n", "d\nq\nw\nq\n", ""},
		{"Q leaves the file alone", "one\n", "d\nQ\n", "one\n"},
		{"the end of the input leaves the file alone", "one\n", "d\n", "one\n"},
		{"nonsense changes nothing", "one\n", "9d\n0d\n2,1d\nz\ns\ns/(/\n/nosuch/d\nw\nq\n", "one\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "file")
			if tt.file != "" {
				if err := os.WriteFile(name, []byte(tt.file), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			e := &editor{in: bufio.NewReader(strings.NewReader(tt.typed)), out: &out}
			if err := e.open(name); err != nil {
				t.Fatal(err)
			}
			e.run()
			got, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %q, want %q; shown %q", got, tt.want, out.String())
			}
			if info, err := os.Stat(name); tt.file != "" && (err != nil || info.Mode() != 0o640) {
				t.Errorf("mode: got %v, %v, want it kept", info.Mode(), err)
			}
		})
	}
}

func FuzzEd(f *testing.F) {
	f.Add("one\ntwo", ",s/o/O/g\n1i\nx\n.\n$d\n,n\n")
	f.Add("", "a\n.\n0a\nx\n.\n0,0p\n")
	f.Fuzz(func(t *testing.T, content, typed string) {
		if strings.Contains(typed, "w") {
			return // no file is written here
		}
		e := &editor{in: bufio.NewReader(strings.NewReader(typed)), out: &strings.Builder{}}
		if content != "" {
			e.lines = strings.Split(content, "\n")
		}
		e.run()
		if e.at < 0 || e.at > len(e.lines) {
			t.Fatalf("at line %d of %d", e.at, len(e.lines))
		}
	})
}
