package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"psyopsOS/step"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// written lists every file and folder below root but etc's own, as "mode path
// content".
func written(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		}
		all[strings.TrimPrefix(path, root)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestANodeIsInstalledWithExactModesWhateverTheUmask(t *testing.T) {
	key := testdata(t, "ed25519")
	pub := strings.Replace(string(testdata(t, "ed25519.pub")), " demo\n", " camp7\n", 1)
	node, warnings := Read(fstest.MapFS{
		NodenameFile: file("camp7\n"), Mactab: file("psy0 driver=x\n"), Interfaces: file("auto psy0\n"),
		SSHHostKey: {Data: key}, AgeKey: file("AGE"), "own/run.sh": {Data: []byte("#!"), Mode: 0o755},
	})
	files, more := node.Install()
	if len(warnings)+len(more) > 0 {
		t.Fatal(warnings, more)
	}
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		root := t.TempDir()
		old := syscall.Umask(umask)
		err := Install(root, files)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		const private = "/mnt/psyops-secret"
		want := map[string]string{
			"/etc":                              "drwxr-xr-x",
			"/etc/hostname":                     "-rw-r--r-- camp7\n",
			"/etc/mactab":                       "-rw-r--r-- psy0 driver=x\n",
			"/etc/network":                      "drwxr-xr-x",
			"/etc/network/interfaces":           "-rw-r--r-- auto psy0\n",
			"/etc/psyopsOS":                     "drwxr-xr-x",
			"/etc/psyopsOS/psyops-secret.env":   "-rw-r--r-- " + string(node.Env()),
			"/etc/ssh":                          "drwxr-xr-x",
			"/etc/ssh/ssh_host_ed25519_key":     "-rw------- " + string(key),
			"/etc/ssh/ssh_host_ed25519_key.pub": "-rw-r--r-- " + pub,
			"/mnt":                              "drwxr-xr-x",
			private:                             "drwx------",
			private + "/mount":                  "drwx------",
			private + "/mount/" + AgeKey:        "-rw------- AGE",
			private + "/mount/" + Interfaces:    "-rw------- auto psy0\n",
			private + "/mount/" + Mactab:        "-rw------- psy0 driver=x\n",
			private + "/mount/" + NodenameFile:  "-rw------- camp7\n",
			private + "/mount/own":              "drwx------",
			private + "/mount/own/run.sh":       "-rwx------ #!",
			private + "/mount/" + SSHHostKey:    "-rw------- " + string(key),
		}
		if got := written(t, root); !reflect.DeepEqual(got, want) {
			t.Errorf("umask %o: got %q\nwant %q", umask, got, want)
		}
	}
}

func TestWhatIsThereIsReplaced(t *testing.T) {
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for _, dir := range []string{"etc/network", "mnt/psyops-secret/mount", "run"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	old := map[string]string{"etc/hostname": "alpine\n", "etc/.hostname.new": "left over", outside: "theirs"}
	for path, text := range old {
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(root, "etc/network/interfaces")); err != nil {
		t.Fatal(err)
	}
	files, _ := Unconfigured().Install()
	files = append(files, File{Path: InterfacesPath, Mode: 0o644, Data: Hide([]byte("auto lo\n"))})
	if err := Install(root, files); err != nil {
		t.Fatal(err)
	}
	got := written(t, root)
	want := map[string]string{
		"/etc/hostname":           "-rw-r--r-- psyopsOS-unconfigured\n",
		"/etc/network/interfaces": "-rw-r--r-- auto lo\n",
		"/mnt/psyops-secret":      "drwx------",
		"/etc/.hostname.new":      "",
	}
	for path, text := range want {
		if got[path] != text {
			t.Errorf("%s: got %q, want %q", path, got[path], text)
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "theirs" {
		t.Errorf("a file outside has %q, %v", data, err)
	}
}

func TestAFolderThatLeadsOutOfTheRootIsNotFollowed(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "etc")); err != nil {
		t.Fatal(err)
	}
	node, _ := Read(fstest.MapFS{AgeKey: file("AGE")})
	files, _ := node.Install()
	err := Install(root, files)
	if err == nil || !strings.Contains(err.Error(), "write /etc/hostname: ") {
		t.Errorf("got %v, want an error of /etc/hostname", err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("wrote %v outside", entries)
	}
	if data, err := os.ReadFile(filepath.Join(root, "mnt/psyops-secret/mount", AgeKey)); err != nil || string(data) != "AGE" {
		t.Errorf("the other files were not written: %v", err)
	}
}

func TestToorIsAddedOnceAndTheTablesKeepTheirModes(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	const passwd, shadow = "root:x:0:0:root:/root:/bin/ash", "root:*::0:::::\n"
	for path, text := range map[string]string{"etc/passwd": passwd, "etc/shadow": shadow} {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := Node{Name: "x", Toor: true}.Install()
	for range 2 {
		if err := Install(root, files); err != nil {
			t.Fatal(err)
		}
	}
	got := written(t, root)
	if want := "-rw------- " + passwd + "\ntoor:x:0:0:toor:/root:/bin/sh\n"; got["/etc/passwd"] != want {
		t.Errorf("got %q, want %q", got["/etc/passwd"], want)
	}
	if want := "-rw------- " + shadow + "toor::::::::\n"; got["/etc/shadow"] != want {
		t.Errorf("got %q, want %q", got["/etc/shadow"], want)
	}
}

func TestADamagedHostKeyIsNotInstalled(t *testing.T) {
	key := testdata(t, "ed25519")
	block, _ := pem.Decode(key)
	pub, err := base64.StdEncoding.DecodeString(strings.Fields(string(testdata(t, "ed25519.pub")))[1])
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		body := bytes.Clone(block.Bytes)
		body[at] ^= 1
		return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: body})
	}
	// The seed follows the point in the secret half, behind a length.
	seed := bytes.LastIndex(block.Bytes, pub[len(pub)-32:]) - 32
	for name, data := range map[string][]byte{
		"empty":          {},
		"text":           []byte("hello"),
		"cut":            key[:len(key)/2],
		"cut inside":     pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:len(block.Bytes)/2]}),
		"no body":        pem.EncodeToMemory(&pem.Block{Type: block.Type}),
		"encrypted":      testdata(t, "encrypted"),
		"ecdsa":          testdata(t, "ecdsa"),
		"a bit of seed":  flipped(seed),
		"a bit of point": flipped(bytes.Index(block.Bytes, pub) + len(pub) - 1),
	} {
		t.Run(name, func(t *testing.T) {
			node, _ := Read(fstest.MapFS{SSHHostKey: {Data: data}})
			files, warnings := node.Install()
			if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), SSHHostKey+" is not used: it ") || step.HintOf(warnings[0]) == "" {
				t.Errorf("got warnings %v, want one with a hint", warnings)
			}
			for _, f := range files {
				if strings.HasPrefix(f.Path, sshKeyPath) {
					t.Errorf("%s is installed", f.Path)
				}
			}
		})
	}
}

func TestAHostKeyWithCRLFWorks(t *testing.T) {
	key := testdata(t, "ed25519")
	node, _ := Read(fstest.MapFS{SSHHostKey: {Data: bytes.ReplaceAll(key, []byte("\n"), []byte("\r\n"))}})
	files, warnings := node.Install()
	for _, f := range files {
		if f.Path == sshKeyPath && bytes.Equal(f.Data.Reveal(), key) && len(warnings) == 0 {
			return
		}
	}
	t.Errorf("the key was not installed with the line ends that sshd wants: %v", warnings)
}

func FuzzSSHPublicKey(f *testing.F) {
	for _, name := range []string{"ed25519", "encrypted", "ecdsa"} {
		key, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(key)
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		key := pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: body})
		line, err := sshPublicKey(key, "c")
		if err == nil && (!bytes.HasPrefix(line, []byte("ssh-ed25519 ")) || !bytes.HasSuffix(line, []byte(" c\n"))) {
			t.Errorf("got %q", line)
		}
	})
}
