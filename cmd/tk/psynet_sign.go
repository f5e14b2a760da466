package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"psyopsOS/node"
	"psyopsOS/secret"
)

func psynetSign() command {
	return command{
		name: "sign", args: "NAME [--psynetip CIDR [--psynet-groups A,B] --in-pub F | --out-key F] [--out-crt F] [--days N]",
		short:   "renew a node's certificate, or sign one for a peer that is no node",
		example: "tk psynet sign laptop --psynetip 10.77.0.200/24 --in-pub laptop.pub --out-crt laptop.crt",
	}.with("psynet", signPsynet)
}

func signPsynet(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
For a node in the store: a new certificate for the key, address and groups that
it has; it goes onto the node's psyops-secret volume as the first one did.
For anybody else, such as a laptop or a phone: a certificate for the public key
that `+"`nebula-cert keygen`"+` made there (--in-pub), or a new key (--out-key).
Peers are in the store by name, so that nobody gets their addresses; their keys
are not.
`+storeHelp)
	store := addStoreFlags(flags)
	psynet := flags.String("psynetip", "", "a peer's address in the psynet with the network's length, as `CIDR`")
	groupsText := flags.String("psynet-groups", "", "a peer's `groups`, with commas between them")
	inPub := flags.String("in-pub", "", "the `file` with a peer's public key")
	outKey := flags.String("out-key", "", "make a key for a peer and write it to this `file`, mode 0600")
	outCert := flags.String("out-crt", "", "write the certificate to this `file`; default: stdout, for a peer")
	days := flags.Int("days", 0, "how long it lasts, in `days`; default: until just before the CA ends")
	force := flags.Bool("force", false, "write over files that are there; sign anew for a peer in the store")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	if *days < 0 {
		return usagef("--days %d", *days)
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	ca, err := registry.CA(ctx)
	if err != nil {
		return err
	}
	lasts := time.Duration(*days) * 24 * time.Hour
	record, err := registry.Node(ctx, words[0])
	if err == nil && record.IsNode() {
		if *psynet+*groupsText+*inPub+*outKey != "" {
			return usagef("%s is a node: its address, groups and key stay; `tk node new --force` makes it anew", words[0])
		}
		return renew(ctx, e, registry, record, ca, lasts, *outCert, *force)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if *psynet == "" {
		return usagef("no node %s in %s, and no --psynetip for a peer", words[0], registry.Store)
	}
	if (*inPub == "") == (*outKey == "") {
		return usagef("a peer: want its public key with --in-pub, or --out-key for a new one")
	}
	p := peer{registry: registry, ca: ca, inPub: *inPub, outKey: *outKey, outCert: *outCert, lasts: lasts, force: *force}
	p.request.Name = words[0]
	if p.request.Psynet, err = node.ParsePsynet(*psynet); err != nil {
		return usageError{err}
	}
	if p.request.Groups, err = node.ParseGroups(*groupsText); err != nil {
		return usageError{err}
	}
	return p.sign(ctx, e)
}

func renew(ctx context.Context, e env, registry node.Registry, record node.Record, ca node.CA, lasts time.Duration, outCert string, force bool) error {
	record, err := record.Renewed(ca, time.Now(), lasts)
	if err != nil {
		return err
	}
	if err := registry.Put(ctx, record); err != nil {
		return err
	}
	certificate := record.Files[secret.PsynetCert].Reveal()
	if outCert != "" {
		if err := giveCertificate(e, certificate, outCert, "", force); err != nil {
			return err
		}
	}
	return tellCertificate(e, certificate)
}

// A peer is somebody in the psynet who is no node of ours.
type peer struct {
	registry               node.Registry
	ca                     node.CA
	request                node.Request
	inPub, outKey, outCert string
	lasts                  time.Duration
	force                  bool
}

func (p peer) sign(ctx context.Context, e env) error {
	public, private, err := p.keys()
	if err != nil {
		return err
	}
	record, err := p.registry.Add(ctx, p.request, p.force, func() (node.Record, error) {
		certificate, err := p.ca.Sign(p.request.Name, p.request.Psynet, p.request.Groups, public, time.Now(), p.lasts)
		if err != nil {
			return node.Record{}, err
		}
		return node.Record{Request: p.request, Created: time.Now().UTC().Truncate(time.Second),
			Files: map[string]secret.Private{secret.PsynetCert: secret.Hide(certificate)}}, nil
	})
	if err != nil {
		return err
	}
	if p.outKey != "" {
		if err := node.WriteFile(p.outKey, private, p.force); err != nil {
			return fmt.Errorf("%s is in the store, but its key is lost: %w", p.request.Name, err)
		}
	}
	return giveCertificate(e, record.Files[secret.PsynetCert].Reveal(), p.outCert, "", p.force)
}

func (p peer) keys() (public []byte, private secret.Private, err error) {
	if !p.force {
		for _, name := range []string{p.outKey, p.outCert} {
			if _, err := os.Lstat(name); name != "" && err == nil {
				return nil, private, fmt.Errorf("%s is there already", name)
			}
		}
	}
	if p.inPub == "" {
		return node.NewPsynetKey(rand.Reader)
	}
	public, err = readBounded(p.inPub, 4<<10)
	return public, private, err
}
