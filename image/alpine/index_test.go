package alpine_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/image/tree"
)

// As Alpine's main repository has them.
const sample = `C:Q1V1Xqhaq8Fd+N+0qvIVxoFyA0n9k=
P:openssh-server
V:9.7_p1-r4
A:x86_64
S:309863
I:671744
T:OpenSSH server
U:https://www.openssh.com/portable.html
L:SSH-OpenSSH
o:openssh
m:Natanael Copa <ncopa@alpinelinux.org>
t:1719847129
c:6ba9eb5e0c0b0e3ee2bd5a44b5c0a2f6d1cd4f9a
k:5
D:openssh-keygen openssh-server-common=9.7_p1-r4 so:libc.musl-x86_64.so.1
p:cmd:sshd=9.7_p1-r4
i:openssh busybox
r:dropbear<2 x
`

func TestAnIndexIsReadAndWritten(t *testing.T) {
	all, err := alpine.ParseIndex([]byte(sample))
	must(t, err)
	if got := string(alpine.RenderIndex(all)); got != sample+"\n" {
		t.Errorf("got %s", got)
	}
	p := all[0]
	if p.String() != "openssh-server-9.7_p1-r4" || p.Size != 309863 || p.Priority != 5 || len(p.Depends) != 3 || p.Provides[0].Version != "9.7_p1-r4" || len(p.Replaces) != 2 {
		t.Errorf("got %+v", p)
	}
}

func TestWhatIsNoIndex(t *testing.T) {
	sum := "C:" + alpine.Checksum{}.String() + "\n"
	for name, c := range map[string]struct{ text, err string }{
		"no checksum":               {"P:a\nV:1\nA:x\n", "no checksum"},
		"a short checksum":          {"C:Q1AAAA\nP:a\nV:1\nA:x\n", "no checksum of the form"},
		"another kind of checksum":  {"C:Q2" + alpine.Checksum{}.String()[2:] + "\nP:a\nV:1\nA:x\n", "no checksum of the form"},
		"two names":                 {sum + "P:a\nP:b\nV:1\nA:x\n", "line"},
		"two checksums":             {sum + sum + "P:a\nV:1\nA:x\n", "line"},
		"a name that leads out":     {sum + "P:../../a\nV:1\nA:x\n", "is no name"},
		"a version that leads out":  {sum + "P:a\nV:1/../x\nA:x\n", "is no version"},
		"an architecture like that": {sum + "P:a\nV:1\nA:../x\n", "is no architecture"},
		"a size below nothing":      {sum + "P:a\nV:1\nA:x\nS:-1\n", "sizes are"},
		"a size without end":        {sum + "P:a\nV:1\nA:x\nS:99999999999999999999\n", "out of range"},
		"no name":                   {sum + "V:1\nA:x\n", "is no name"},
		"something else":            {"<html>", "line"},
		"no dependency":             {sum + "P:a\nV:1\nA:x\nD:=\n", "no dependency"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := alpine.ParseIndex([]byte(c.text))
			wantError(t, err, c.err)
		})
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := alpine.ParseIndex(text)
		if err != nil {
			return
		}
		again, err := alpine.ParseIndex(alpine.RenderIndex(all))
		if err != nil || !reflect.DeepEqual(again, all) {
			t.Errorf("%q: %+v became %+v, %v", text, all, again, err)
		}
	})
}

// FuzzReadIndex has no key: whatever comes, nothing is believed.
func FuzzReadIndex(f *testing.F) {
	by := signer(f, "k.rsa.pub")
	index, err := alpine.PackIndex("d", nil, by)
	must(f, err)
	f.Add(index)
	f.Fuzz(func(t *testing.T, file []byte) {
		if got, err := alpine.ReadIndex(file, alpine.Keys{}); err == nil {
			t.Errorf("believed without a key: %v", got)
		}
	})
}

// FuzzPackage unpacks packages whose checksums fit, as one whom we trust
// could make them by mistake.
func FuzzPackage(f *testing.F) {
	by := signer(f, "k.rsa.pub")
	for _, p := range alpinetest.Base(by) {
		file, _, err := p.Build()
		must(f, err)
		f.Add(file[bytes.LastIndex(file, []byte("\x1f\x8b\x08\x00")):])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, p, err := alpine.PackData(alpine.Package{Name: "p", Version: "1", Arch: "noarch", InstalledSize: 1 << 20}, data, nil, by)
		must(t, err)
		name := filepath.Join(t.TempDir(), "p.apk")
		must(t, os.WriteFile(name, file, 0o644))
		opened, err := alpine.Open(name, p)
		must(t, err)
		u, err := alpine.Install([]alpine.File{opened}, alpine.Options{Arch: "x86_64"})
		if err != nil {
			return
		}
		for name := range u.Tree.All() {
			must(t, tree.CheckName(name))
		}
	})
}

// FuzzOpen gives damaged packages, of which the index knows nothing.
func FuzzOpen(f *testing.F) {
	by := signer(f, "k.rsa.pub")
	good, p, err := alpinetest.New("p", "1", by).File("f", 0o644, "f").Build()
	must(f, err)
	f.Add(good[:len(good)-1])
	// Control and data; the signature before them vouches for nothing.
	vouched := good[1+bytes.Index(good[1:], []byte("\x1f\x8b\x08\x00")):]
	f.Fuzz(func(t *testing.T, file []byte) {
		name, want := filepath.Join(t.TempDir(), "p.apk"), p
		must(t, os.WriteFile(name, file, 0o644))
		want.Size = int64(len(file))
		if _, err := alpine.Open(name, want); err == nil && !bytes.HasSuffix(file, vouched) {
			t.Error("it was taken")
		}
	})
}
