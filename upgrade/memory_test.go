package upgrade

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"psyopsOS/layout"
	"psyopsOS/release"
)

// Issue 4: 64 MiB are enough for a tar of any size.
func TestAnApplyNeedsLittleMemory(t *testing.T) {
	const size, limit = 96 << 20, 64 << 20
	w := newWorld(t)
	b := makeBundle(t, v2, func(b *bundle) {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i >> 12)
		}
		b.members[layout.Squashfs] = content
		for i, f := range b.manifest.Files {
			if f.Path == layout.Squashfs {
				b.manifest.Files[i] = release.File{Path: f.Path, Size: size, SHA256: fmt.Sprintf("%x", sha256.Sum256(content))}
			}
		}
	})
	w.publish(b)
	server := httptest.NewServer(http.FileServer(http.Dir(w.repo)))
	defer server.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "UPGRADE_TEST_ROOT="+w.root, argsVariable+"=apply b --no-boot-cfg --a-mock --b-mock --efisys-mock --booted-mock a --repository "+server.URL)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.holds(layout.SideB, b)
	_, text, _ := strings.Cut(string(out), "\npeak ")
	peak, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64) // KiB
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("peak memory %d KiB for a tar of %d KiB, in %v of processor time", peak, len(b.tar)>>10, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	if peak<<10 > limit {
		t.Errorf("the process took %d KiB, want at most %d", peak, limit>>10)
	}
}
