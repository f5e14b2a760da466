package netif

import (
	"reflect"
	"strings"
	"testing"

	"psyopsOS/step"
)

func TestParseMactab(t *testing.T) {
	mac := func(s string) []Selector { return []Selector{{"mac", s}} }
	for _, c := range []struct {
		name, text string
		want       Mactab
		problem    string // empty for none
	}{
		{"a bare MAC", "psy0 52:54:00:AB:cd:01\n", Mactab{{1, "psy0", mac("52:54:00:ab:cd:01")}}, ""},
		{"mac= and short bytes", "psy0\tmac=0:1:2:a:b:c", Mactab{{1, "psy0", mac("00:01:02:0a:0b:0c")}}, ""},
		{"all selectors", "  psy0 driver=virtio_net bus=0000:00:03.0 mac=52:54:00:00:00:01",
			Mactab{{1, "psy0", []Selector{{"driver", "virtio_net"}, {"bus", "0000:00:03.0"}, {"mac", "52:54:00:00:00:01"}}}}, ""},
		{"comments, empty lines and CRLF", "# mine\r\n\r\n   \t# more\r\npsy0 52:54:00:00:00:01\r\n", Mactab{{4, "psy0", mac("52:54:00:00:00:01")}}, ""},
		{"the all-zero MAC is a MAC", "psy0 00:00:00:00:00:00", Mactab{{1, "psy0", mac(noMAC)}}, ""},
		{"15 characters", "abcdefghijklmno driver=x", Mactab{{1, "abcdefghijklmno", []Selector{{"driver", "x"}}}}, ""},
		{"16 characters", "abcdefghijklmnop driver=x", nil, "it has 16 characters, more than 15"},
		{"a bad line does not spoil the next", "psy0 5:4\npsy1 driver=e", Mactab{{2, "psy1", []Selector{{"driver", "e"}}}}, `line 1 is not used: "5:4" is not a MAC`},
		{"no selector", "psy0", nil, "psy0 has no selector"},
		{"an unknown selector", "psy0 name=eth0", nil, `unknown selector "name=eth0"`},
		{"an empty selector", "psy0 bus=", nil, "bus= is empty"},
		{"a long byte", "psy0 052:54:00:00:00:01", nil, "not a MAC"},
		{"a signed byte", "psy0 +2:54:00:00:00:01", nil, "not a MAC"},
		{"a comment after a line", "psy0 52:54:00:00:00:01 #mine", nil, "needs a line of its own"},
		{"lo keeps its name", "lo 52:54:00:00:00:01", nil, "lo is the loopback link"},
		{"a name that the kernel would number", "eth%d driver=x", nil, "cannot name a link"},
		{"a name with a slash", "a/b driver=x", nil, "cannot name a link"},
		{"a name that /proc/sys has taken", "all driver=x", nil, "cannot name a link"},
		{"not a mactab", strings.Repeat("x", 70_000), nil, "70000 bytes"},
		{"nothing", "", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := ParseMactab(c.text)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			switch {
			case c.problem == "" && len(problems) > 0:
				t.Errorf("got problems %v, want none", problems)
			case c.problem != "" && (len(problems) != 1 || !strings.Contains(problems[0].Error(), c.problem) || step.HintOf(problems[0]) == ""):
				t.Errorf("got problems %v, want one with %q and a hint", problems, c.problem)
			}
		})
	}
}

func FuzzParseMactab(f *testing.F) {
	f.Add("# mine\npsy0 52:54:00:AB:cd:01\npsy1 mac=0:1:2:3:4:5 bus=usb-1 driver=e1000e\r\n lo x\n")
	f.Add("a\x00b driver==\nx bus=\xff")
	f.Fuzz(func(t *testing.T, text string) {
		table, _ := ParseMactab(text)
		again, problems := ParseMactab(table.String())
		if len(problems) > 0 || len(again) != len(table) {
			t.Fatalf("%q became %q: %v", text, table, problems)
		}
		for i := range again {
			again[i].Line = table[i].Line
		}
		if !reflect.DeepEqual(again, table) {
			t.Errorf("got %v, want %v", again, table)
		}
	})
}
