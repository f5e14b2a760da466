package boot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psyopsOS/layout"
	"psyopsOS/step"
)

// A Report is /run/psyopsOS/boot.json: what was booted, why, and how it went.
// neuralupgrade reads it, and it is what a bug report should hold.
type Report struct {
	Version int            `json:"version"` // of this format: 1
	Side    layout.Label   `json:"side,omitempty"`
	Why     string         `json:"why,omitempty"`    // psyopsos.boot=
	Loader  string         `json:"loader,omitempty"` // psyopsos.loader=
	Disk    string         `json:"disk,omitempty"`   // psyopsos.disk=
	Init    string         `json:"init"`             // what this init was built from
	Cmdline string         `json:"cmdline"`
	Facts   map[string]any `json:"facts"` // by key, of the events that have one
	Events  []step.Event   `json:"events"`
}

// NewReport tells of the boot so far.
func NewReport(c Cmdline, commit string, events []step.Event) Report {
	r := Report{Version: 1, Side: c.Side, Why: string(c.Boot), Loader: c.Loader, Disk: c.Disk,
		Init: commit, Cmdline: c.Line, Facts: map[string]any{}, Events: events}
	for _, e := range events {
		if e.Key != "" {
			r.Facts[e.Key] = e.Value
		}
	}
	return r
}

// Write writes the report below root. Only root reads it: a command line may
// hold what others should not see.
func (r Report) Write(root string) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	path := filepath.Join(root, layout.BootJSON)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// encode gives each event a line of its own. Package json, left alone, encodes
// an event, checks it, copies it, and copies it again to indent it: at the
// hand-over everything waits for that.
func (r Report) encode() ([]byte, error) {
	events := r.Events
	r.Events = []step.Event{}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimSuffix(data, []byte("]}"))
	for i, e := range events {
		line, err := e.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			data = append(data, ',')
		}
		data = append(append(data, '\n'), line...)
	}
	return append(data, "\n]}\n"...), nil
}

// ReadReport reads what Write has written below root.
func ReadReport(root string) (Report, error) {
	path := filepath.Join(root, layout.BootJSON)
	data, err := os.ReadFile(path)
	if err != nil {
		return Report{}, err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Summary renders the report for a person at a prompt.
func (r Report) Summary() string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%-10s %v\n", key+":", value) }
	if r.Side == "" {
		line("booted", "root= of the command line, no side")
	} else {
		line("booted", r.Side)
		line("because", r.Why)
		line("release", fact(r.Facts, "release", "unknown"))
		line("from", map[bool]string{true: "RAM", false: "the disk: do not pull it"}[r.Facts["toram"] == true])
	}
	line("node", fact(r.Facts, "nodename", layout.Unconfigured))
	for _, e := range r.Events {
		if e.Kind == step.Warning || e.Kind == step.Failed {
			fmt.Fprintln(&b, e)
		}
	}
	return b.String()
}

func fact(facts map[string]any, key string, otherwise any) any {
	if v, ok := facts[key]; ok {
		return v
	}
	return otherwise
}
