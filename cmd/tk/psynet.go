package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"psyopsOS/node"
	"psyopsOS/secret"
)

func psynetCommand() command {
	return command{
		name: "psynet", args: "COMMAND",
		short:   "the CA of the nodes' own network (Nebula), and its certificates",
		example: "tk psynet ca 'our site' --networks 10.77.0.0/16",
		subs:    []command{psynetCA(), psynetSign(), psynetGet(), psynetSet(), psynetRun()},
	}
}

func psynetCA() command {
	return command{
		name: "ca", args: "NAME [--networks CIDR,…] [--groups A,B] [--years N] [--force]",
		short:   "make the psynet's CA and put it into the store",
		example: "tk psynet ca 'our site' --networks 10.77.0.0/16",
	}.with("psynet", makeCA)
}

func makeCA(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
A CA that is bound to networks or groups cannot sign for others, whoever has its
key. Its key never leaves the store but by `+"`tk psynet get ca --out-key`"+`.
Certificates are Nebula's of version 1, which every Nebula reads.
`+storeHelp)
	store := addStoreFlags(flags)
	networksText := flags.String("networks", "", "sign for addresses in these `networks` only, with commas between them")
	groupsText := flags.String("groups", "", "sign for these `groups` only, with commas between them")
	years := flags.Int("years", 10, "how long it lasts, in `years`")
	force := flags.Bool("force", false, "replace the CA that is there; every node needs a new certificate then")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	networks, err := parseNetworks(*networksText)
	if err != nil {
		return usageError{err}
	}
	groups, err := node.ParseGroups(*groupsText)
	if err != nil {
		return usageError{err}
	}
	if *years < 1 || *years > 100 {
		return usagef("--years %d: want 1 to 100", *years)
	}
	if name := words[0]; strings.TrimSpace(name) != name || name == "" || len(name) > 253 {
		return usagef("the name %q: want 1 to 253 bytes, without blanks around them", name)
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	if err := prepare(e, registry); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	ca, err := node.NewCA(words[0], networks, groups, now, now.AddDate(*years, 0, 0).Sub(now), rand.Reader)
	if err != nil {
		return err
	}
	if err := registry.PutCA(ctx, ca, *force); err != nil {
		return err
	}
	return tellCertificate(e, ca.Certificate)
}

func parseNetworks(text string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		p, err := netip.ParsePrefix(word)
		if err != nil || !p.Addr().Is4() || p != p.Masked() {
			return nil, fmt.Errorf("network %q: want an IPv4 network, e.g. 10.77.0.0/16", word)
		}
		networks = append(networks, p)
	}
	return networks, nil
}

func tellCertificate(e env, text []byte) error {
	c, err := node.ReadCertificate(text)
	if err != nil {
		return err
	}
	kind := "certificate"
	if c.IsCA {
		kind = "CA"
	}
	_, err = fmt.Fprintf(e.stdout, "%s %q, %s, fingerprint %s\n", kind, c.Name, until(c.Expires, time.Now()), c.Fingerprint)
	return err
}

func psynetGet() command {
	return command{
		name: "get", args: "ca|NAME [--out-crt F] [--out-key F] [--force]",
		short:   "print a certificate, or write it and its key to files",
		example: "tk psynet get ca > ca.crt",
	}.with("psynet", getPsynet)
}

func getPsynet(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
The certificate goes to stdout where no file is named. The key goes to a file of
mode 0600, and nowhere else. `+"`ca`"+` is the CA: every member of the psynet
needs its certificate.
`+storeHelp)
	store := addStoreFlags(flags)
	outCert := flags.String("out-crt", "", "write the certificate to this `file`")
	outKey := flags.String("out-key", "", "write the key to this `file`, mode 0600")
	force := flags.Bool("force", false, "write over files that are there")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	certificate, key, err := halves(ctx, registry, words[0])
	if err != nil {
		return err
	}
	if *outKey != "" {
		if len(key.Reveal()) == 0 {
			return fmt.Errorf("the store has no psynet key of %s", words[0])
		}
		if err := node.WriteFile(*outKey, key, *force); err != nil {
			return err
		}
	}
	return giveCertificate(e, certificate, *outCert, *outKey, *force)
}

// giveCertificate writes a certificate where it was asked for.
func giveCertificate(e env, certificate []byte, outCert, outKey string, force bool) error {
	switch {
	case outCert == "" && outKey != "":
		return nil
	case outCert == "":
		_, err := e.stdout.Write(certificate)
		return err
	case !force:
		if _, err := os.Lstat(outCert); err == nil {
			return fmt.Errorf("%s is there already", outCert)
		}
	}
	return writeWhole(outCert, certificate, 0o644)
}

func halves(ctx context.Context, g node.Registry, name string) ([]byte, secret.Private, error) {
	if name == "ca" {
		ca, err := g.CA(ctx)
		return ca.Certificate, ca.Key, err
	}
	r, err := g.Node(ctx, name)
	return r.Files[secret.PsynetCert].Reveal(), r.Files[secret.PsynetKey], err
}

func psynetSet() command {
	return command{
		name: "set", args: "ca|NAME --crt F [--key F] [--force]",
		short:   "bring a CA, or a node's certificate, that exists already",
		example: "tk psynet set ca --crt ca.crt --key ca.key",
	}.with("psynet", setPsynet)
}

func setPsynet(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
For a psynet that was there before: nebula-cert's files go into the store as
they are, when certificate and key are a pair and, for a node, the CA in the
store signed it for the node's name and address.
`+storeHelp)
	store := addStoreFlags(flags)
	certFile := flags.String("crt", "", "the certificate's `file`")
	keyFile := flags.String("key", "", "the key's `file`; a node keeps the one that it has where none is given")
	force := flags.Bool("force", false, "replace the CA that is there")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	if *certFile == "" || words[0] == "ca" && *keyFile == "" {
		return usagef("want --crt, and --key too for the CA")
	}
	certificate, err := readBounded(*certFile, 64<<10)
	if err != nil {
		return err
	}
	var key secret.Private
	if *keyFile != "" {
		text, err := readBounded(*keyFile, 64<<10)
		if err != nil {
			return err
		}
		key = secret.Hide(text)
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	if words[0] == "ca" {
		ca := node.CA{Certificate: certificate, Key: key}
		if err := errors.Join(ca.Check(), prepare(e, registry)); err != nil {
			return err
		}
		if err := registry.PutCA(ctx, ca, *force); err != nil {
			return err
		}
	} else if err := registry.SetCertificate(ctx, words[0], certificate, key, time.Now()); err != nil {
		return err
	}
	return tellCertificate(e, certificate)
}
