package alpine

import (
	"reflect"
	"strings"
	"testing"

	"psyopsOS/image/tree"
)

func TestReadScript(t *testing.T) {
	for _, c := range []struct {
		name, text       string
		accounts, undone string
	}{
		{"plain commands", "#!/bin/sh\naddgroup -S x 2>/dev/null\nadduser -S -g 'a user' x >/dev/null 2>&1 || true\nexit 0\n", "addgroup -S x;adduser -S -g a user x", ""},
		{"a continued line", "adduser -S \\\n -D x\n", "adduser -S -D x", ""},
		{"a variable is not guessed", "adduser -S $user\n", "", "adduser -S $user"},
		{"a condition is not guessed", "id x || adduser -S x\n", "", "id x || adduser -S x"},
		{"what is in a condition may not happen", "if [ -x /bin/y ]; then\n adduser -S x\nfi\nadduser -S z\n", "adduser -S z", "if [ -x /bin/y ];adduser -S x"},
		{"nor what is in a function", "make() {\n adduser -S x\n}\nadduser -S z\n", "adduser -S z", "make() {;adduser -S x"},
		{"nor what is in a here-document", "cat <<E\nadduser -S x\nE\n", "", "cat <<E;adduser -S x;E"},
		{"anything else is told", "mkdir -p /var/x; chown x /var/x # why\n", "", "mkdir -p /var/x;chown x /var/x"},
		{"an open quote is not guessed", "adduser -S 'x\n", "", "adduser -S 'x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := readScript([]byte(c.text))
			var accounts []string
			for _, words := range s.accounts {
				accounts = append(accounts, strings.Join(words, " "))
			}
			if got := strings.Join(accounts, ";"); got != c.accounts {
				t.Errorf("accounts: got %q, want %q", got, c.accounts)
			}
			if got := strings.Join(s.undone, ";"); got != c.undone {
				t.Errorf("undone: got %q, want %q", got, c.undone)
			}
		})
	}
}

func TestAccounts(t *testing.T) {
	for _, c := range []struct {
		name, command, passwd, group, err string
	}{
		{"a system user", "adduser -SDH -h /var/empty -s /sbin/nologin -G tty -g it it", "it:x:100:5:it:/var/empty:/sbin/nologin", "", ""},
		{"a system user without a group", "adduser -S it", "it:x:100:65533:Linux User,,,:/home/it:/bin/false", "", ""},
		{"a person", "adduser -D it", "it:x:1000:1000:Linux User,,,:/home/it:/bin/sh", "it:x:1000:", ""},
		{"a number", "adduser -S -u 82 it", "it:x:82:65533:Linux User,,,:/home/it:/bin/false", "", ""},
		{"a group with a number", "addgroup -g 82 -S it", "", "it:x:82:", ""},
		{"one that is there", "adduser -S root", "", "", ""},
		{"a group that is missing", "adduser -S -G none it", "", "", "no group none"},
		{"a password", "adduser it", "", "", "password"},
		{"another root", "adduser -S -u 0 it", "", "", "another root"},
		{"a number out of bounds", "adduser -S -u 999999999 it", "", "", "number"},
		{"a colon in the home", "adduser -S -h /x:0:0 it", "", "", "names or values"},
		{"a strange name", "adduser -S ../it", "", "", "names or values"},
		{"an unknown option", "adduser -Z it", "", "", "option -Z"},
		{"nobody", "adduser -S", "", "", "names or values"},
		{"joining as nobody", "addgroup it tty", "", "", "no user it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tree.New()
			for name, content := range map[string]string{passwdFile: "root:x:0:0:root:/root:/bin/sh\n", groupFile: "root:x:0:\ntty:x:5:\n"} {
				if err := x.AddFile(name, 0o644, content); err != nil {
					t.Fatal(err)
				}
			}
			a, err := readAccounts(x)
			if err != nil {
				t.Fatal(err)
			}
			err = a.run(strings.Fields(c.command))
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if got := strings.Join(a.passwd[1:], "\n"); got != c.passwd {
				t.Errorf("passwd: got %q, want %q", got, c.passwd)
			}
			if got := strings.Join(a.group[2:], "\n"); got != c.group {
				t.Errorf("group: got %q, want %q", got, c.group)
			}
		})
	}
}

func TestJoiningTwiceIsJoiningOnce(t *testing.T) {
	x := tree.New()
	if err := x.AddFile(passwdFile, 0o644, "it:x:7:7::/:/bin/sh\n"); err != nil {
		t.Fatal(err)
	}
	if err := x.AddFile(groupFile, 0o644, "tty:x:5:root\n"); err != nil {
		t.Fatal(err)
	}
	a, err := readAccounts(x)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.run([]string{"addgroup", "it", "tty"}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"tty:x:5:root,it"}; !reflect.DeepEqual(a.group, want) {
		t.Errorf("got %v, want %v", a.group, want)
	}
}

// Whatever a script says, the files of accounts stay files of accounts.
func FuzzScript(f *testing.F) {
	f.Add("addgroup -S x\nadduser -S -G x -h '/a b' x || true\nadduser x x\n")
	f.Add("if x; then\n\tadduser -D y\nfi")
	f.Fuzz(func(t *testing.T, script string) {
		a := accounts{users: map[string]int{"root": 0}, groups: map[string]int{"root": 0}, primary: map[string]int{}}
		for _, words := range readScript([]byte(script)).accounts {
			// An account that cannot be made is told by the caller.
			_ = a.run(words)
		}
		for _, line := range a.passwd {
			if strings.Count(line, ":") != 6 || strings.ContainsAny(line, "\n\x00") || strings.Contains(line, ":x:0:") {
				t.Errorf("passwd has %q", line)
			}
		}
	})
}
