package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"psyopsOS/secret"
	"psyopsOS/step"
)

// A Store keeps secrets by name: entries such as nodes/demo in folders.
type Store interface {
	// List names the entries of a folder, sorted; none where there is no such
	// folder.
	List(ctx context.Context, folder string) ([]string, error)
	Get(ctx context.Context, entry string) (secret.Private, error)
	Put(ctx context.Context, entry string, value secret.Private) error
	Delete(ctx context.Context, entry string) error
	// Lock keeps others from changing the store until it is unlocked, where
	// the store can.
	Lock() (unlock func() error, err error)
	String() string
}

const (
	nodesFolder  = "nodes"
	psynetFolder = "psynet"
	caEntry      = "ca"
)

// A Registry is a store of nodes and their psynet's CA.
type Registry struct{ Store Store }

// An AbsentError is a name that the store does not have.
type AbsentError struct {
	What  string
	Store string
	Have  []string
}

func (e *AbsentError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("no %s in %s", e.What, e.Store)
	}
	return fmt.Sprintf("no %s in %s; there are %v", e.What, e.Store, e.Have)
}

// Is makes an AbsentError fs.ErrNotExist.
func (e *AbsentError) Is(target error) bool { return target == fs.ErrNotExist }

// Names lists the nodes and peers.
func (g Registry) Names(ctx context.Context) ([]string, error) { return g.Store.List(ctx, nodesFolder) }

// Node is the node or peer of that name.
func (g Registry) Node(ctx context.Context, name string) (Record, error) {
	if err := CheckName(name); err != nil {
		return Record{}, err
	}
	names, err := g.Names(ctx)
	if err != nil {
		return Record{}, err
	}
	if !slices.Contains(names, name) {
		return Record{}, &AbsentError{"node " + name, g.Store.String(), names}
	}
	value, err := g.Store.Get(ctx, nodesFolder+"/"+name)
	if err != nil {
		return Record{}, err
	}
	r, err := ParseRecord(value)
	if err == nil && r.Name != name {
		err = fmt.Errorf("it is the record of %s", r.Name)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%s of %s: %w", nodesFolder+"/"+name, g.Store, err)
	}
	return r, nil
}

// Nodes are all of them.
func (g Registry) Nodes(ctx context.Context) ([]Record, error) {
	names, err := g.Names(ctx)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, name := range names {
		r, err := g.Node(ctx, name)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Add puts a record into the store, when nobody there has its name or
// addresses; make is called once that is known. Nobody else adds meanwhile.
func (g Registry) Add(ctx context.Context, r Request, force bool, make func() (Record, error)) (added Record, err error) {
	if r, err = r.Checked(); err != nil {
		return Record{}, err
	}
	unlock, err := g.Store.Lock()
	if err != nil {
		return Record{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	others, err := g.Nodes(ctx)
	if err != nil {
		return Record{}, err
	}
	if err := r.Check(others, force); err != nil {
		return Record{}, err
	}
	if added, err = make(); err != nil {
		return Record{}, err
	}
	return added, g.Put(ctx, added)
}

// Put writes a record over the one of its name.
func (g Registry) Put(ctx context.Context, r Record) error {
	value, err := r.Render()
	if err != nil {
		return err
	}
	return g.Store.Put(ctx, nodesFolder+"/"+r.Name, value)
}

// Delete forgets a node or peer.
func (g Registry) Delete(ctx context.Context, name string) error {
	names, err := g.Names(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return &AbsentError{"node " + name, g.Store.String(), names}
	}
	return g.Store.Delete(ctx, nodesFolder+"/"+name)
}

type caJSON struct {
	Version     int    `json:"version"`
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// CA is the psynet's.
func (g Registry) CA(ctx context.Context) (CA, error) {
	names, err := g.Store.List(ctx, psynetFolder)
	if err != nil {
		return CA{}, err
	}
	if !slices.Contains(names, caEntry) {
		return CA{}, step.WithHint(&AbsentError{"psynet CA", g.Store.String(), nil}, "`tk psynet ca NAME` makes one, `tk psynet set ca` brings one that exists")
	}
	value, err := g.Store.Get(ctx, psynetFolder+"/"+caEntry)
	if err != nil {
		return CA{}, err
	}
	var j caJSON
	if err := json.Unmarshal(value.Reveal(), &j); err != nil || j.Version != recordVersion {
		return CA{}, fmt.Errorf("the psynet CA in %s is not in our form", g.Store)
	}
	return CA{j.Certificate, secret.Hide(j.Key)}, nil
}

// PutCA keeps the psynet's CA. One that is there is kept without force: with
// it, all the certificates that it signed stop being believed.
func (g Registry) PutCA(ctx context.Context, ca CA, force bool) (err error) {
	if err := ca.Check(); err != nil {
		return err
	}
	unlock, err := g.Store.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	names, err := g.Store.List(ctx, psynetFolder)
	if err != nil {
		return err
	}
	if slices.Contains(names, caEntry) && !force {
		return step.WithHint(&TakenError{What: "a psynet CA"}, "--force replaces it; every node needs a new certificate then")
	}
	text, err := json.Marshal(caJSON{recordVersion, ca.Certificate, ca.Key.Reveal()})
	if err != nil {
		return err
	}
	return g.Store.Put(ctx, psynetFolder+"/"+caEntry, secret.Hide(append(text, '\n')))
}

// SetCertificate gives a node another certificate, and another key where key
// is not empty, when the CA signed it for the node's name and address.
func (g Registry) SetCertificate(ctx context.Context, name string, certificate []byte, key secret.Private, now time.Time) error {
	r, err := g.Node(ctx, name)
	if err != nil {
		return err
	}
	ca, err := g.CA(ctx)
	if err != nil {
		return err
	}
	c, err := ReadCertificate(certificate)
	if err != nil {
		return err
	}
	if c.Name != name || !slices.Equal(c.Networks, []netip.Prefix{r.Psynet}) {
		return fmt.Errorf("the certificate is for %s at %v, but the node is %s at %s", c.Name, c.Networks, name, r.Psynet)
	}
	if len(key.Reveal()) == 0 {
		key = r.Files[secret.PsynetKey]
	}
	if err := ca.VerifyCertificate(certificate, key, now); err != nil {
		return err
	}
	r.Groups = c.Groups
	r.Files[secret.PsynetCert] = secret.Hide(certificate)
	r.Files[secret.PsynetCA] = secret.Hide(ca.Certificate)
	if len(key.Reveal()) > 0 {
		r.Files[secret.PsynetKey] = key
	}
	return g.Put(ctx, r)
}
