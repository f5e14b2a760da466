package bootstate

import (
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
)

func sampleState() State {
	s, _ := Initial("20261121-101500", time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC))
	return s
}

func must(t testing.TB, data []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheFirstStateOfADisk(t *testing.T) {
	s, tries := Initial("20261121-101500", time.Date(2026, 11, 21, 10, 20, 0, 5, time.FixedZone("", 3600)))
	data := string(must2(t)(s.Render()))
	want := "# GRUB Environment Block\nseq=1\ngood=A\ntry=0\nalt=B\na=20261121-101500\nb=20261121-101500\n" +
		"floor=20261121-101500\nbad=\ntime=2026-11-21T09:20:00Z\nend=1\n"
	if strings.TrimRight(data, "#") != want || len(data) != 512 {
		t.Errorf("got  %q\nwant %q", data, want)
	}
	data = string(must2(t)(tries.Render()))
	if want := "# GRUB Environment Block\nleft=0\nfor=0\nrun=0\n"; strings.TrimRight(data, "#") != want {
		t.Errorf("got  %q\nwant %q", data, want)
	}
}

func must2(t testing.TB) func([]byte, error) []byte {
	return func(data []byte, err error) []byte { return must(t, data, err) }
}

func TestACopyOfTheStateCountsOrSaysWhyNot(t *testing.T) {
	const good = "seq=7\ngood=A\ntry=B\nalt=0\nend=7\n"
	for _, test := range []struct{ name, text, why string }{
		{"valid", good, ""},
		{"the highest number", "seq=999999999\ngood=B\ntry=0\nalt=A\nend=999999999\n", ""},
		{"try may name the good side", "seq=7\ngood=A\ntry=A\nalt=0\nend=7\n", ""},
		{"no seq", strings.Replace(good, "seq=7\n", "", 1), `seq is ""`},
		{"a leading zero", strings.ReplaceAll(good, "7", "07"), `seq is "07"`},
		{"zero", strings.ReplaceAll(good, "7", "0"), `seq is "0"`},
		{"ten digits", strings.ReplaceAll(good, "7", "1000000000"), `seq is "1000000000"`},
		{"beyond 32 bits", strings.ReplaceAll(good, "7", "4294967303"), `seq is "4294967303"`},
		{"a sign", strings.ReplaceAll(good, "7", "+7"), `seq is "+7"`},
		{"a blank", strings.ReplaceAll(good, "7", "7 "), `seq is "7 "`},
		{"quotes", strings.ReplaceAll(good, "7", `"7"`), `seq is "\"7\""`},
		{"another end", strings.Replace(good, "end=7", "end=8", 1), `seq is 7, but end is "8"`},
		{"cut before end", strings.Replace(good, "end=7\n", "", 1), `seq is 7, but end is ""`},
		{"an unknown good", strings.Replace(good, "good=A", "good=C", 1), `good is "C"`},
		{"good in lower case", strings.Replace(good, "good=A", "good=a", 1), `good is "a"`},
		{"good is none", strings.Replace(good, "good=A", "good=0", 1), `good is "0"`},
		{"an unknown try", strings.Replace(good, "try=B", "try=1", 1), `try is "1"`},
		{"no try", strings.Replace(good, "try=B\n", "", 1), `try is ""`},
		{"an unknown alt", strings.Replace(good, "alt=0", "alt=x", 1), `good is A and alt is "x"`},
		{"alt is the good side", strings.Replace(good, "alt=0", "alt=A", 1), `good is A and alt is "A"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := ParseState(pad(test.text))
			got := ""
			if err != nil {
				got = strings.TrimPrefix(err.Error(), "invalid copy of the boot loader's state: ")
			}
			if got != test.why {
				t.Errorf("got %+v, %q; want %q", s, got, test.why)
			}
		})
	}
}

func TestWhatIsRenderedIsReadAgain(t *testing.T) {
	s := sampleState()
	s.Seq, s.Good, s.Try, s.Alt, s.Bad = 41, layout.SideB, layout.SideA, "", "20250101-000000"
	if again, err := ParseState(must2(t)(s.Render())); err != nil || again != s {
		t.Errorf("state: got %+v, %v; want %+v", again, err, s)
	}
	for _, bad := range []State{{}, {Seq: 1}, {Seq: MaxSeq + 1, Good: layout.SideA}, {Seq: 1, Good: layout.SideA, Alt: layout.SideA}, {Seq: 1, Good: layout.Secret}} {
		if data, err := bad.Render(); err == nil {
			t.Errorf("%+v: rendered as %q", bad, data)
		}
	}
	tries := Tries{Left: 1, For: 41, Run: 3, Confirm: ConfirmRemote, Of: 2}
	if again := ParseTries(must2(t)(tries.Render())); again != tries {
		t.Errorf("tries: got %+v, want %+v", again, tries)
	}
	for _, bad := range []Tries{{Left: 4}, {Run: -1}, {For: -1}} {
		if data, err := bad.Render(); err == nil {
			t.Errorf("%+v: rendered as %q", bad, data)
		}
	}
	fail := Fail{layout.SideB, "20261121-101500", "copy squashfs", "read error\nat 5", 41}
	if again := ParseFail(must2(t)(fail.Render())); again != fail {
		t.Errorf("failure: got %+v, want %+v", again, fail)
	}
	fail.Reason = strings.Repeat("ä\\\x00", 400)
	if again := ParseFail(must2(t)(fail.Render())); again.Stage != fail.Stage || !strings.HasPrefix(again.Reason, `ä\ ä\ `) {
		t.Errorf("a failure with a long reason: got %+v", again)
	}
	menu := Menu{0, "mitigations=off psyopsos.toram=no", []Program{{"/memtest64.efi", "MemTest86 EFI (64-bit)"}, {"/tcshell.efi", "TianoCore's $shell*"}}}
	if again := ParseMenu(must2(t)(menu.Render())); again.Append != menu.Append || len(again.Programs) != 2 || again.Programs[1] != menu.Programs[1] || again.Timeout != 0 {
		t.Errorf("menu: got %+v, want %+v", again, menu)
	}
	for _, bad := range []Menu{{Timeout: -1}, {Timeout: 1000}, {Append: `a="b c"`}, {Append: "a;reboot"}, {Append: "*"},
		{Programs: []Program{{"memtest", "x"}}}, {Programs: []Program{{"/a", ""}}}, {Programs: []Program{{"/a b", "x"}}}, {Programs: make([]Program, 9)}} {
		if data, err := bad.Render(); err == nil {
			t.Errorf("%+v: rendered as %q", bad, data)
		}
	}
}

func TestAMenuThatIsNotValidHasDefaults(t *testing.T) {
	for text, want := range map[string]Menu{
		"":                              {Timeout: 5},
		"timeout=7\nappend=a b\n":       {Timeout: 7, Append: "a b"},
		"timeout=07\nappend=$x\n":       {Timeout: 5},
		"timeout=1000\n":                {Timeout: 5},
		"timeout=-1\nprogram1=x y\n":    {Timeout: 5},
		"timeout=0\nprogram2=/ y\n":     {Timeout: 0},
		"timeout=0\nprogram1=/a \x01\n": {Timeout: 0},
	} {
		if got := ParseMenu(pad(text)); got.Timeout != want.Timeout || got.Append != want.Append || got.Programs != nil {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
	if got := ParseMenu(make([]byte, 512)); got.Timeout != 5 {
		t.Errorf("zeros: got %+v", got)
	}
}
