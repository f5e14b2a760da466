package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"psyopsOS/layout"
)

func TestTheLoginTellsHowTheLastConfigurationWent(t *testing.T) {
	for _, c := range []struct{ name, postboot, health, line, prompt string }{
		{"not begun", "", "", "", ""},
		{"waiting", "state=waiting\ndetail=for the network\n", "", "; postboot waits for the network", ""},
		{"running", "state=running\ndetail=50-progfiguration\n", "", "; postboot runs 50-progfiguration", ""},
		{"done", "state=done\ndetail=\nnetwork=yes\nnew=1\n", "", "; configured", ""},
		{"done without a network", "state=done\nnetwork=no\n", "", "; configured without a network", ""},
		{"failed", "state=failed\ndetail=10-a 20-b\nnetwork=yes\n", "", "; postboot failed: 10-a 20-b (/var/log/postboot.latest)", "(postboot failed) "},
		{"not healthy", "state=done\nnetwork=yes\n", `{"healthy":false,"checks":[{"name":"20-web","problem":"exit status 3"}]}`,
			"; not healthy: 20-web: exit status 3; configured", "(unhealthy) "},
		{"nonsense", "\x1b[2Jstate\nstate=\x1b[2J\n", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := onTrial(t)
			before, _ := w.must(0, "status", "--line")
			for name, text := range map[string]string{"postboot": c.postboot, "health": c.health} {
				if text == "" {
					continue
				}
				w.write(layout.StatusDir+"/"+name, []byte(text))
			}
			out, _ := w.must(0, "status", "--line")
			if want := strings.TrimSuffix(before, "\n") + c.line + "\n"; out != want {
				t.Errorf("got %q, want %q", out, want)
			}
			w.must(0, "status", "--login-screen")
			got, err := os.ReadFile(filepath.Join(w.root, layout.StatusPrompt))
			if want := "(trial) " + c.prompt; err != nil || string(got) != want {
				t.Errorf("the prompt has %q, %v, want %q", got, err, want)
			}
		})
	}
}

func FuzzPostboot(f *testing.F) {
	f.Add([]byte("state=failed\ndetail=10-a\nnetwork=yes\n"))
	f.Add([]byte("detail=\x1b[2J\xff\u009b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p := parsePostboot(text)
		if strings.ContainsFunc(p.State+p.Detail, unicode.IsControl) {
			t.Errorf("%q makes %+v", text, p)
		}
	})
}
