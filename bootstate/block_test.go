package bootstate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// pad is text as an environment block of 512 bytes.
func pad(text string) []byte {
	out := []byte(header + text)
	return append(out, bytes.Repeat([]byte("#"), max(0, 512-len(out)))...)
}

func TestABlockIsReadAsGRUBReadsIt(t *testing.T) {
	for _, test := range []struct {
		name string
		data []byte
		want Block
		err  error
	}{
		{"two variables", pad("a=1\nb=x y\n"), Block{{"a", "1"}, {"b", "x y"}}, nil},
		{"the last one counts, both are kept", pad("a=1\na=2\n"), Block{{"a", "1"}, {"a", "2"}}, nil},
		{"an escaped newline and backslash", pad("a=1\\\n2\\\\3\nb=4\n"), Block{{"a", "1\n2\\3"}, {"b", "4"}}, nil},
		{"a line without = belongs to the next name", pad("a\nb=1\n"), Block{{"a\nb", "1"}}, nil},
		{"a value may hold =", pad("a=b=c\n"), Block{{"a", "b=c"}}, nil},
		{"a comment in the middle", pad("a=1\n# x=y\nb=2\n"), Block{{"a", "1"}, {"b", "2"}}, nil},
		{"a value ends at a NUL", pad("a=1\x002\nb=3\n"), Block{{"a", "1"}, {"b", "3"}}, nil},
		{"cut inside a value", []byte(header + "a=1\nb=2"), Block{{"a", "1"}}, nil},
		{"cut inside a name", []byte(header + "a=1\nbb"), Block{{"a", "1"}}, nil},
		{"no variable", pad(""), nil, nil},
		{"the header alone", []byte(header), nil, ErrNoBlock},
		{"nothing", nil, nil, ErrNoBlock},
		{"zeros", make([]byte, 512), nil, ErrNoBlock},
		{"a damaged header", bytes.Replace(pad("a=1\n"), []byte("GRUB"), []byte("GRuB"), 1), nil, ErrNoBlock},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseBlock(test.data)
			if err != test.err || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, %v; want %q, %v", got, err, test.want, test.err)
			}
		})
	}
}

// editenv runs grub-editenv, which is made of the same reader and writer as
// GRUB's own load_env and save_env.
func editenv(t testing.TB, data []byte, args ...string) (after []byte, out string, err error) {
	t.Helper()
	program, err := exec.LookPath("grub-editenv")
	if err != nil {
		t.Fatalf("%v (Debian package grub-common)", err)
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	text, runErr := exec.Command(program, append([]string{file}, args...)...).Output()
	after, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return after, string(text), runErr
}

func TestGRUBsOwnToolReadsAndWritesTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"left=", "run=", "for=", "a=", "1", "2", "x", "\n", "\n", "\n", "\\", "#", "=", " ", "left", "0123456789"}
	for i := range 60 {
		text := ""
		for range random.IntN(25) {
			text += pieces[random.IntN(len(pieces))]
		}
		data := pad(text)
		if i%3 == 0 {
			data = data[:26+random.IntN(len(text)+1)]
		}
		block, err := ParseBlock(data)
		want := ""
		for _, v := range block {
			want += v.Name + "=" + v.Value + "\n"
		}
		if _, out, toolErr := editenv(t, data, "list"); (toolErr == nil) != (err == nil) || out != want {
			t.Errorf("%q: read %q, %v; grub-editenv reads %q, %v", data, want, err, out, toolErr)
		}
		value := []string{"2", "", "a longer value", "b\\c"}[random.IntN(4)]
		after, ok := SetVar(data, "left", value)
		toolAfter, _, toolErr := editenv(t, data, "set", "left="+value)
		if ok != (toolErr == nil) || ok && !bytes.Equal(after, toolAfter) {
			t.Errorf("%q, left=%s: written %q, %t; grub-editenv writes %q, %v", data, value, after, ok, toolAfter, toolErr)
		}
	}
}

func TestABlockThatDoesNotFitIsNotWritten(t *testing.T) {
	fits := strings.Repeat("x", 512-len(header)-len("a=\n")-1)
	if data, err := (Block{{"a", fits}}).Render(); err != nil || len(data) != 512 {
		t.Errorf("a block with one byte of padding: %d bytes, %v", len(data), err)
	}
	for _, b := range []Block{{{"a", fits + "x"}}, {{"a", "\x00"}}, {{"a=b", ""}}, {{"", "1"}}, {{"#a", "1"}}} {
		if data, err := b.Render(); err == nil {
			t.Errorf("%.40q: written as %.60q", fmt.Sprint(b), data)
		}
	}
	if _, ok := SetVar(pad("a="+fits[1:]+"\n"), "left", "1"); ok {
		t.Error("a variable is set in a full block")
	}
}

func FuzzBlock(f *testing.F) {
	f.Add(pad("a=1\nb=\\\\\\\n\n"))
	f.Add([]byte(header + "\\"))
	f.Add([]byte(header + "a=\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBlock(data)
		if err != nil {
			return
		}
		if after, ok := SetVar(data, "left", "1"); ok && len(after) != len(data) {
			t.Fatalf("%q: setting a variable changed the length to %d", data, len(after))
		}
		text, err := b.Render()
		if err != nil {
			return
		}
		again, err := ParseBlock(text)
		if err != nil || !reflect.DeepEqual(again, b) {
			t.Fatalf("%q: read %q, rendered %q, read again %q, %v", data, b, text, again, err)
		}
	})
}
