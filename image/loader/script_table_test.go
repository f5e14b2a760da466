//go:build qemu

package loader

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/fstest"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// A testCase is a state of the disk. The state files are nil where missing.
type testCase struct {
	name                string
	copy1, copy2, tries []byte
	a, b                string // which kind of side is at A and B
	bad                 string // the state file whose sector cannot be read
	unwritable          bool   // TRIES.ENV's sector cannot be written
	want                string // where it is worth saying
}

func pad(text string) []byte {
	const header = "# GRUB Environment Block\n"
	out := []byte(header + text)
	return append(out, bytes.Repeat([]byte("#"), max(0, 512-len(out)))...)
}

func state(seq any, good, try, alt string) []byte {
	return pad(fmt.Sprintf("seq=%v\ngood=%s\ntry=%s\nalt=%s\na=20261121-101500\nbad=\nend=%v\n", seq, good, try, alt, seq))
}

func tries(left, forSeq, run any) []byte {
	return pad(fmt.Sprintf("left=%v\nfor=%v\nrun=%v\n", left, forSeq, run))
}

// table lists the cases: whole sides with odd states, then odd sides with a
// plain state.
func table() []testCase {
	committed, onTrial := state(4, "A", "0", "B"), state(4, "A", "B", "0")
	zero := tries(0, 0, 0)
	var list []testCase
	add := func(name string, copy1, copy2, tries []byte, want string) {
		list = append(list, testCase{name: name, copy1: copy1, copy2: copy2, tries: tries, a: "A whole", b: "B whole", want: want})
	}
	add("a fresh disk", state(1, "A", "0", "B"), state(1, "A", "0", "B"), zero, "copy=2 chosen=A good")
	add("copy 1 has the higher number", state(10, "B", "0", "A"), state(9, "A", "0", "B"), zero, "copy=1 chosen=B good")
	add("copy 2 has the higher number", state(9, "B", "0", "A"), state(10, "A", "0", "B"), zero, "copy=2 chosen=A good")
	add("copies that are equal and differ", state(4, "B", "0", "A"), committed, zero, "copy=2 chosen=A good")
	add("the highest numbers", state(999999999, "B", "0", "A"), state(999999998, "A", "0", "B"), zero, "copy=1 chosen=B good")
	add("both missing", nil, nil, zero, "copy=0 chosen=A lastresort")
	add("copy 1 missing", nil, committed, zero, "copy=2 chosen=A good")
	add("copy 2 missing", state(3, "B", "0", "A"), nil, zero, "copy=1 chosen=B good")
	odd := oddCopies()
	for _, name := range slices.Sorted(maps.Keys(odd)) {
		block := odd[name]
		add("copy 1: "+name, block, state(2, "B", "0", "A"), zero, "")
		add("copy 2: "+name, state(2, "B", "0", "A"), block, zero, "")
	}
	list = append(list,
		testCase{name: "copy 1 unreadable", copy1: state(9, "B", "0", "0"), copy2: committed, tries: zero, a: "A whole", b: "B whole", bad: layout.State1, want: "copy=2 chosen=A good"},
		testCase{name: "copy 2 unreadable", copy1: committed, copy2: state(9, "B", "0", "0"), tries: zero, a: "A whole", b: "B whole", bad: layout.State2, want: "copy=1 chosen=A good"},
		testCase{name: "TRIES unreadable", copy1: onTrial, copy2: onTrial, tries: tries(3, 4, 0), a: "A whole", b: "B whole", bad: layout.Tries, want: "copy=2 chosen=A good"},
		testCase{name: "TRIES cannot be written", copy1: onTrial, copy2: onTrial, tries: tries(3, 4, 0), a: "A whole", b: "B whole", unwritable: true, want: "copy=2 chosen=A good"},
		testCase{name: "TRIES cannot be written, run 2", copy1: committed, copy2: committed, tries: tries(0, 0, 2), a: "A whole", b: "B whole", unwritable: true, want: "copy=2 chosen=A good"},
	)
	for _, left := range []any{0, 1, 2, 3, 4, "x", "", "03", "3 ", "-1", "("} {
		add(fmt.Sprintf("a trial with left=%v", left), onTrial, onTrial, tries(left, 4, 0), "")
	}
	for _, forSeq := range []any{3, 5, "04", "4 ", "x", ""} {
		add(fmt.Sprintf("a trial with for=%v", forSeq), onTrial, onTrial, tries(3, forSeq, 0), "copy=2 chosen=A good")
	}
	for _, run := range []any{0, 1, 2, 3, 4, "x", "", "03", "-1", "!"} {
		add(fmt.Sprintf("run=%v", run), committed, committed, tries(0, 0, run), "")
		add(fmt.Sprintf("run=%v and no other side proven", run), state(4, "A", "0", "0"), nil, tries(0, 0, run), "copy=1 chosen=A good")
	}
	add("run=3 on a trial", state(4, "A", "B", "B"), nil, tries(3, 4, 3), "copy=1 chosen=B trial2")
	add("run=3 after a trial", state(4, "A", "B", "B"), nil, tries(0, 4, 3), "copy=1 chosen=B fallback")
	add("a trial of A", state(4, "B", "A", "0"), nil, tries(2, 4, 0), "copy=1 chosen=A trial1")
	add("a trial of the good side", state(4, "A", "A", "0"), nil, tries(3, 4, 0), "copy=1 chosen=A good")
	add("TRIES missing", onTrial, onTrial, nil, "copy=2 chosen=A good")
	add("TRIES zeroed", onTrial, onTrial, make([]byte, 512), "copy=2 chosen=A good")
	add("TRIES truncated", onTrial, onTrial, tries(3, 4, 0)[:40], "")
	add("TRIES without padding", onTrial, onTrial, []byte("# GRUB Environment Block\nleft=3\nfor=4\nrun=0"), "copy=2 chosen=A good")
	add("TRIES without run", committed, committed, pad("left=0\nfor=0\n"), "copy=2 chosen=A good")
	add("TRIES with run twice", committed, committed, pad("run=1\nrun=2\n"), "")
	return append(list, sideCases(committed, onTrial, zero)...)
}

// oddCopies are copies with a higher number than the other copy has, most of
// which do not count.
func oddCopies() map[string][]byte {
	good := string(state(7, "A", "0", "B"))
	edit := func(old, new string) []byte { return []byte(strings.Replace(good, old, new, 1)) }
	return map[string][]byte{
		"damaged header":          edit("GRUB", "GRuB"),
		"header with CR":          edit("Block\n", "Block\r\n"),
		"zeroed":                  make([]byte, 512),
		"all ones":                bytes.Repeat([]byte{0xff}, 512),
		"a single byte":           []byte("#"),
		"cut before end":          []byte(good[:strings.Index(good, "end=")]),
		"cut inside end":          []byte(good[:strings.Index(good, "end=")+5]),
		"cut after end":           []byte(good[:strings.Index(good, "end=")+6]),
		"half zeroed":             append([]byte(good[:45]), make([]byte, 467)...),
		"leading zero":            state("07", "A", "0", "B"),
		"octal":                   state("010", "A", "0", "B"),
		"hexadecimal":             state("0x7", "A", "0", "B"),
		"ten digits":              state("1000000000", "A", "0", "B"),
		"beyond 32 bits":          state("4294967303", "A", "0", "B"),
		"negative":                state("-7", "A", "0", "B"),
		"zero":                    state("0", "A", "0", "B"),
		"blank after seq":         state("7 ", "A", "0", "B"),
		"blank in seq":            state("7 1", "A", "0", "B"),
		"quotes around seq":       state(`"7"`, "A", "0", "B"),
		"single quote":            state("7'", "A", "0", "B"),
		"star":                    state("*", "A", "0", "B"),
		"dollar":                  state("$seq", "A", "0", "B"),
		"option":                  state("--help", "A", "0", "B"),
		"backslash":               state(`7\\`, "A", "0", "B"),
		"escaped digit":           state(`\7`, "A", "0", "B"),
		"newline in seq":          state("7\\\n", "A", "0", "B"),
		"NUL in seq":              state("7\x00", "A", "0", "B"),
		"no seq":                  edit("seq=7\n", ""),
		"end differs":             edit("end=7", "end=8"),
		"no end":                  edit("end=7\n", ""),
		"seq twice":               edit("end=7", "seq=8\nend=7"),
		"good unknown":            state(7, "C", "0", "B"),
		"good lower case":         state(7, "a", "0", "B"),
		"good empty":              state(7, "", "0", "B"),
		"good with blank":         state(7, "A ", "0", "B"),
		"good and try mixed":      state(7, "A B", "", "B"),
		"good zero":               state(7, "0", "0", "B"),
		"good is an operator":     state(7, "(", "0", "B"),
		"good is an option":       state(7, "-s", "0", "B"),
		"try unknown":             state(7, "A", "C", "B"),
		"try empty":               state(7, "A", "", "B"),
		"try == good":             state(7, "A", "A", "B"),
		"alt unknown":             state(7, "A", "0", "C"),
		"alt empty":               state(7, "A", "0", ""),
		"alt == good":             state(7, "A", "0", "A"),
		"a line without =":        edit("good=", "junk\ngood="),
		"a comment":               edit("good=", "# good=B\ngood="),
		"variables of the script": edit("good=", "ok=yes\ncopy=1\nother=A\nrun=3\ngood="),
	}
}

// sideCases put every kind of side at B, on trial and as the only other, and
// some at A.
func sideCases(committed, onTrial, zero []byte) []testCase {
	var list []testCase
	for _, k := range sideKinds() {
		letter := k.name[:1]
		c := testCase{name: "side " + k.name, copy1: onTrial, copy2: onTrial, tries: tries(3, 4, 0), a: "A whole", b: k.name}
		if letter == "A" {
			c.a, c.b, c.copy1, c.copy2, c.tries = k.name, "B whole", committed, committed, zero
		}
		list = append(list, c)
	}
	return append(list,
		testCase{name: "sides swapped", copy1: committed, copy2: committed, tries: zero, a: "B whole", b: "A whole", want: "copy=2 chosen=none"},
		testCase{name: "side A absent", copy1: committed, copy2: committed, tries: zero, a: "none", b: "B whole", want: "copy=2 chosen=B lastresort"},
		testCase{name: "both absent", copy1: committed, copy2: committed, tries: zero, a: "none", b: "none", want: "copy=2 chosen=none"},
		testCase{name: "no state, A absent", tries: zero, a: "none", b: "B whole", want: "copy=0 chosen=B lastresort"},
		testCase{name: "no state, both absent", tries: zero, a: "none", b: "none", want: "copy=0 chosen=none"},
		testCase{name: "the fallback is absent", copy1: committed, copy2: committed, tries: tries(0, 0, 3), a: "A whole", b: "none", want: "copy=2 chosen=A lastresort"},
		testCase{name: "the fallback of a side that is absent", copy1: committed, copy2: committed, tries: tries(0, 0, 3), a: "none", b: "B whole", want: "copy=2 chosen=B fallback"},
	)
}

func sideKinds() []sideKind {
	kernel, initramfs := "a kernel\n", strings.Repeat("an initramfs\n", 1000)
	sum := bootstate.BootSum{Kernel: sha256.Sum256([]byte(kernel)), Initramfs: sha256.Sum256([]byte(initramfs))}
	whole := string(sum.Render())
	first, second := whole[:73], whole[73:]
	var kinds []sideKind
	add := func(name string, label layout.Label, spoil func(fstest.MapFS)) {
		file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
		files := fstest.MapFS{"kernel": file(kernel), "initramfs": file(initramfs), "squashfs": file("s"), "BOOT.SUM": file(whole),
			"manifest.json": file("{}"), "psyopsOS.tar.minisig": file("x")}
		spoil(files)
		kinds = append(kinds, sideKind{name, label, files})
	}
	sumIs := func(text string) func(fstest.MapFS) {
		return func(f fstest.MapFS) { f["BOOT.SUM"] = &fstest.MapFile{Data: []byte(text)} }
	}
	a, b := layout.SideA, layout.SideB
	add("A whole", a, func(fstest.MapFS) {})
	add("B whole", b, func(fstest.MapFS) {})
	add("A of the first psyopsOS", a, func(f fstest.MapFS) { delete(f, "BOOT.SUM"); delete(f, "manifest.json") })
	add("A damaged", a, func(f fstest.MapFS) { f["kernel"] = &fstest.MapFile{Data: []byte("A kernel\n")} })
	add("B without BOOT.SUM", b, func(f fstest.MapFS) { delete(f, "BOOT.SUM") })
	add("B with an empty BOOT.SUM", b, sumIs(""))
	add("B with a newline as BOOT.SUM", b, sumIs("\n"))
	add("B with half a BOOT.SUM, kernel", b, sumIs(first))
	add("B with half a BOOT.SUM, initramfs", b, sumIs(second))
	add("B with a BOOT.SUM cut in the second hash", b, sumIs(whole[:100]))
	add("B with a BOOT.SUM cut in the second name", b, sumIs(whole[:145]))
	add("B with a BOOT.SUM cut before the newline", b, sumIs(whole[:148]))
	add("B with a BOOT.SUM of zeros", b, sumIs(string(make([]byte, 149))))
	add("B with the lines in the other order", b, sumIs(second+first))
	add("B with a third name in BOOT.SUM", b, sumIs(whole+fmt.Sprintf("%x  squashfs\n", sha256.Sum256([]byte("s")))))
	add("B with squashfs for initramfs", b, sumIs(first+fmt.Sprintf("%x  squashfs\n", sha256.Sum256([]byte("s")))))
	add("B with a wrong hash of the kernel", b, sumIs("0"+whole[1:]))
	add("B with a wrong hash of the initramfs", b, sumIs(first+"00"+second[2:]))
	add("B with text after the list", b, sumIs(whole+"#"))
	add("B without kernel", b, func(f fstest.MapFS) { delete(f, "kernel") })
	add("B without initramfs", b, func(f fstest.MapFS) { delete(f, "initramfs") })
	add("B with a truncated initramfs", b, func(f fstest.MapFS) { f["initramfs"] = &fstest.MapFile{Data: []byte(initramfs[:12999])} })
	add("B with an empty kernel", b, func(f fstest.MapFS) { f["kernel"] = &fstest.MapFile{} })
	add("B without signature", b, func(f fstest.MapFS) { delete(f, "psyopsOS.tar.minisig") })
	add("B of the first psyopsOS", b, func(f fstest.MapFS) { delete(f, "BOOT.SUM"); delete(f, "manifest.json") })
	add("B of the first psyopsOS, no signature", b, func(f fstest.MapFS) {
		delete(f, "BOOT.SUM")
		delete(f, "manifest.json")
		delete(f, "psyopsOS.tar.minisig")
	})
	add("B without manifest but with BOOT.SUM", b, func(f fstest.MapFS) { delete(f, "manifest.json") })
	add("B labelled A", a, func(fstest.MapFS) {})
	add("B labelled as the secret volume", layout.Secret, func(fstest.MapFS) {})
	add("B without a filesystem", "", func(f fstest.MapFS) { clear(f) })
	return kinds
}

// menus are contents of MENU.ENV.
func menus() [][]byte {
	return [][]byte{
		make([]byte, 512),
		pad(""),
		pad("timeout=0\nappend=quiet psyopsos.toram=no console=ttyS1,115200n8\nprogram1=/memtest64.efi MemTest86 EFI (64-bit)\nprogram3=/sub/tc-shell.efi It's a $title* with \"quotes\"\n"),
		pad("timeout=999\nappend=a;reboot\nprogram1=memtest.efi x\nprogram2=/memtest.efi\nprogram5=/a b\n"),
		pad("timeout=1000\nappend=$seq\n"),
		pad("timeout=05\nappend=a\"b\n"),
		pad("timeout=-1\nappend=a\\\\b\n"),
		pad("timeout=5 \nappend=*\n"),
		pad("timeout=--help\nappend=--help\nprogram1=--help x\n"),
	}
}
