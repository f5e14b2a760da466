// Package deploy brings a release onto nodes over ssh: it looks at a node,
// decides, sends the release, has `neuralupgrade apply` put it on trial with
// --confirm=remote, restarts the node, looks at it from outside, and commits.
// Nodes go in waves, and the first failure is the last wave's.
//
// Nothing that is broken off on the way needs a hand: until the commit, which
// is the last act, a node's boot loader goes back to what it had.
package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

// A Status is what a node says of itself.
type Status struct {
	Boot     string       // the kernel's id of this boot
	Node     string       // its name
	Side     layout.Label // that was booted
	Why      string       // psyopsos.boot=
	Release  string       // its version
	Loader   error        // why the boot loader's state cannot be read
	Default  layout.Label
	Trial    layout.Label
	Floor    string // the highest version that was committed
	Bad      string // the version whose trial failed
	LastFail string
}

// statusLimit bounds what a node may say: boot.json has a few hundred events.
const statusLimit = 4 << 20

// ParseStatus reads what `neuralupgrade status --json` prints.
func ParseStatus(text []byte) (Status, error) {
	if len(text) > statusLimit {
		return Status{}, fmt.Errorf("a status of %d bytes, at most %d", len(text), statusLimit)
	}
	var j struct {
		Side   layout.Label `json:"side"`
		Why    string       `json:"why"`
		Facts  map[string]any
		Loader *struct {
			Error   string       `json:"error"`
			Default layout.Label `json:"default"`
			Trial   layout.Label `json:"trial"`
			Floor   string       `json:"floor"`
			Bad     string       `json:"bad"`
			Failed  string       `json:"last_failure"`
		} `json:"loader"`
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return Status{}, fmt.Errorf("the node's status is not in our form: %w", err)
	}
	s := Status{Side: j.Side, Why: j.Why}
	s.Release, _ = j.Facts["release"].(string)
	s.Node, _ = j.Facts["nodename"].(string)
	switch {
	case j.Loader == nil:
		s.Loader = errors.New("the node's neuralupgrade tells nothing of it")
	case j.Loader.Error != "":
		s.Loader = errors.New(j.Loader.Error)
	default:
		s.Default, s.Trial, s.Floor, s.Bad, s.LastFail = j.Loader.Default, j.Loader.Trial, j.Loader.Floor, j.Loader.Bad, j.Loader.Failed
	}
	return s, nil
}

// onTrial says whether what runs is a trial that nobody has committed.
func (s Status) onTrial() bool {
	return bootstate.Why(s.Why).IsTrial() && s.Trial == s.Side && s.Default != s.Side
}

func (s Status) String() string {
	if s.Side == "" {
		return "root= of the command line"
	}
	return strings.TrimSpace(string(s.Side) + " " + s.Release)
}
