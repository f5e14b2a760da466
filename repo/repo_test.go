package repo

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"psyopsOS/release"
)

const v1, v2 = "20261121-101500", "20261121-111500"

func TestLatestIsTheReleaseThatTheSignatureNames(t *testing.T) {
	public, secret := newKey(t)
	m := makeRelease(t, secret, v1, 1000)
	s := serve(t, m)
	for name, address := range map[string]string{"over HTTP": s.address(), "in a folder": asFolder(t, m)} {
		found := latest(t, open(t, address), keysOf(t, 1, public))
		if !reflect.DeepEqual(found.Info, m.info) || !strings.HasSuffix(found.Address, m.info.Filename+".minisig") {
			t.Errorf("%s: got %+v at %s", name, found.Info, found.Address)
		}
		got, err := readAll(found.Open(t.Context()))
		if err != nil || !bytes.Equal(got, m.tar) {
			t.Errorf("%s: got %d bytes, %v; want %d", name, len(got), err, len(m.tar))
		}
	}
}

func TestAClientStaysWithOneReleaseWhileAnotherIsPublished(t *testing.T) {
	public, secret := newKey(t)
	first, second := makeRelease(t, secret, v1, 5000), makeRelease(t, secret, v2, 7000)
	s := serve(t, first)
	found := latest(t, open(t, s.address()), keysOf(t, 1, public))
	s.publish(second)
	if got, err := readAll(found.Open(t.Context())); err != nil || !bytes.Equal(got, first.tar) {
		t.Errorf("got %d bytes, %v; want the %d of the first", len(got), err, len(first.tar))
	}
}

func TestAVersionIsFoundUnderTheNamesOfTheFirstPsyopsOS(t *testing.T) {
	public, secret := newKey(t)
	for _, name := range []string{"psyopsOS.x86_64." + v1 + ".tar", "psyopsOS.grubusb.os." + v1 + ".tar", "psyopsOS." + v1 + ".tar"} {
		m := makeRelease(t, secret, v1, 100)
		m.info.Filename = name
		m.signature = sign(t, secret, m.tar, m.info)
		found, err := open(t, serve(t, m).address()).Version(t.Context(), keysOf(t, 1, public), release.OS, "x86_64", v1)
		if err != nil || found.Info.Filename != name {
			t.Errorf("%s: got %+v, %v", name, found.Info, err)
		}
	}
}

func TestWhatTheRepositorySaysIsRefusedUnlessAKeyVouchesForIt(t *testing.T) {
	public, secret := newKey(t)
	_, foreign := newKey(t)
	good := makeRelease(t, secret, v1, 100)
	altered := good
	altered.signature = bytes.Replace(good.signature, []byte("kernel=6.1.0"), []byte("kernel=6.6.6"), 1)
	huge := good
	huge.signature = bytes.Repeat([]byte("x"), release.MaxSignature+1)
	esp := good
	esp.info = release.Info{Kind: release.ESP, Version: v1, Filename: "psyopsESP.x86_64-uefi." + v1 + ".tar"}
	esp.signature = sign(t, secret, esp.tar, esp.info)
	for _, test := range []struct {
		name string
		m    made
		want string
	}{
		{"a foreign key", makeRelease(t, foreign, v1, 100), "which is not trusted"},
		{"an altered comment", altered, "altered"},
		{"a signature without end", huge, "more than the 8192 bytes"},
		{"another kind of release", esp, "type psyopsESP, not psyopsOS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.m)
			_, err := open(t, s.address()).Latest(t.Context(), keysOf(t, 1, public), release.OS, "x86_64")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if len(s.asked()) > 2 {
				t.Errorf("it asked again: %q", s.asked())
			}
		})
	}
}

func TestTwoSignaturesAreFetchedWhereTwoAreWanted(t *testing.T) {
	public, secret := newKey(t)
	public2, secret2 := newKey(t)
	m := makeRelease(t, secret, v1, 100)
	s := serve(t, m)
	keys := keysOf(t, 2, public, public2)
	var few *release.TooFewError
	if _, err := open(t, s.address()).Latest(t.Context(), keys, release.OS, "x86_64"); !errors.As(err, &few) || few.Have != 1 || few.Want != 2 {
		t.Errorf("one signature: got %v", err)
	}
	s.files[m.info.Filename+".minisig."+public2.ID()] = sign(t, secret2, m.tar, m.info)
	if found := latest(t, open(t, s.address()), keys); len(found.Signatures) != 2 {
		t.Errorf("got %d signatures", len(found.Signatures))
	}
	// A web server that shows a folder follows its links, and redirects nobody.
	s.spoil = func(w http.ResponseWriter, r *http.Request, name string, _ int) bool {
		switch {
		case name == release.LatestSignature(release.OS, "x86_64"):
			_, _ = w.Write(m.signature)
		case strings.Contains(name, ".latest."):
			http.NotFound(w, r)
		default:
			return false
		}
		return true
	}
	if found := latest(t, open(t, s.address()), keys); len(found.Signatures) != 2 {
		t.Errorf("without a redirect: got %d signatures", len(found.Signatures))
	}
}

func TestRedirectsAreBounded(t *testing.T) {
	public, secret := newKey(t)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for _, test := range []struct{ name, to, want string }{
		{"for ever", "", "more than 5 redirects"},
		{"to another scheme", "ftp://127.0.0.1/x", "from scheme http to ftp is not followed"},
		{"to a file", "file:///etc/passwd", "from scheme http to file is not followed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, makeRelease(t, secret, v1, 100))
			s.spoil = func(w http.ResponseWriter, r *http.Request, name string, count int) bool {
				to := test.to
				if to == "" {
					to = r.URL.Path
				}
				http.Redirect(w, r, to, http.StatusFound)
				return true
			}
			_, err := open(t, s.address()).Latest(t.Context(), keysOf(t, 1, public), release.OS, "x86_64")
			var redirect *RedirectError
			if !errors.As(err, &redirect) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	t.Run("from https to http", func(t *testing.T) {
		s := serve(t, makeRelease(t, secret, v1, 100))
		down := httptest.NewTLSServer(http.RedirectHandler(s.address()+"/"+release.LatestSignature(release.OS, "x86_64"), http.StatusFound))
		defer down.Close()
		r, err := Open(down.URL, Options{Transport: down.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Latest(t.Context(), keysOf(t, 1, public), release.OS, "x86_64"); err == nil || !strings.Contains(err.Error(), "from scheme https to http") {
			t.Errorf("got %v", err)
		}
		if len(s.asked()) > 0 {
			t.Error("the redirect was followed")
		}
	})
}

func TestWhatIsNotThereIsToldOnceAndAtOnce(t *testing.T) {
	public, secret := newKey(t)
	s := serve(t)
	dir := asFolder(t, makeRelease(t, secret, v1, 10))
	for _, address := range []string{s.address(), dir} {
		if _, err := open(t, address).Version(t.Context(), keysOf(t, 1, public), release.OS, "x86_64", v2); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v", address, err)
		}
	}
	if asked := s.asked(); len(slices.Compact(asked)) != len(asked) {
		t.Errorf("asked again: %q", asked)
	}
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	for _, address := range []string{"", "ftp://x/y", "http://", "https:///os"} {
		if _, err := Open(address, Options{}); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

func TestTheProxyOfTheEnvironmentIsUsed(t *testing.T) {
	// What ProxyFromEnvironment reads is remembered by net/http for the whole
	// process, so only that it is asked can be tested here.
	transport := Options{}.withDefaults().Transport.(*http.Transport)
	if transport.Proxy == nil || !transport.DisableCompression {
		t.Errorf("got %+v", transport)
	}
}

func TestATarMayHaveAnotherNameThanItsSignatureSays(t *testing.T) {
	public, secret := newKey(t)
	m := makeRelease(t, secret, v1, 1000)
	file := filepath.Join(t.TempDir(), "psyopsOS.tar")
	for name, content := range map[string][]byte{file: m.tar, file + ".minisig": m.signature} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := File(t.Context(), keysOf(t, 1, public), file)
	if err != nil || found.TarAddress() != file {
		t.Fatalf("got %+v, %v", found, err)
	}
	if got, err := readAll(found.Open(t.Context())); err != nil || !bytes.Equal(got, m.tar) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestAReleaseIsFoundByTheNameOfItsTar(t *testing.T) {
	public, secret := newKey(t)
	m := makeRelease(t, secret, v1, 10)
	r, keys := open(t, serve(t, m).address()), keysOf(t, 1, public)
	if found, err := r.Named(t.Context(), keys, m.info.Filename); err != nil || found.Info.Version != v1 {
		t.Errorf("got %+v, %v", found.Info, err)
	}
	if _, err := r.Named(t.Context(), keys, "../"+m.info.Filename); err == nil {
		t.Error("a name with a folder was taken")
	}
}
