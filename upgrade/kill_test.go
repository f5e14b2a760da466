package upgrade

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts/mountstest"
)

// argsVariable makes the test program be neuralupgrade on mocks, so that it
// can be killed.
const argsVariable = "UPGRADE_TEST_ARGS"

func beNeuralupgrade(args string) int {
	e := Env{Stdout: os.Stdout, Stderr: os.Stderr, Root: os.Getenv("UPGRADE_TEST_ROOT"), Storage: mountstest.New(), Getenv: func(string) string { return "" }}
	status := Main(context.Background(), e, strings.Fields(args))
	// Of this program alone: what wait4 tells begins with the parent's memory.
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		_, peak, _ := strings.Cut(string(text), "VmHWM:")
		os.Stderr.WriteString("peak " + strings.Fields(peak + " ?")[0] + "\n")
	}
	return status
}

// slowly serves a folder at a pace at which a kill hits in the middle, and
// counts the bytes.
func slowly(t *testing.T, dir string, sent *atomic.Int64) *httptest.Server {
	files := http.FileServer(http.Dir(dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		files.ServeHTTP(slow{w, sent}, r)
	}))
	t.Cleanup(s.Close)
	return s
}

type slow struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (s slow) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var m int
		m, err = s.ResponseWriter.Write(p[:min(len(p), 32<<10)])
		_ = http.NewResponseController(s.ResponseWriter).Flush()
		s.sent.Add(int64(m))
		n, p = n+m, p[m:]
		time.Sleep(12 * time.Millisecond)
	}
	return n, err
}

// killedAt kills a program once the server has sent so many bytes, and not by
// the clock: on a busy machine it may not have begun.
func killedAt(cmd *exec.Cmd, sent *atomic.Int64, point int64) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for sent.Load() < point {
		select {
		case err := <-done:
			return err
		case <-time.After(time.Millisecond):
		}
	}
	_ = cmd.Process.Kill()
	return <-done
}

// Issue 4: kill -9 at 20 points of an apply. A side that is not whole is none,
// and what was written is not fetched again.
func TestAnApplyThatIsKilledAgainAndAgainIsFinished(t *testing.T) {
	w := newWorld(t)
	b := makeBundle(t, v2)
	w.publish(b)
	var total int64
	side := filepath.Join(w.root, layout.MountSideB)
	// Each has a server of its own, which counts its bytes and no other's.
	apply := func(sent *atomic.Int64) *exec.Cmd {
		server := slowly(t, w.repo, sent)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "UPGRADE_TEST_ROOT="+w.root, argsVariable+"=apply b --no-boot-cfg --a-mock --b-mock --efisys-mock --booted-mock a --repository "+server.URL)
		return cmd
	}
	random := rand.New(rand.NewPCG(4, 20))
	kills, unfinished := 0, 0
	for kills < 20 {
		var sent atomic.Int64
		cmd := apply(&sent)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := killedAt(cmd, &sent, (40<<10)+random.Int64N(64<<10))
		total += sent.Load()
		if done == nil {
			break // it was done before the kill
		}
		kills++
		if _, err := os.Stat(filepath.Join(side, layout.OSTarSignature)); err != nil {
			unfinished++
			continue
		}
		if text := readFile(t, filepath.Join(side, layout.OSTarSignature)); bytes.Equal(text, b.sig) {
			if err := bootstate.CheckSide(os.DirFS(side)); err != nil {
				t.Fatalf("a side that is not whole has its signature: %v", err)
			}
		}
	}
	if unfinished < 15 {
		t.Fatalf("only %d of %d kills hit the middle of an apply", unfinished, kills)
	}
	var sent atomic.Int64
	if out, err := apply(&sent).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.holds(layout.SideB, b)
	// What is fetched once more: the two members before the first file, headers,
	// and what was on its way when the process died.
	total += sent.Load()
	t.Logf("%d kills, %d of them in the middle; the server sent %d bytes for a tar of %d", kills, unfinished, total, len(b.tar))
	if limit := int64(len(b.tar)) + int64(kills+1)*300<<10; total > limit {
		t.Errorf("the server sent %d bytes, want at most %d", total, limit)
	}
}
