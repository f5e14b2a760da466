package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"psyopsOS/secret"
)

// A Record is what the store holds of one node: what was asked for, and the
// files of its psyops-secret volume. A record without a nodename file is a
// peer: somebody in the psynet that is no node of ours, such as a laptop.
type Record struct {
	Request
	Created time.Time
	Files   map[string]secret.Private
}

// IsNode reports whether the record is a node and no mere peer.
func (r Record) IsNode() bool { _, ok := r.Files[secret.NodenameFile]; return ok }

const recordVersion = 1

type recordJSON struct {
	Version int               `json:"version"`
	Name    string            `json:"name"`
	Psynet  netip.Prefix      `json:"psynetip"`
	Groups  []string          `json:"groups,omitempty"`
	MAC     string            `json:"mac,omitempty"`
	Host    string            `json:"hostname,omitempty"`
	Flavor  string            `json:"flavor_text,omitempty"`
	Serial  string            `json:"serial,omitempty"`
	Created time.Time         `json:"created"`
	Files   map[string][]byte `json:"files"`
}

// Render is the record for the store, in one line: several secret stores take
// the first line of an entry for the secret.
func (r Record) Render() (secret.Private, error) {
	j := recordJSON{recordVersion, r.Name, r.Psynet, r.Groups, r.MAC, r.Hostname, r.Flavor, r.Serial, r.Created, map[string][]byte{}}
	for name, content := range r.Files {
		j.Files[name] = content.Reveal()
	}
	text, err := json.Marshal(j)
	if err != nil {
		return secret.Private{}, fmt.Errorf("render the record of %s: %w", r.Name, err)
	}
	return secret.Hide(append(text, '\n')), nil
}

// ParseRecord reads what Render wrote. Its errors show nothing of the content.
func ParseRecord(p secret.Private) (Record, error) {
	text := p.Reveal()
	if len(text) > 2*secret.TotalLimit {
		return Record{}, fmt.Errorf("a node's record of %d bytes, at most %d", len(text), 2*secret.TotalLimit)
	}
	var j recordJSON
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return Record{}, fmt.Errorf("a node's record is not in our form")
	}
	if j.Version != recordVersion {
		return Record{}, fmt.Errorf("a node's record of version %d, want %d", j.Version, recordVersion)
	}
	r := Record{Request: Request{j.Name, j.Psynet, j.Groups, j.MAC, j.Host, j.Flavor, j.Serial}, Created: j.Created, Files: map[string]secret.Private{}}
	if err := CheckName(r.Name); err != nil {
		return Record{}, err
	}
	for name, content := range j.Files {
		if err := CheckName(name); err != nil {
			return Record{}, fmt.Errorf("a file in the record of %s: %w", r.Name, err)
		}
		r.Files[name] = secret.Hide(content)
	}
	return r, nil
}
