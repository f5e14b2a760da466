package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"psyopsOS/image"
	"psyopsOS/secret"
)

var when = time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC)

func testCA(t *testing.T) CA {
	t.Helper()
	ca, err := NewCA("site", nil, nil, when.Add(-time.Hour), 365*24*time.Hour, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func request(name, psynet string) Request {
	return Request{Name: name, Psynet: netip.MustParsePrefix(psynet)}
}

func made(t *testing.T, r Request) Record {
	t.Helper()
	rec, err := Make(r, testCA(t), when, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func program(t *testing.T, words ...string) string {
	t.Helper()
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", words, err, out)
	}
	return string(out)
}

func TestTheRealProgramsAcceptANodesFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n")
	now := time.Now()
	ca, err := NewCA("site", []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}, []string{"web", "admin"}, now.Add(-time.Hour), 48*time.Hour, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := request("one", "10.77.0.5/24")
	r.Groups, r.MAC, r.Hostname = []string{"web"}, "52:54:00:AA:bb:cc", "one.example.org"
	rec, err := Make(r, ca, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.WriteDir(dir, false); err != nil {
		t.Fatal(err)
	}
	p, err := rec.Public()
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	if got := strings.TrimSpace(program(t, "age-keygen", "-y", in("age.key"))); got != p.Recipient {
		t.Errorf("age-keygen says %q, we %q", got, p.Recipient)
	}
	if got := program(t, "ssh-keygen", "-l", "-f", in("ssh_host_ed25519_key")); !strings.Contains(got, p.SSHKey) {
		t.Errorf("ssh-keygen says %q, we %q", got, p.SSHKey)
	}
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(p.KnownHosts+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"one", "one.example.org", "10.77.0.5"} {
		program(t, "ssh-keygen", "-F", host, "-f", known)
	}
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, ca.Certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "nebula-cert", "verify", "-ca", caFile, "-crt", in("psynet.host.crt"))
	if got := program(t, "nebula-cert", "print", "-path", in("psynet.host.crt")); !strings.Contains(got, "10.77.0.5/24") || !strings.Contains(got, `"web"`) || !strings.Contains(got, p.Psy.Fingerprint) {
		t.Errorf("nebula-cert prints %s", got)
	}
	// nebula itself checks that key and certificate belong together.
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("pki: {ca: %s, cert: %s, key: %s}\nfirewall: {inbound: [], outbound: []}\n", caFile, in("psynet.host.crt"), in("psynet.host.key"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "nebula", "-test", "-config", config)
	// And what reads the volume at boot understands it.
	n, warnings := secret.Read(os.DirFS(dir))
	if n.Name != "one" || len(warnings) > 0 {
		t.Errorf("at boot it is node %s, with warnings %v", n.Name, warnings)
	}
	if _, warnings := n.Install(); len(warnings) > 0 {
		t.Errorf("installing it warns: %v", warnings)
	}
}

func TestOtherHostsKeysAreNotBelieved(t *testing.T) {
	ca, other := testCA(t), testCA(t)
	a, b := request("a", "10.77.0.1/24"), request("b", "10.77.0.2/24")
	ra, err := Make(a, ca, when, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rb, err := Make(b, ca, when, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	crt := ra.Files[secret.PsynetCert].Reveal()
	for name, tt := range map[string]struct {
		ca   CA
		key  secret.Private
		now  time.Time
		good bool
	}{
		"its own":                {ca, ra.Files[secret.PsynetKey], when, true},
		"no key":                 {ca, secret.Private{}, when, true},
		"another node's key":     {ca, rb.Files[secret.PsynetKey], when, false},
		"another CA":             {other, ra.Files[secret.PsynetKey], when, false},
		"after the CA has ended": {ca, ra.Files[secret.PsynetKey], when.AddDate(2, 0, 0), false},
	} {
		if err := tt.ca.VerifyCertificate(crt, tt.key, tt.now); (err == nil) != tt.good {
			t.Errorf("%s: got %v", name, err)
		}
	}
	renewed, err := ra.Renewed(ca, when.Add(time.Hour), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ReadCertificate(renewed.Files[secret.PsynetCert].Reveal())
	if err != nil || !c.Expires.Equal(when.Add(25*time.Hour)) {
		t.Errorf("the renewed certificate: %v, %v", c, err)
	}
	if err := ca.VerifyCertificate(renewed.Files[secret.PsynetCert].Reveal(), ra.Files[secret.PsynetKey], when.Add(2*time.Hour)); err != nil {
		t.Errorf("the renewed certificate with the old key: %v", err)
	}
	if _, err := Make(a, ca, when.AddDate(2, 0, 0), rand.Reader); err == nil {
		t.Error("a CA that has ended signed")
	}
	if err := (CA{ca.Certificate, other.Key}).Check(); err == nil {
		t.Error("two halves of different CAs passed")
	}
	narrow, err := NewCA("narrow", []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}, []string{"web"}, when.Add(-time.Hour), 48*time.Hour, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Request{request("x", "10.78.0.1/24"), {Name: "x", Psynet: netip.MustParsePrefix("10.77.0.1/24"), Groups: []string{"admin"}}} {
		if _, err := Make(r, narrow, when, rand.Reader); err == nil {
			t.Errorf("%v: signed by a CA that may not", r)
		}
	}
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	r := request("one", "10.77.0.5/24")
	r.Groups, r.MAC, r.Hostname, r.Flavor, r.Serial = []string{"a", "b"}, "52:54:00:aa:bb:cc", "h.example", "a quiet \"one\" – ünder the desk", "SN 1"
	rec := made(t, r)
	value, err := rec.Render()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseRecord(value)
	if err != nil || !reflect.DeepEqual(again, rec) {
		t.Errorf("got %+v, %v, want %+v", again, err, rec)
	}
	if text := string(value.Reveal()); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Error("the record is not one line")
	}
	if printed := fmt.Sprintf("%+v %#v %s", rec, rec, value); strings.Contains(printed, "PRIVATE KEY") || !strings.Contains(printed, "[private]") {
		t.Errorf("printed, the record shows %s", printed)
	}
	if err := errorOf(ParseRecord(secret.Hide([]byte(`{"version":1,"files":{"age.key":"AGE-SECRET-KEY-1"}}`)))); err == nil || strings.Contains(err.Error(), "AGE-SECRET") {
		t.Errorf("a bad record: %v", err)
	}
}

func errorOf(_ Record, err error) error { return err }

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"a","psynetip":"10.0.0.1/24","created":"2026-11-21T10:15:00Z","files":{"nodename":"YQo="}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRecord(secret.Hide(text))
		if err != nil {
			return
		}
		value, err := r.Render()
		if err != nil {
			return // a time that JSON cannot render
		}
		if again, err := ParseRecord(value); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("got %+v, %v, want %+v", again, err, r)
		}
	})
}

func TestWhatCannotBeANodeIsRefusedWithTheReason(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"a name with a slash":        {func(r *Request) { r.Name = "a/b" }, "node name"},
		"a name like a flag":         {func(r *Request) { r.Name = "-rf" }, "node name"},
		"no name":                    {func(r *Request) { r.Name = "" }, "node name"},
		"a name of 64 letters":       {func(r *Request) { r.Name = strings.Repeat("a", 64) }, "node name"},
		"the name of the nameless":   {func(r *Request) { r.Name = "psyopsOS-unconfigured" }, "without a name"},
		"a MAC of a group":           {func(r *Request) { r.MAC = "01:00:5e:00:00:01" }, "no card has it"},
		"the MAC of lo":              {func(r *Request) { r.MAC = "00:00:00:00:00:00" }, "no card has it"},
		"a MAC of eight bytes":       {func(r *Request) { r.MAC = "00:11:22:33:44:55:66:77" }, "want six bytes"},
		"a hostname with a blank":    {func(r *Request) { r.Hostname = "a b" }, "hostname"},
		"a flavor text of two lines": {func(r *Request) { r.Flavor = "a\nb" }, "flavor text"},
	} {
		r := request("one", "10.77.0.5/24")
		tt.change(&r)
		if _, err := r.Checked(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	for text, want := range map[string]string{
		"10.77.0.5":      "want an address and its network's length",
		"10.77.0.300/24": "want an address and its network's length",
		"fd00::5/64":     "the psynet is IPv4",
		"10.77.0.0/24":   "the network's own; a node's is e.g. 10.77.0.1/24",
		"10.77.0.255/24": "broadcast",
		"10.77.3.255/22": "broadcast",
		"10.77.0.1/31":   "between 8 and 30 bits",
		"127.0.0.5/8":    "not one that a host can have",
		"10.77.0.5/24":   "",
		"10.77.0.255/22": "",
	} {
		if _, err := ParsePsynet(text); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if got, err := ParseGroups(" b,a,,b "); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("groups: got %q, %v", got, err)
	}
	if _, err := ParseGroups("a,b c"); err == nil {
		t.Error("a group with a blank was taken")
	}
}

func TestWhoIsInTheStoreAlreadyIsNamed(t *testing.T) {
	others := []Record{{Request: Request{Name: "one", Psynet: netip.MustParsePrefix("10.77.0.1/24"), MAC: "52:54:00:aa:bb:cc"}}}
	for name, tt := range map[string]struct {
		r     Request
		force bool
		want  string
	}{
		"a new one":                   {request("two", "10.77.0.2/24"), false, ""},
		"the same name":               {request("one", "10.77.0.2/24"), false, "a node named one is in the store already"},
		"the same name in capitals":   {request("ONE", "10.77.0.2/24"), true, "a node named one is in the store already"},
		"the same name with force":    {request("one", "10.77.0.1/24"), true, ""},
		"the same address":            {request("two", "10.77.0.1/24"), false, "the psynet address 10.77.0.1 is in use by one"},
		"the same address with force": {request("two", "10.77.0.1/16"), true, "the psynet address 10.77.0.1 is in use by one"},
		"the same MAC":                {Request{Name: "two", Psynet: netip.MustParsePrefix("10.77.0.2/24"), MAC: "52:54:00:aa:bb:cc"}, false, "the MAC address 52:54:00:aa:bb:cc is in use by one"},
	} {
		err := tt.r.Check(others, tt.force)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if got := free(netip.MustParsePrefix("10.77.0.9/24"), others); got != "10.77.0.2/24" {
		t.Errorf("free: got %s", got)
	}
}

// contents are the files of dir, all of which must have mode 0600.
func contents(t *testing.T, dir string) map[string]string { return read(t, dir) }

func TestFolderTarAndScriptHoldTheSameAndAreForTheirOwnerAlone(t *testing.T) {
	rec := made(t, Request{Name: "one", Psynet: netip.MustParsePrefix("10.77.0.5/24"), MAC: "52:54:00:aa:bb:cc"})
	top := t.TempDir()
	dir := filepath.Join(top, "dir")
	if err := rec.WriteDir(dir, false); err != nil {
		t.Fatal(err)
	}
	want := contents(t, dir)
	if len(want) != 8 {
		t.Errorf("%d files, want 8", len(want))
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
	if err := rec.WriteDir(dir, false); err == nil {
		t.Error("a folder with files was written into")
	}
	if err := rec.WriteDir(dir, true); err != nil {
		t.Errorf("with force: %v", err)
	}
	tar, err := rec.Tar()
	if err != nil {
		t.Fatal(err)
	}
	tarFile, script := filepath.Join(top, "one.tar"), filepath.Join(top, "one.sh")
	for name, value := range map[string]secret.Private{tarFile: tar, script: rec.Script()} {
		if err := WriteFile(name, value, false); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(name, value, false); err == nil {
			t.Errorf("%s was written over", name)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	unpacked, run := filepath.Join(top, "unpacked"), filepath.Join(top, "run")
	if err := errors.Join(os.Mkdir(unpacked, 0o700), os.Mkdir(run, 0o755)); err != nil {
		t.Fatal(err)
	}
	program(t, "tar", "-C", unpacked, "-xf", tarFile)
	program(t, "sh", script, run)
	for _, got := range []string{unpacked, run} {
		if got := contents(t, got); !reflect.DeepEqual(got, want) {
			t.Errorf("got %d other files than in the folder", len(got))
		}
	}
	// The stages of `tk mkimage` read the same tar.
	if files, err := image.ReadSecTar(tarFile); err != nil || len(files) != len(want) {
		t.Errorf("mkimage reads %d files, %v", len(files), err)
	}
	if out, err := exec.Command("sh", script).CombinedOutput(); err == nil || !strings.Contains(string(out), "usage") {
		t.Errorf("without a folder the script says %q, %v", out, err)
	}
}

func TestWithoutAMACThereIsNoMactab(t *testing.T) {
	rec := made(t, request("one", "10.77.0.5/24"))
	if _, ok := rec.Files[secret.Mactab]; ok || len(rec.Files) != 6 {
		t.Errorf("got %v", rec.Names())
	}
}

func TestAnAbsentNodeIsNotFound(t *testing.T) {
	g := Registry{AgeFolder{t.TempDir(), "none"}}
	if _, err := g.Node(t.Context(), "one"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := g.Delete(t.Context(), "one"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
