package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"psyopsOS/node"
)

func nodeList() command {
	return command{
		name: "list", args: "[--json]",
		short:   "list the nodes and peers in the store, by name",
		example: "tk node list",
	}.with("node", listNodes)
}

func listNodes(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, "Shows nothing that is secret.\n"+storeHelp)
	store := addStoreFlags(flags)
	asJSON := flags.Bool("json", false, "as a line of JSON for each")
	if _, err := flags.parse(e, args, 0, 0); err != nil {
		return err
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	records, err := registry.Nodes(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	if !*asJSON {
		fmt.Fprintln(table, "NAME\tPSYNET\tGROUPS\tMAC\tCERTIFICATE\tABOUT")
	}
	for _, r := range records {
		p, err := r.Public()
		if err != nil {
			return err
		}
		if *asJSON {
			err = json.NewEncoder(e.stdout).Encode(p)
		} else {
			_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Psynet, dash(strings.Join(p.Groups, ",")), dash(p.MAC), until(p.Psy.Expires, time.Now()), about(p))
		}
		if err != nil {
			return err
		}
	}
	return table.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// until says when a certificate ends, and warns of those that have.
func until(t, now time.Time) string {
	if now.After(t) {
		return "ENDED " + t.Format(time.DateOnly)
	}
	return "until " + t.Format(time.DateOnly)
}

func about(p node.Public) string {
	if p.Peer {
		return strings.TrimSpace("(peer) " + p.Flavor)
	}
	return dash(p.Flavor)
}

func nodeShow() command {
	return command{
		name: "show", args: "NAME [--json | --known-hosts]",
		short:   "show what everybody may know of a node",
		example: "tk node show web1 --known-hosts >> ~/.ssh/known_hosts",
	}.with("node", showNode)
}

func showNode(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, "Shows nothing that is secret: `tk node save` writes the keys.\n"+storeHelp)
	store := addStoreFlags(flags)
	asJSON := flags.Bool("json", false, "as JSON")
	known := flags.Bool("known-hosts", false, "its line for ~/.ssh/known_hosts alone")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	if *asJSON && *known {
		return usagef("--json and --known-hosts: one of them is enough")
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	record, err := registry.Node(ctx, words[0])
	if err != nil {
		return err
	}
	p, err := record.Public()
	if err != nil {
		return err
	}
	switch {
	case *asJSON:
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", " ")
		return encoder.Encode(p)
	case *known && p.Peer:
		return fmt.Errorf("%s is a peer of the psynet and no node: its ssh host key is not known", p.Name)
	case *known:
		_, err := fmt.Fprintln(e.stdout, p.KnownHosts)
		return err
	}
	return showPublic(e.stdout, p)
}

func showPublic(w io.Writer, p node.Public) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"name", p.Name}, {"hostname", p.Hostname}, {"about", p.Flavor}, {"serial", p.Serial}, {"made", p.Created.Format(time.RFC3339)},
		{"psynet address", p.Psynet}, {"psynet groups", strings.Join(p.Groups, ",")}, {"MAC address of psy0", p.MAC},
		{"psynet certificate", until(p.Psy.Expires, time.Now()) + ", " + p.Psy.Fingerprint},
		{"age recipient", p.Recipient}, {"ssh host key", p.SSHKey}, {"known_hosts", p.KnownHosts},
	} {
		if line[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
		}
	}
	return table.Flush()
}
