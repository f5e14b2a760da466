package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"psyopsOS/node"
)

func nodeNew() command {
	return command{
		name:    "new",
		args:    "NAME --psynetip CIDR [--psynet-groups A,B] [--mac-address M] [--hostname H] [--flavor-text T] [--serial S] [--outdir D | --outtar F | --outscript F] [--force]",
		short:   "make a node's secrets and put them into the store",
		example: "tk node new web1 --psynetip 10.77.0.5/24 --psynet-groups web --mac-address 52:54:00:12:34:56 --outdir web1",
	}.with("node", newNode)
}

func newNode(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
Makes the node's name, age key, ssh host key, psynet key and certificate and,
with --mac-address, a mactab that calls that card psy0 and DHCP on it; without,
the first wired card gets DHCP. Prints the line for known_hosts. The same files
go onto the psyops-secret volume of the node: with `+"`tk node image`"+`,
`+"`tk node secret-volume`"+` or `+"`tk mkimage --node-secrets NAME`"+`.
The psynet's CA must be in the store: `+"`tk psynet ca NAME`"+`.
`+storeHelp)
	store, out := addStoreFlags(flags), addOutFlags(flags)
	var r node.Request
	psynet := flags.String("psynetip", "", "its address in the psynet with the network's length, as `CIDR`")
	groups := flags.String("psynet-groups", "", "the `groups` of its psynet certificate, with commas between them")
	flags.StringVar(&r.MAC, "mac-address", "", "the `address` of the card that becomes psy0")
	flags.StringVar(&r.Hostname, "hostname", "", "the `name` by which it is reached, where that is not NAME")
	flags.StringVar(&r.Flavor, "flavor-text", "", "what there is to say of it, one line of `text`")
	flags.StringVar(&r.Serial, "serial", "", "the machine's serial `number`")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	r.Name = words[0]
	if *psynet == "" {
		return usagef("no --psynetip")
	}
	if r.Psynet, err = node.ParsePsynet(*psynet); err != nil {
		return usageError{err}
	}
	if r.Groups, err = node.ParseGroups(*groups); err != nil {
		return usageError{err}
	}
	if r, err = r.Checked(); err != nil {
		return usageError{err}
	}
	if err := out.check(); err != nil {
		return err
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	ca, err := registry.CA(ctx)
	if err != nil {
		return err
	}
	record, err := registry.Add(ctx, r, *out.force, func() (node.Record, error) { return node.Make(r, ca, time.Now(), rand.Reader) })
	if err != nil {
		return err
	}
	if err := out.write(e, record); err != nil {
		return fmt.Errorf("%s is in the store, but: %w", record.Name, err)
	}
	public, err := record.Public()
	if err == nil {
		fmt.Fprintln(e.stdout, public.KnownHosts)
	}
	return err
}
