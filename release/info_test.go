package release

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestATrustedCommentIsReadAndItsWordsMustAgree(t *testing.T) {
	const v = "20240705-173840"
	full := Info{Kind: OS, Filename: "psyopsOS.x86_64." + v + ".tar", Version: v, Kernel: "6.6.36-0-lts", Userland: "3.20", Architecture: "x86_64"}
	with := func(change func(*Info)) Info { i := full; change(&i); return i }
	for _, test := range []struct {
		name, comment string
		want          Info
		err           string
	}{
		{"today's", comment1 + " size=123", with(func(i *Info) { i.Size = 123 }), ""},
		{"without size", comment1, full, ""},
		{"without architecture it is the file name's", strings.TrimSuffix(comment1, " architecture=x86_64"), full, ""},
		{"the oldest begins with a bare word", "psyopsOS filename=psyopsOS.grubusb.os." + v + ".tar version=" + v + " kernel=6.1 alpine=3.18",
			Info{Kind: OS, Filename: "psyopsOS.grubusb.os." + v + ".tar", Version: v, Kernel: "6.1", Userland: "3.18"}, ""},
		{"an old name without platform", "type=psyopsOS filename=psyopsOS." + v + ".tar version=" + v,
			Info{Kind: OS, Filename: "psyopsOS." + v + ".tar", Version: v}, ""},
		{"an ESP", "type=psyopsESP filename=psyopsESP.x86_64-uefi." + v + ".tar version=" + v + " efi_programs=memtest64.efi,tcshell.efi",
			Info{Kind: ESP, Filename: "psyopsESP.x86_64-uefi." + v + ".tar", Version: v, Programs: []string{"memtest64.efi", "tcshell.efi"}}, ""},
		{"an ESP without programs, old name", "type=psyopsESP filename=psyopsESP.x86_64." + v + ".tar version=" + v + " efi_programs=",
			Info{Kind: ESP, Filename: "psyopsESP.x86_64." + v + ".tar", Version: v}, ""},
		{"the oldest ESP name", "type=psyopsESP filename=psyopsOS.grubusb.efisys." + v + ".tar version=" + v,
			Info{Kind: ESP, Filename: "psyopsOS.grubusb.efisys." + v + ".tar", Version: v}, ""},
		{"words without = and unknown keys are ignored", "hello " + comment1 + " again later=more", full, ""},
		{"a value may contain =", strings.Replace(comment1, "6.6.36-0-lts", "a=b=c", 1), with(func(i *Info) { i.Kernel = "a=b=c" }), ""},
		{"a bare word that is not the first is no type", "filename=psyopsOS." + v + ".tar psyopsOS version=" + v, Info{}, `type ""`},
		{"no words", "", Info{}, `type ""`},
		{"an unknown type", strings.Replace(comment1, "type=psyopsOS", "type=psyopsXX", 1), Info{}, `type "psyopsXX"`},
		{"a file name with a folder", strings.Replace(comment1, "filename=", "filename=../", 1), Info{}, "not one path component"},
		{"no file name", "type=psyopsOS version=" + v, Info{}, "not one path component"},
		{"a file name that is no release", strings.Replace(comment1, "psyopsOS.x86", "passwd.x86", 1), Info{}, "want psyopsOS.ARCH"},
		{"another version", strings.Replace(comment1, "version="+v, "version=20240705-173841", 1), Info{}, `version "20240705-173841", but`},
		{"no version", strings.Replace(comment1, "version="+v, "", 1), Info{}, `version "", but`},
		{"a version that is no time", strings.ReplaceAll(comment1, v, "20241305-173840"), Info{}, "is no version"},
		{"another architecture", strings.Replace(comment1, "architecture=x86_64", "architecture=aarch64", 1), Info{}, `architecture "aarch64", but`},
		{"another type", strings.Replace(comment1, "type=psyopsOS", "type=psyopsESP", 1), Info{}, "type psyopsESP, but"},
		{"a key twice with two values", comment1 + " kernel=7", Info{}, "kernel= is there twice"},
		{"a size that is no number", comment1 + " size=-1", Info{}, "size=-1 is no size"},
		{"a size of nothing", comment1 + " size=0", Info{}, "size=0 is no size"},
		{"a program outside the ESP's root", "type=psyopsESP filename=psyopsESP.x86_64-uefi." + v + ".tar version=" + v + " efi_programs=a/b.efi", Info{}, "no list of file names"},
		{"escape sequences", comment1 + " x=\x1b[2J", Info{}, "not printable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseComment(test.comment)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %+v, %v; want an error with %q", got, err, test.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestFileNamesOfReleases(t *testing.T) {
	const v = "20240705-173840"
	for name, want := range map[string]Name{
		"psyopsOS.x86_64." + v + ".tar":         {OS, "x86_64", v},
		"psyopsESP.x86_64-uefi." + v + ".tar":   {ESP, "x86_64-uefi", v},
		"psyopsOS.grubusb.os." + v + ".tar":     {OS, "", v},
		"psyopsOS.grubusb.efisys." + v + ".tar": {ESP, "", v},
		"psyopsOS." + v + ".tar":                {OS, "", v},
		"psyopsESP.x86_64." + v + ".tar":        {ESP, "x86_64", v},
	} {
		if got, err := ParseName(name); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{"", ".tar", "psyopsOS.tar", "psyopsESP." + v + ".tar", "psyopsOS.x86_64.latest.tar", "psyopsOS..." + v + ".tar",
		"psyopsOS.x86_64." + v + ".tar.minisig", "psyopsOS.x.y." + v + ".tar", "a/psyopsOS.x86_64." + v + ".tar", "psyopsOS.x86_64.2024705-173840.tar"} {
		if got, err := ParseName(name); err == nil {
			t.Errorf("%s: got %+v, want it refused", name, got)
		}
	}
	if got := LatestSignature(ESP, UEFI); got != "psyopsESP.x86_64-uefi.latest.tar.minisig" {
		t.Errorf("got %s", got)
	}
	if got := Version(time.Date(2024, 7, 5, 19, 38, 40, 0, time.FixedZone("", 7200))); got != v {
		t.Errorf("a version is UTC: got %s, want %s", got, v)
	}
}

func TestTheUserlandsWord(t *testing.T) {
	for in, want := range map[string]string{"alpine 3.20": "3.20", "testos 1": "testos-1"} {
		if got := UserlandWord(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzComment(f *testing.F) {
	f.Add(comment1 + " size=12")
	f.Add("psyopsOS filename=psyopsOS.grubusb.os.20240705-173840.tar version=20240705-173840 alpine=3.18")
	f.Add("type=psyopsESP filename=psyopsESP.x86_64-uefi.20240705-173840.tar version=20240705-173840 efi_programs=a,b")
	f.Add("type=psyopsOS x== = kernel=")
	f.Fuzz(func(t *testing.T, s string) {
		info, err := ParseComment(s)
		if err != nil {
			return
		}
		again, err := ParseComment(info.Comment())
		if err != nil || !reflect.DeepEqual(again, info) {
			t.Fatalf("%q: read %+v, rendered %q, read again %+v, %v", s, info, info.Comment(), again, err)
		}
	})
}

func FuzzSignatureFile(f *testing.F) {
	keys := trust(f, 1, 1, 2)
	good := sign(f, 1, content, comment1)
	_, secret := key(f, 1)
	f.Add(good)
	f.Add(legacySign(secret, content, comment1))
	f.Add([]byte("untrusted comment: x\nRWQ=\ntrusted comment: y\nAA=="))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := keys.Whole([]byte(content), text)
		if err == nil && got.Comment != comment1 {
			t.Fatalf("a comment that nobody signed: %q", got.Comment)
		}
		if info, err := keys.Info(text); err == nil && info.Comment() != comment1 {
			t.Fatalf("an info that nobody signed: %+v", info)
		}
	})
}

func FuzzPublicKey(f *testing.F) {
	public, _ := key(f, 1)
	f.Add(public.Text())
	f.Add([]byte(strings.Split(string(public.Text()), "\n")[1]))
	f.Add([]byte("untrusted comment: x\r\n" + strings.Split(string(public.Text()), "\n")[1] + "\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParsePublicKey(text)
		if err != nil {
			return
		}
		if again, err := ParsePublicKey(k.Text()); err != nil || again != k {
			t.Fatalf("%q: read %v, rendered %q, read again %v, %v", text, k, k.Text(), again, err)
		}
	})
}
