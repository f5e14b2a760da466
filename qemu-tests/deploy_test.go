//go:build qemu

package qemutests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"psyopsOS/deploy"
	"psyopsOS/vm"
)

// Issue 5: `tk deployos` brings a node made by tk from side A to side B over
// ssh, looks at it from outside, and commits; once more there is nothing to do.
func TestTkDeploysFromSideAToSideBOverSSH(t *testing.T) {
	repo := newerRelease(t) // images too
	home := t.TempDir()
	key := filepath.Join(home, "key")
	if said, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	tk(t, home, "psynet", "ca", "test site", "--networks", "10.77.0.0/16")
	tk(t, home, "node", "new", "web1", "--psynetip", "10.77.0.5/24", "--mac-address", "52:54:00:12:34:56")
	disk := filepath.Join(home, "web1.img")
	building.Lock()
	tk(t, home, "node", "image", "web1", "--outimg", disk, "--out", out, "--append", "psyopsos.events="+vm.EventsDevice,
		"--size", "psyopsOS-A=160", "--size", "psyopsOS-B=160", "--size", "psyops-secret=16")
	building.Unlock()
	port, err := vm.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, Scenario{Firmware: true, Resets: true, Disks: onDisk(disk), Deadline: 12 * time.Minute,
		Machine: vm.Machine{NICs: []vm.NIC{{MAC: "52:54:00:12:34:56", SSH: port}}}})
	g.HandsOver()
	g.Login()
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	// A site has it in its image; here both releases are the shared ones, so the
	// trial's own login is made as it comes up.
	authorize := "mkdir -p -m 700 /root/.ssh; echo '" + strings.TrimSpace(string(public)) + "' > /root/.ssh/authorized_keys"
	g.Runs(authorize)
	g.AnswersSSH(port)
	deployed := make(chan string, 1)
	arguments := []string{"deployos", fmt.Sprint("web1=127.0.0.1:", port), "--ssh-key", key, "--dir", repo.dir, "--json", "--back", "400",
		"--check", `test "$TK_NODE" = web1 && test "$TK_VERSION" = ` + repo.version}
	run := func() string {
		cmd := exec.Command(tkBinary(t), arguments...)
		cmd.Env = append(os.Environ(), "PSYOPSOS_CONFIG=none", "PSYOPSOS_STORE="+filepath.Join(home, "store"), "PSYOPSOS_IDENTITY="+filepath.Join(home, "age.key"))
		cmd.Stderr = os.Stderr
		text, err := cmd.Output()
		if err != nil {
			t.Errorf("tk deployos: %v", err)
		}
		return string(text)
	}
	go func() { deployed <- run() }()
	g.HandsOver()
	g.Login()
	g.Runs(authorize)
	outcome := func(text string) deploy.Result {
		t.Helper()
		var results []deploy.Result
		if err := json.Unmarshal([]byte(text), &results); err != nil || len(results) != 1 {
			t.Fatalf("%v in %s", err, text)
		}
		return results[0]
	}
	r := outcome(<-deployed)
	if r.Outcome != deploy.Committed || r.After != "psyopsOS-B "+repo.version || !strings.HasPrefix(r.Before, "psyopsOS-A ") {
		t.Errorf("got %+v", r)
	}
	g.Prints("neuralupgrade status --json | grep -c '\"default\": \"psyopsOS-B\"'", "1")
	if again := outcome(run()); again.Outcome != deploy.UpToDate {
		t.Errorf("once more: %+v", again)
	}
}
