package release

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

func sample(t testing.TB) Manifest {
	t.Helper()
	sum := strings.Repeat("0f", 32)
	m, err := NewManifest(Manifest{Release: "20261121-101500", Architecture: "x86_64", Kernel: "6.1.0-lts", Userland: "alpine 3.20",
		Files: []File{{Path: "squashfs", Size: 4096, SHA256: sum}, {Path: "kernel", Size: 12, SHA256: sum},
			{Path: "dtbs/broadcom/bcm2711-rpi-4-b.dtb", Size: 1, SHA256: sum}, {Path: "initramfs", SHA256: sum}}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheManifestHasOneForm(t *testing.T) {
	got := sample(t).JSON()
	want, err := os.ReadFile("testdata/manifest.json")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got  %swant %s(%v)", got, want, err)
	}
	if again, err := ParseManifest(got); err != nil || !reflect.DeepEqual(again, sample(t)) {
		t.Errorf("read again: %+v, %v", again, err)
	}
	if f, ok := sample(t).File("kernel"); !ok || f.Size != 12 {
		t.Errorf("kernel: got %+v, %v", f, ok)
	}
	if f, ok := sample(t).File("modloop"); ok {
		t.Errorf("modloop: got %+v, want none", f)
	}
	if got := sample(t).Size(); got != 4109 {
		t.Errorf("size: got %d, want 4109", got)
	}
}

func TestAManifestIsReadStrictly(t *testing.T) {
	good := string(sample(t).JSON())
	for _, test := range []struct{ name, text, err string }{
		{"the canonical form", good, ""},
		{"without the last newline", strings.TrimSuffix(good, "\n"), ""},
		{"with white space", strings.ReplaceAll(good, ",", " ,\n\t"), ""},
		{"trailing text", good + "{}", "after top-level value"},
		{"an unknown key", strings.Replace(good, `{"version"`, `{"x":1,"version"`, 1), "unknown, repeated or reordered keys"},
		{"a repeated key", strings.Replace(good, `"kernel":"6.1.0-lts"`, `"kernel":"x","kernel":"6.1.0-lts"`, 1), "unknown, repeated or reordered keys"},
		{"a key in other case", strings.Replace(good, `"userland"`, `"Userland"`, 1), "unknown, repeated or reordered keys"},
		{"an escaped spelling", strings.Replace(good, `"initramfs"`, `"initramf\u0073"`, 1), "unknown, repeated or reordered keys"},
		{"a later format", strings.Replace(good, `"version":1`, `"version":2`, 1), "version 2 of the format, want 1"},
		{"another type", strings.Replace(good, `psyopsOS`, `psyopsESP`, 1), `type "psyopsESP"`},
		{"no release", strings.Replace(good, `20261121-101500`, `latest`, 1), `release "latest"`},
		{"an architecture with a blank", strings.Replace(good, `x86_64`, `x86 64`, 1), `architecture "x86 64"`},
		{"no kernel version", strings.Replace(good, `6.1.0-lts`, ``, 1), `kernel or userland ""`},
		{"no files", good[:strings.Index(good, `"files"`)] + `"files":[]}`, "names no file"},
		{"files out of order", strings.Replace(strings.Replace(good, "initramfs", "XX", 1), "XX", "squashfs", 1), `"kernel" does not come after "squashfs"`},
		{"a file twice", strings.Replace(good, "initramfs", "kernel", 1), `"kernel" does not come after "kernel"`},
		{"a file that is no member", strings.Replace(good, "initramfs", "grub.cfg", 1), `"grub.cfg" is no member`},
		{"the manifest itself", strings.Replace(good, "kernel\",\"size", "manifest.json\",\"size", 1), `"manifest.json" is no member`},
		{"its signature", strings.Replace(good, "kernel\",\"size", "manifest.json.minisig\",\"size", 1), `no member`},
		{"a path that climbs", strings.Replace(good, "dtbs/broadcom", "dtbs/../x", 1), "is no member"},
		{"an absolute path", strings.Replace(good, "dtbs/broadcom", "/dtbs/x", 1), "is no member"},
		{"a negative size", strings.Replace(good, `"size":12`, `"size":-12`, 1), "kernel: size -12"},
		{"a fractional size", strings.Replace(good, `"size":12`, `"size":12.0`, 1), "cannot unmarshal number 12.0"},
		{"a size beyond reason", strings.Replace(good, `"size":12`, `"size":9223372036854775807`, 1), "kernel: size 9223372036854775807"},
		{"an upper-case hash", strings.Replace(good, "0f0f", "0F0f", 1), "is not 64 lower-case"},
		{"a short hash", strings.Replace(good, "0f0f", "0f", 1), "is not 64 lower-case"},
		{"hashes of the MiB of a small file", strings.Replace(good, `"size":12,"sha256":"`, `"size":12,"mib_sha256":["x"],"sha256":"`, 1), "kernel: hashes of 1 MiB, want of 0 or none"},
		{"too few hashes of MiB", strings.Replace(good, `"size":4096`, `"size":2097153,"mib_sha256":["x","y"]`, 1), "squashfs: hashes of 2 MiB, want of 3 or none"},
		{"a hash of a MiB that is none", strings.Replace(good, `"size":4096`, `"size":2097152,"mib_sha256":["x","y"]`, 1), `squashfs: sha256 "x" is not 64`},
		{"an empty list of them", strings.Replace(good, `"size":4096`, `"size":4096,"mib_sha256":[]`, 1), "unknown, repeated or reordered keys"},
		{"nothing", "", "unexpected end of JSON"},
		{"null", "null", "version 0 of the format"},
		{"more than the bound", good + strings.Repeat(" ", MaxManifest), "at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseManifest([]byte(test.text))
			if test.err == "" {
				if err != nil || !reflect.DeepEqual(m, sample(t)) {
					t.Errorf("got %+v, %v", m, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) || !errors.As(err, new(*MalformedError)) {
				t.Errorf("got %v, want a MalformedError with %q", err, test.err)
			}
		})
	}
}

func TestAManifestIsReadOnlyWhenVerified(t *testing.T) {
	m := sample(t)
	sig := sign(t, 1, string(m.JSON()), m.Comment())
	keys := trust(t, 1, 1)
	if got, err := keys.VerifyManifest(m.JSON(), sig); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
	flipped := bytes.Replace(m.JSON(), []byte("kernel\",\"size\":12"), []byte("kernel\",\"size\":13"), 1)
	if got, err := keys.VerifyManifest(flipped, sig); !errors.As(err, new(*BadSignatureError)) {
		t.Errorf("another size: got %+v, %v", got, err)
	}
	if got, err := keys.VerifyManifest(m.JSON()); !errors.Is(err, ErrUnsigned) {
		t.Errorf("unsigned: got %+v, %v", got, err)
	}
	if info, err := keys.Info(sig); err == nil {
		t.Errorf("the manifest's signature passes for a tar's: %+v", info)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(sample(f).JSON())
	f.Add([]byte(`{"version":1,"files":null}`))
	f.Add([]byte(`{"version":1,"release":"20261121-101500","type":"psyopsOS","architecture":"x","kernel":"<&>","userland":"é","files":[{"path":"dtbs/a","size":1,"sha256":""}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest(text)
		if err != nil {
			return
		}
		if again, err := ParseManifest(m.JSON()); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q: read %+v, rendered and read again %+v, %v", text, m, again, err)
		}
	})
}
