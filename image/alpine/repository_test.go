package alpine_test

import (
	"archive/tar"
	"context"
	"crypto"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/step"
)

func TestAUserlandIsMadeOfAFolderAndOfAServer(t *testing.T) {
	by, dir := signer(t, "alpine.rsa.pub"), t.TempDir()
	must(t, alpinetest.Repository(dir, by, alpinetest.Base(by)...))
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	for name, address := range map[string]string{"a folder": dir, "a server": server.URL} {
		t.Run(name, func(t *testing.T) {
			u, err := install(t, client(t), "alpine-baselayout openrc", alpine.Repository{Address: address, Keys: alpinetest.Keys(by)})
			must(t, err)
			if !u.Tree.Has("bin/busybox") || !u.Tree.Has("sbin/openrc") {
				t.Error("files are missing")
			}
		})
	}
}

func TestOurOwnRepositoryBesideOthersHasItsOwnKey(t *testing.T) {
	theirs, ours := signer(t, "alpine.rsa.pub"), signer(t, "psyops.rsa.pub")
	one, two := t.TempDir(), t.TempDir()
	must(t, alpinetest.Repository(one, theirs, alpinetest.Base(theirs)...))
	must(t, alpinetest.Repository(two, ours, alpinetest.New("psyopsOS-base", "1-r0", ours).File("etc/x", 0o644, "x")))
	u, err := install(t, client(t), "alpine-baselayout psyopsOS-base", alpine.Repository{Address: one, Keys: alpinetest.Keys(theirs)},
		alpine.Repository{Address: two, Keys: alpinetest.Keys(ours)})
	must(t, err)
	for _, name := range []string{"etc/x", "etc/apk/keys/alpine.rsa.pub", "etc/apk/keys/psyops.rsa.pub"} {
		if !u.Tree.Has(name) {
			t.Errorf("%s is missing", name)
		}
	}
	_, err = install(t, client(t), "psyopsOS-base", alpine.Repository{Address: two, Keys: alpinetest.Keys(theirs)})
	wantError(t, err, "signed by [psyops.rsa.pub], trusted are [alpine.rsa.pub]")
}

func TestIndexesSignedWithEachHashAreTaken(t *testing.T) {
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		by := signer(t, "k.rsa.pub")
		by.Hash = hash
		index, err := alpine.PackIndex("d", packages(t, "a 1"), by)
		must(t, err)
		if _, err := alpine.ReadIndex(index, alpinetest.Keys(by)); err != nil {
			t.Errorf("%v: %v", hash, err)
		}
	}
}

func TestAnIndexThatIsNotSignedByATrustedKeyIsRefused(t *testing.T) {
	by, other := signer(t, "k.rsa.pub"), signer(t, "k.rsa.pub") // of the same name
	index, err := alpine.PackIndex("d", packages(t, "a 1"), by)
	must(t, err)
	foreign, err := alpine.PackIndex("d", packages(t, "a 2"), by)
	must(t, err)
	half := len(index) / 2
	for name, c := range map[string]struct {
		file []byte
		keys alpine.Keys
		err  string
	}{
		"another key of the same name":  {index, alpinetest.Keys(other), "does not fit"},
		"no key":                        {index, alpine.Keys{}, "trusted are []"},
		"a byte changed":                {append(append([]byte{}, index[:len(index)-9]...), append([]byte{index[len(index)-9] ^ 1}, index[len(index)-8:]...)...), alpinetest.Keys(by), "does not fit"},
		"something behind it":           {append(append([]byte{}, index...), 0), alpinetest.Keys(by), "does not fit"},
		"half of it":                    {index[:half], alpinetest.Keys(by), "unexpected EOF"},
		"without a signature":           {unsigned(t, index), alpinetest.Keys(by), "signed by []"},
		"with the signature of another": {append(signatureOf(t, foreign), unsigned(t, index)...), alpinetest.Keys(by), "does not fit"},
		"nothing":                       {nil, alpinetest.Keys(by), "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := alpine.ReadIndex(c.file, c.keys)
			if err == nil {
				t.Fatalf("it was taken: %v", got)
			}
			wantError(t, err, c.err)
		})
	}
}

// signatureOf is the first gzip member: the second begins with gzip's magic.
func signatureOf(t *testing.T, file []byte) []byte { return file[:len(file)-len(unsigned(t, file))] }

func unsigned(t *testing.T, file []byte) []byte {
	t.Helper()
	at := strings.Index(string(file[1:]), "\x1f\x8b\x08\x00")
	if at < 0 {
		t.Fatal("only one member")
	}
	return file[at+1:]
}

// good is the package that the signed index names in the cases below.
func good(by alpine.Signer) alpinetest.Package {
	return alpinetest.New("tool", "1.2-r3", by).File("usr/bin/tool", 0o755, "good")
}

func TestASwappedPackageIsRefused(t *testing.T) {
	by, evil := signer(t, "alpine.rsa.pub"), signer(t, "evil.rsa.pub")
	file, described, err := good(by).Build()
	must(t, err)
	same := func(p alpinetest.Package) []byte {
		t.Helper()
		f, _, err := p.Build()
		must(t, err)
		return f
	}
	// The parts of the good file and of one with other data.
	other := same(alpinetest.New("tool", "1.2-r3", by).File("usr/bin/tool", 0o755, "evil"))
	mixed := append(append([]byte{}, file[:dataAt(t, file)]...), other[dataAt(t, other):]...)
	for name, c := range map[string]struct {
		file []byte
		err  string
	}{
		"by another key":                     {same(alpinetest.New("tool", "1.2-r3", evil).File("usr/bin/tool", 0o755, "evil")), "another package than the one that the signed index names"},
		"by the right key, with other files": {other, "another package"},
		"an older version by the right key":  {same(alpinetest.New("tool", "1.1-r0", by).File("usr/bin/tool", 0o755, "good")), "another package"},
		"the right control with other data":  {mixed, "the data has the SHA-256"},
		"something more behind it":           {append(append([]byte{}, file...), 0), "more than"},
		"a part of it":                       {file[:len(file)-1], "bytes, and the index says"},
		"nothing":                            {nil, "bytes, and the index says"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			// A size that fits, so that not the size alone finds it.
			d := described
			if c.err != "bytes, and the index says" && c.err != "more than" {
				d.Size = int64(len(c.file))
			}
			must(t, alpinetest.Index(dir, by, d))
			must(t, alpinetest.Put(dir, described.File(), c.file))
			k := client(t)
			// Also somebody who trusts the swapped package's key refuses it.
			_, err := install(t, k, "tool", alpine.Repository{Address: dir, Keys: alpinetest.Keys(by, evil)})
			wantError(t, err, c.err)
			left, globErr := filepath.Glob(filepath.Join(k.Cache, "*", "*", "*.apk"))
			if globErr != nil || len(left) > 0 {
				t.Errorf("the cache has %v", left)
			}
		})
	}
}

func dataAt(t *testing.T, file []byte) int {
	t.Helper()
	control := unsigned(t, file)
	return len(file) - len(unsigned(t, control))
}

func TestAPackageThatChangedInTheCacheIsFetchedAgain(t *testing.T) {
	by, dir := signer(t, "k.rsa.pub"), t.TempDir()
	must(t, alpinetest.Repository(dir, by, good(by)))
	k, r := client(t), alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)}
	_, err := install(t, k, "tool", r)
	must(t, err)
	cached, err := filepath.Glob(filepath.Join(k.Cache, "*", "*", "tool-*.apk"))
	if err != nil || len(cached) != 1 {
		t.Fatalf("the cache has %v, %v", cached, err)
	}
	content, err := os.ReadFile(cached[0])
	must(t, err)
	content[len(content)-1] ^= 1
	must(t, os.WriteFile(cached[0], content, 0o644))
	k.Offline = true
	_, err = install(t, k, "tool", r)
	wantError(t, err, "1 packages are not in the cache: tool-1.2-r3")
	k.Offline = false
	_, err = install(t, k, "tool", r)
	wantError(t, err, "")
}

func TestABuildFromTheCacheNeedsNobody(t *testing.T) {
	by, dir := signer(t, "k.rsa.pub"), t.TempDir()
	must(t, alpinetest.Repository(dir, by, good(by)))
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
	}))
	k, r := client(t), alpine.Repository{Address: server.URL, Keys: alpinetest.Keys(by)}
	empty := k
	empty.Offline = true
	_, err := install(t, empty, "tool", r)
	wantError(t, err, "its index is not in the cache")
	_, err = install(t, k, "tool", r)
	must(t, err)
	before := asked
	k.Offline = true
	if _, err = install(t, k, "tool", r); err != nil || asked != before {
		t.Errorf("offline: %v, and the server was asked %d times", err, asked-before)
	}
	server.Close()
	k.Offline = false
	events, err := working(t, func(ctx context.Context, report *step.Reporter) error {
		_, err := k.Available(ctx, report, []alpine.Repository{r})
		return err
	})
	if err != nil || !strings.Contains(events, "the index of the last time is used") {
		t.Errorf("with the server down: %v\n%s", err, events)
	}
	// What is in the cache is believed no more than what comes.
	r.Keys = alpinetest.Keys(signer(t, "k.rsa.pub"))
	_, err = install(t, k, "tool", r)
	wantError(t, err, "does not fit")
}

func TestAnIndexThatLiesIsRefused(t *testing.T) {
	by := signer(t, "k.rsa.pub")
	file, described, err := good(by).Build()
	must(t, err)
	for name, c := range map[string]struct {
		change func(*alpine.Package)
		err    string
	}{
		"an old package under a new version": {func(p *alpine.Package) { p.Version = "9-r0" }, `pkgver is "1.2-r3" in the package and "9-r0" in the index`},
		"another name":                       {func(p *alpine.Package) { p.Name = "fool" }, `pkgname is "tool" in the package`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, d := t.TempDir(), described
			c.change(&d)
			must(t, alpinetest.Index(dir, by, d))
			must(t, alpinetest.Put(dir, d.File(), file))
			_, err := install(t, client(t), d.Name, alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)})
			wantError(t, err, c.err)
		})
	}
}

func TestWhatNoPackageMayBring(t *testing.T) {
	by := signer(t, "k.rsa.pub")
	plain := func() alpinetest.Package { return good(by) }
	root := func(h tar.Header) tar.Header { h.Uname, h.Gname, h.Mode = "root", "root", 0o644; return h }
	for name, c := range map[string]struct {
		p   alpinetest.Package
		err string
	}{
		"a way out":                      {plain().File("../etc/passwd", 0o644, "x"), "no path inside the tree"},
		"a way out in the middle":        {plain().File("usr/../../etc/passwd", 0o644, "x"), "no path inside the tree"},
		"an absolute name":               {plain().File("/etc/passwd", 0o644, "x"), "no path inside the tree"},
		"a hard link out of the tree":    {plain().Add(root(tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "../../etc/shadow"})), "hard link"},
		"a hard link to nothing":         {plain().Add(root(tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "etc/shadow"})), "hard link"},
		"a disk":                         {plain().Add(root(tar.Header{Typeflag: tar.TypeBlock, Name: "usr/share/disk", Devmajor: 8})), "no devices"},
		"memory":                         {plain().Add(root(tar.Header{Typeflag: tar.TypeChar, Name: "dev/mem", Devmajor: 1, Devminor: 1})), "no devices"},
		"a pipe":                         {plain().Add(root(tar.Header{Typeflag: tar.TypeFifo, Name: "run/pipe"})), "no devices"},
		"apk's own database":             {plain().File("lib/apk/db/installed", 0o644, "P:x"), "belongs to apk"},
		"apk's own database another way": {plain().File("./lib//apk/db/installed", 0o644, "P:x"), "belongs to apk"},
		"a line break in a name":         {plain().File("etc/a\nF:root", 0o644, "x"), "line break"},
		"a file below a file":            {plain().File("usr/bin/tool/x", 0o644, "x"), "is a file and no folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, alpinetest.Repository(dir, by, c.p))
			_, err := install(t, client(t), "tool", alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)})
			wantError(t, err, c.err)
		})
	}
}

func TestALinkNeverLeadsOutOfTheTree(t *testing.T) {
	by, dir := signer(t, "k.rsa.pub"), t.TempDir()
	p := good(by).Add(tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "../../../tmp", Uname: "root", Gname: "root"}).File("out/x", 0o644, "x")
	must(t, alpinetest.Repository(dir, by, p))
	u, err := install(t, client(t), "tool", alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)})
	must(t, err)
	if !u.Tree.Has("tmp/x") {
		t.Error("the file is not where the link leads inside the tree")
	}
}

func TestMoreDataThanTheIndexSaysIsRefused(t *testing.T) {
	by, dir := signer(t, "k.rsa.pub"), t.TempDir()
	file, described, err := good(by).File("big", 0o644, strings.Repeat("\x00", 40<<20)).Build()
	must(t, err)
	described.InstalledSize = 100
	must(t, alpinetest.Index(dir, by, described))
	must(t, alpinetest.Put(dir, described.File(), file))
	_, err = install(t, client(t), "tool", alpine.Repository{Address: dir, Keys: alpinetest.Keys(by)})
	if err == nil {
		t.Errorf("%d bytes were compressed in a file of %d, and were taken", 40<<20, len(file))
	}
}

func TestASignatureThatIsHugeIsRefused(t *testing.T) {
	by := signer(t, "k.rsa.pub")
	data, _, err := alpinetest.New("x", "1", by).File("x", 0o644, strings.Repeat("\x00", 8<<20)).Build()
	must(t, err)
	_, err = alpine.ReadIndex(data[dataAt(t, data):], alpinetest.Keys(by))
	wantError(t, err, "more than 1048576 bytes are compressed there")
}
