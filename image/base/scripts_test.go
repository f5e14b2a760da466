package base_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"psyopsOS/image/base"
)

// A node is a folder that a script of ours takes for its root.
type node struct {
	t    *testing.T
	root string
}

func newNode(t *testing.T) node { return node{t, t.TempDir()} }

func (n node) at(name string) string { return filepath.Join(n.root, name) }

func (n node) write(name, text string) {
	n.t.Helper()
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(n.at(name)), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(n.at(name), []byte(text), mode); err != nil {
		n.t.Fatal(err)
	}
}

func (n node) has(name, want string) {
	n.t.Helper()
	got, err := os.ReadFile(n.at(name))
	if err != nil || string(got) != want {
		n.t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
	}
}

// runs has the image's own script run in the node.
func (n node) runs(script string, args ...string) error {
	n.t.Helper()
	cmd := exec.Command("sh", append([]string{filepath.Join("overlay/usr/libexec/psyopsOS", script)}, args...)...)
	cmd.Env = append(os.Environ(), "PSYOPSOS_ROOT="+n.root, "POSTBOOT_WAIT=1")
	out, err := cmd.CombinedOutput()
	n.t.Logf("%s %v: %v %s", script, args, err, out)
	return err
}

const routes = "Iface\tDestination\tGateway\n"

// postboot is a node with programs for it: one that works, one that fails, one
// that is not to be run, and one with a name that a status cannot tell.
func postboot(t *testing.T) node {
	n := newNode(t)
	n.write("proc/net/route", routes+"psy0\t0000A8C0\t00000000\n")
	n.write("etc/psyopsOS/psyops-secret.env", "PSYOPSOS_NODENAME=web1\n")
	n.write("etc/psyopsOS/postboot.d/10-name", "#!/bin/sh\necho I am \"$PSYOPSOS_NODENAME\"; echo ran >>"+n.at("ran")+"\n")
	n.write("etc/psyopsOS/postboot.d/README", "not a program")
	n.write("etc/psyopsOS/postboot.d/odd name", "#!/bin/sh\ntouch "+n.at("odd")+"\n")
	return n
}

func (n node) status(want ...string) {
	n.t.Helper()
	got, err := os.ReadFile(n.at("etc/psyopsOS/status/postboot"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, line := range want {
		if !strings.Contains("\n"+string(got), "\n"+line+"\n") {
			n.t.Errorf("the status is %q, without %q", got, line)
		}
	}
}

func TestPostbootRunsItsProgramsOnceABoot(t *testing.T) {
	n := postboot(t)
	for range 2 {
		if err := n.runs("postboot"); err != nil {
			t.Fatal(err)
		}
	}
	n.has("ran", "ran\n")
	n.status("state=done", "network=yes", "failed=")
	log, err := os.ReadFile(n.at("var/log/postboot.latest"))
	if err != nil || !bytes.Contains(log, []byte("I am web1")) {
		t.Errorf("the log is %q, %v", log, err)
	}
	if _, err := os.Stat(n.at("odd")); err == nil {
		t.Error("a program was run whose name a status line cannot tell")
	}
	if err := n.runs("postboot", "--again"); err != nil {
		t.Fatal(err)
	}
	n.has("ran", "ran\nran\n")
}

func TestAPostbootProgramThatFailsIsToldAndTheNextOnesRun(t *testing.T) {
	n := postboot(t)
	n.write("etc/psyopsOS/postboot.d/05-broken", "#!/bin/sh\nexit 3\n")
	n.write("usr/sbin/neuralupgrade", "#!/bin/sh\necho \"$*\" >>"+n.at("shown")+"\n")
	if err := n.runs("postboot"); err != nil {
		t.Fatal(err)
	}
	n.has("ran", "ran\n")
	n.status("state=failed", "detail=05-broken", "failed=05-broken")
	// Waiting, each program, the end: the login screen follows.
	n.has("shown", strings.Repeat("status --login-screen\n", 4))
}

func TestPostbootGoesOnWithoutANetwork(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"nothing but lo":  {"proc/net/route": routes + "lo\t0000007F\t0\n"},
		"psynet alone":    {"proc/net/route": routes + "psynet\t00004D0A\t0\n"},
		"no answer":       {"proc/net/route": routes + "psy0\t0000FEA9\t0\n"},
		"a link's own v6": {"proc/net/route": routes, "proc/net/if_inet6": "fe800000000000000000000000000001 02 40 20 80     psy0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			n := postboot(t)
			for name, text := range files {
				n.write(name, text)
			}
			if err := n.runs("postboot"); err != nil {
				t.Fatal(err)
			}
			n.status("state=done", "network=no")
			n.has("ran", "ran\n")
		})
	}
	n := postboot(t)
	n.write("proc/net/route", routes)
	n.write("proc/net/if_inet6", "20010db8000000000000000000000001 02 40 00 80     psy0\n")
	if err := n.runs("postboot"); err != nil {
		t.Fatal(err)
	}
	n.status("network=yes")
}

const shadow = "root:*:19700:0:::::\nsshd:!:19700::::::\n"

func TestRootHasTheKeysOfSiteAndNodeAndTheNodesPassword(t *testing.T) {
	n := newNode(t)
	n.write("etc/shadow", shadow)
	n.write("root/.ssh/authorized_keys", "ssh-ed25519 A image")
	n.write("etc/psyopsOS/root.authorized_keys", "ssh-ed25519 B site\r\n")
	n.write("mnt/psyops-secret/mount/root.authorized_keys", "ssh-ed25519 B site\nssh-ed25519 C node")
	n.write("etc/psyopsOS/root.password-hash", "$6$salt$site\n")
	n.write("mnt/psyops-secret/mount/root.password-hash", "$6$salt$no/de.")
	if err := os.Chmod(n.at("etc/shadow"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := n.runs("root-login"); err != nil {
		t.Fatal(err)
	}
	n.has("root/.ssh/authorized_keys", "ssh-ed25519 A image\nssh-ed25519 B site\nssh-ed25519 C node\n")
	n.has("etc/shadow", "root:$6$salt$no/de.:19700:0:::::\nsshd:!:19700::::::\n")
	for name, want := range map[string]os.FileMode{"etc/shadow": 0o640, "root/.ssh": 0o700, "root/.ssh/authorized_keys": 0o600} {
		if info, err := os.Stat(n.at(name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestWhatIsNoPasswordHashLeavesTheTableAsItIs(t *testing.T) {
	for _, hash := range []string{"secret", "$6$a:0:0", "$6$x y", "\n$6$a"} {
		n := newNode(t)
		n.write("etc/shadow", shadow)
		n.write("etc/psyopsOS/root.password-hash", hash)
		if err := n.runs("root-login"); err == nil {
			t.Errorf("%q is taken", hash)
		}
		n.has("etc/shadow", shadow)
	}
	n := newNode(t)
	n.write("etc/shadow", shadow)
	if err := n.runs("root-login"); err != nil {
		t.Error(err)
	}
	n.has("etc/shadow", shadow)
}

func TestEachConsoleThatExistsHasAGetty(t *testing.T) {
	// A device of this machine's under any name: the script asks no more of it.
	device := func(n node, name string) {
		t.Helper()
		if err := os.Symlink("/dev/null", n.at("dev/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	const alpines = "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100"
	machine := func(init string) node {
		n := newNode(t)
		n.write("etc/inittab", alpines)
		n.write("etc/securetty", "tty1\n")
		n.write("sys/class/tty/console/active", "tty0 ttyS0 hvc0\n")
		n.write("bin/"+init, "")
		for _, dir := range []string{"dev", "sbin"} {
			if err := os.MkdirAll(n.at(dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("../bin/"+init, n.at("sbin/init")); err != nil {
			t.Fatal(err)
		}
		device(n, "tty1")
		device(n, "ttyS0") // and no hvc0
		return n
	}
	n := machine("busybox")
	for range 2 {
		if err := n.runs("consoles"); err != nil {
			t.Fatal(err)
		}
	}
	n.has("etc/inittab", alpines+"\nttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n")
	n.has("etc/securetty", "tty1\nttyS0\n")
	n = machine("sysvinit")
	if err := n.runs("consoles"); err != nil {
		t.Fatal(err)
	}
	n.has("etc/inittab", alpines)
}

func TestEveryScriptIsOneThatAShellReads(t *testing.T) {
	overlay, err := base.Overlay()
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for name, node := range overlay.All() {
		if !node.Mode.IsRegular() {
			continue
		}
		text, err := node.Content()
		if err != nil {
			t.Fatal(err)
		}
		script := bytes.HasPrefix(text, []byte("#!"))
		if script != (node.Mode.Perm() == 0o755) {
			t.Errorf("%s has mode %v", name, node.Mode)
		}
		if !script && !strings.HasSuffix(name, ".sh") && !strings.HasPrefix(name, "etc/conf.d/") {
			continue
		}
		cmd := exec.Command("sh", "-n")
		cmd.Stdin = bytes.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		read++
	}
	if read < 10 {
		t.Errorf("only %d scripts", read)
	}
}
