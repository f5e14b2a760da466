package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// holder has a Private where fmt may not call methods.
type holder struct {
	Open   Private
	closed Private
}

func TestNothingPrintsWhatIsPrivate(t *testing.T) {
	const told = "hunter2"
	p := Hide([]byte(told))
	node := Node{Name: "n", Files: map[string]Entry{AgeKey: {Data: p}}}
	for _, v := range []any{p, &p, holder{p, p}, &holder{p, p}, node, &node, []Private{p}, map[string]Private{"k": p}, File{Path: "/x", Data: p}} {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %o %b %c %U %t %e %08x %T") {
			shown := fmt.Sprintf(verb, v)
			for _, secret := range []string{told, fmt.Sprintf("%x", told), fmt.Sprintf("%X", told), fmt.Sprint([]byte(told)), fmt.Sprintf("%#v", []byte(told))} {
				if strings.Contains(shown, secret) {
					t.Errorf("%s of %T shows %s", verb, v, shown)
				}
			}
		}
		if data, err := json.Marshal(v); err != nil || strings.Contains(string(data), told) || strings.Contains(string(data), "aHVudGVyMg") {
			t.Errorf("JSON of %T is %s, %v", v, data, err)
		}
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Error("x", "key", p, "err", errors.New(p.String()))
	if strings.Contains(log.String(), told) || !strings.Contains(log.String(), "[private]") {
		t.Errorf("the log has %s", log.String())
	}
	for _, verb := range []string{"%v", "%s", "%x", "%#v"} {
		if got := fmt.Sprintf(verb, p); got != "[private]" {
			t.Errorf("%s: got %s", verb, got)
		}
	}
	if string(p.Reveal()) != told || (Private{}).Reveal() != nil {
		t.Error("Reveal does not give what was hidden")
	}
}
