package deploy_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"psyopsOS/deploy"
	"psyopsOS/step"
)

// standIn is neuralupgrade on a machine that is no node: its state is files in
// a folder, and its restart ends the connection. All else, shell, cat and
// sha256sum, is real.
const standIn = `#!/bin/sh
set -eu
cd "$NODE"
echo "$*" >> asked
case "$*" in
"status --json") cat status.json ;;
"--json apply nonbooted --confirm=remote --tries=1 --os-tar "*)
	cp "$7" got.tar; cp "$7.minisig" got.minisig
	echo 'this line is no event'
	echo '{"time":1,"step":"write psyopsOS-B","kind":"progress","done":5,"total":10}'
	echo '{"time":2,"step":"write psyopsOS-B","kind":"finished","elapsed":1}'
	if test -e refuse; then
		echo '{"time":3,"step":"put psyopsOS-B on trial","kind":"failed","message":"no room","hint":"make some"}'
		exit 1
	fi ;;
reboot)
	mv next.json status.json; echo 2 > boot_id
	# sshd's process for this connection; a shell may be between.
	p=$PPID
	until grep -q ^sshd /proc/$p/comm; do p=$(cut -d' ' -f4 /proc/$p/stat); done
	kill -9 $p ;;
commit) sed -i 's/"default":"psyopsOS-A"/"default":"psyopsOS-B"/' status.json ;;
*) echo "what is $*?" >&2; exit 2 ;;
esac
`

// The kernel's boot id does not change here.
const standInCat = `#!/bin/sh
if test "${1-}" = /proc/sys/kernel/random/boot_id; then exec /bin/cat "$NODE/boot_id"; fi
exec /bin/cat "$@"
`

// An sshd of this machine, as the user who runs the test.
type sshd struct {
	dir     string // of the node
	host    deploy.Host
	ssh     deploy.SSH
	user    ssh.PublicKey
	private ed25519.PrivateKey
}

func newKey(t *testing.T, name string) (ssh.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	put(t, name, pem.EncodeToMemory(block), 0o600)
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, private
}

func put(t *testing.T, name string, content []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, content, mode); err != nil {
		t.Fatal(err)
	}
}

func startSSHD(t *testing.T) *sshd {
	t.Helper()
	program, err := exec.LookPath("sshd")
	if err != nil {
		program = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("no sshd: `tk check-deps --install --tests` brings it")
	}
	dir := t.TempDir()
	s := &sshd{dir: filepath.Join(dir, "node")}
	for _, name := range []string{s.dir, filepath.Join(dir, "bin")} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	hostKey, _ := newKey(t, filepath.Join(dir, "host_key"))
	s.user, s.private = newKey(t, filepath.Join(dir, "user_key"))
	put(t, filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(s.user), 0o600)
	put(t, filepath.Join(dir, "bin", "neuralupgrade"), []byte(standIn), 0o700)
	put(t, filepath.Join(dir, "bin", "cat"), []byte(standInCat), 0o700)
	put(t, filepath.Join(s.dir, "boot_id"), []byte("1\n"), 0o600)
	status := `{"side":"%s","why":"%s","facts":{"release":"%s"},"loader":{"default":"psyopsOS-A","trial":"%s"}}`
	put(t, filepath.Join(s.dir, "status.json"), fmt.Appendf(nil, status, "psyopsOS-A", "good", older, ""), 0o600)
	put(t, filepath.Join(s.dir, "next.json"), fmt.Appendf(nil, status, "psyopsOS-B", "trial0", newer, "psyopsOS-B"), 0o600)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	config := filepath.Join(dir, "sshd_config")
	put(t, config, fmt.Appendf(nil, "ListenAddress 127.0.0.1:%d\nHostKey %s/host_key\nAuthorizedKeysFile %s/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nSetEnv NODE=%s PATH=%s/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
		port, dir, dir, s.dir, dir), 0o600)
	if os.Geteuid() == 0 { // sshd's folder for the process without rights, which its service makes
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-D", "-e", "-f", config)
	cmd.Stderr = &said
	cmd.WaitDelay = 2 * time.Second // a connection that a test left open has it too
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", &said)
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for range 100 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	name := "root"
	if text, err := exec.Command("id", "-un").Output(); err == nil {
		name = strings.TrimSpace(string(text))
	}
	s.host = deploy.Host{Name: "web1", Addresses: []string{"127.0.0.1:1", address}, Key: hostKey}
	s.ssh = deploy.SSH{User: name, Key: filepath.Join(dir, "user_key"), Dir: filepath.Join(dir, "a folder's cache")}
	return s
}

// theRelease is what is sent: large enough for several packets of ssh.
func theRelease(t *testing.T) (deploy.Source, []byte) {
	t.Helper()
	content := make([]byte, 3<<20)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	tar := filepath.Join(t.TempDir(), "psyopsOS.x86_64."+newer+".tar")
	put(t, tar, content, 0o644)
	put(t, tar+".minisig", []byte("signature"), 0o644)
	return deploy.Source{Tar: tar, Signatures: []string{tar + ".minisig"}}, content
}

func (s *sshd) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Issue 5: the whole way over a real ssh server, to the commit.
func TestADeploymentOverARealSSHServer(t *testing.T) {
	s := startSSHD(t)
	source, content := theRelease(t)
	o := deploy.Options{Request: deploy.Request{Version: newer, Size: int64(len(content)), Source: source, Tries: 1}, Dial: s.ssh.Dial,
		Back: 20 * time.Second, Patience: 5 * time.Second, Pause: 50 * time.Millisecond,
		Outside: deploy.Command(`test "$TK_NODE $TK_VERSION" = "web1 `+newer+`"`, os.Environ())}
	var events step.Recorder
	results := o.Run(context.Background(), runner(&events), []deploy.Host{s.host})
	r := results[0]
	if r.Outcome != deploy.Committed || r.After != "psyopsOS-B "+newer {
		t.Fatalf("got %+v", r)
	}
	if s.read(t, "got.tar") != string(content) || s.read(t, "got.minisig") != "signature" {
		t.Error("what arrived is not what was sent")
	}
	if got := s.read(t, "asked"); !strings.Contains(got, "--tries=1") || !strings.HasSuffix(got, "commit\nstatus --json\n") {
		t.Errorf("neuralupgrade was asked:\n%s", got)
	}
	if _, err := os.Stat(s.ssh.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the release lies on the node still: %v", err)
	}
	var names []string
	for _, e := range events.Events {
		if e.Kind == step.Finished {
			names = append(names, strings.TrimPrefix(e.Step, "web1: "))
		}
	}
	if got := strings.Join(names, ", "); got != "look, send the release, apply, restart, wait for psyopsOS-B, look from outside, commit" {
		t.Errorf("told of %s", got)
	}
}

func TestAnApplyThatFailsSaysWhatTheNodeSaid(t *testing.T) {
	s := startSSHD(t)
	source, content := theRelease(t)
	put(t, filepath.Join(s.dir, "refuse"), nil, 0o600)
	o := deploy.Options{Request: deploy.Request{Version: newer, Size: int64(len(content)), Source: source, Tries: 1}, Dial: s.ssh.Dial}
	r := o.Run(context.Background(), runner(&step.Recorder{}), []deploy.Host{s.host})[0]
	if r.Outcome != deploy.Failed || r.Step != "apply" || r.Error != "put psyopsOS-B on trial: no room" || r.Hint != "make some" {
		t.Errorf("got %+v", r)
	}
}

// A Send that was broken off goes on where it was; what is not the beginning of
// the file is sent anew.
func TestSendGoesOn(t *testing.T) {
	s := startSSHD(t)
	source, content := theRelease(t)
	ctx := context.Background()
	m, err := s.ssh.Dial(ctx, s.host)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	there := filepath.Join(s.ssh.Dir, filepath.Base(source.Tar))
	for name, tt := range map[string]struct {
		has   []byte
		first int64
	}{
		"nothing is there":   {nil, 0},
		"half of it":         {content[:1<<20], 1 << 20},
		"all of it":          {content, int64(len(content))},
		"something else":     {[]byte("something else"), 0},
		"more than all":      {append(bytes.Clone(content), 'x'), 0},
		"an empty beginning": {[]byte{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(s.ssh.Dir); err != nil {
				t.Fatal(err)
			}
			if tt.has != nil {
				if err := os.Mkdir(s.ssh.Dir, 0o700); err != nil {
					t.Fatal(err)
				}
				put(t, there, tt.has, 0o600)
			}
			first := int64(-1)
			err := m.Send(ctx, source, func(done, total int64) {
				if first < 0 {
					first = done
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			// A read of ssh is 32 KiB.
			if first < tt.first || first > tt.first+32<<10 {
				t.Errorf("it began behind byte %d, want %d", first, tt.first)
			}
			if got, err := os.ReadFile(there); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes are there, want the %d: %v", len(got), len(content), err)
			}
			if info, err := os.Stat(there); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
	if room, err := m.Room(ctx); err != nil || room <= 0 {
		t.Errorf("room %d, %v", room, err)
	}
}

func TestAnotherHostKeyIsNotTheNode(t *testing.T) {
	s := startSSHD(t)
	s.host.Key, _ = newKey(t, filepath.Join(t.TempDir(), "other"))
	_, err := s.ssh.Dial(context.Background(), s.host)
	var wrong *deploy.WrongKeyError
	if !errors.As(err, &wrong) || wrong.Want != ssh.FingerprintSHA256(s.host.Key) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "asked")); err == nil {
		t.Error("the machine was asked something")
	}
}

// The agent logs in too; without key and agent it says so, and so does a key
// with a passphrase.
func TestTheWaysToLogIn(t *testing.T) {
	s := startSSHD(t)
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: s.private}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keys, conn) }()
		}
	}()
	ways := s.ssh
	ways.Key, ways.Agent = "", socket
	m, err := ways.Dial(context.Background(), s.host)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	ways.Agent = ""
	if _, err := ways.Dial(context.Background(), s.host); err == nil || !strings.Contains(step.HintOf(err), "--ssh-key") {
		t.Errorf("without any key: %v", err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(s.private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	ways.Key = filepath.Join(t.TempDir(), "locked")
	put(t, ways.Key, pem.EncodeToMemory(block), 0o600)
	if _, err := ways.Dial(context.Background(), s.host); err == nil || !strings.Contains(step.HintOf(err), "ssh-add") {
		t.Errorf("with a locked key: %v", err)
	}
}

// Ctrl-C does not wait for what runs on the node.
func TestACommandEndsWithItsContext(t *testing.T) {
	s := startSSHD(t)
	put(t, filepath.Join(s.dir, "status.json"), nil, 0o600)
	if err := os.Remove(filepath.Join(s.dir, "status.json")); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("mkfifo", filepath.Join(s.dir, "status.json")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	t.Cleanup(func() { // cat waits there still
		if f, err := os.OpenFile(filepath.Join(s.dir, "status.json"), os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
	})
	m, err := s.ssh.Dial(context.Background(), s.host)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := m.Status(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}
