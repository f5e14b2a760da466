package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"psyopsOS/deaddrop"
	"psyopsOS/step"
)

func deaddropStatus() command {
	c := command{
		name: "status", args: "[--dir DIR] [--bucket B] [--json]",
		short:   "say in what folder and bucket differ",
		example: "tk deaddrop status",
	}
	c.run = func(ctx context.Context, e env, args []string) error {
		f := newDeaddropFlags(e, c, "It reads both sides, and the whole of those files that may be the same.\n"+bucketHelp)
		f.addBucket()
		f.addRun()
		if _, err := f.parse(e, args, 0, 0); err != nil {
			return helped(err)
		}
		pair, err := f.openPair(true)
		if err != nil {
			return err
		}
		defer pair.Folder.Close()
		r, done := f.tell.runner(e)
		defer done()
		local, remote, err := f.compare(ctx, r, pair, true)
		if err != nil {
			return err
		}
		different, same := deaddrop.Differ(local, remote)
		if f.tell.json {
			return writeJSON(e.stdout, struct {
				Same      int                   `json:"same"`
				Different []deaddrop.Difference `json:"different"`
			}{same, append([]deaddrop.Difference{}, different...)})
		}
		for _, d := range different {
			fmt.Fprintln(e.stdout, d)
		}
		_, err = fmt.Fprintf(e.stdout, "%d the same, %d not\n", same, len(different))
		return err
	}
	return c
}

func deaddropList() command {
	c := command{
		name: "ls", args: "[--dir DIR | --remote [--bucket B]] [--json]",
		short:   "list the folder, or with --remote the bucket",
		example: "tk deaddrop ls --remote",
	}
	c.run = func(ctx context.Context, e env, args []string) error {
		f := newDeaddropFlags(e, c, bucketHelp)
		f.addBucket()
		remote := f.Bool("remote", false, "list the bucket")
		asJSON := f.Bool("json", false, "as a line of JSON for each")
		if _, err := f.parse(e, args, 0, 0); err != nil {
			return helped(err)
		}
		l, done, err := f.list(ctx, *remote)
		if err != nil {
			return err
		}
		defer done()
		lines := json.NewEncoder(e.stdout)
		for _, key := range l.Keys() {
			if *asJSON {
				err = lines.Encode(l[key])
			} else {
				_, err = fmt.Fprintln(e.stdout, l[key])
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// list is what one of the sides holds, with its links.
func (f *deaddropFlags) list(ctx context.Context, remote bool) (l deaddrop.Listing, done func() error, err error) {
	if remote {
		bucket, err := f.openBucket()
		if err != nil {
			return nil, nil, err
		}
		l, err = bucket.Now(ctx)
		return l, func() error { return nil }, err
	}
	folder, err := deaddrop.OpenFolder(f.dir)
	if err != nil {
		return nil, nil, err
	}
	l, err = folder.List()
	return l, folder.Close, err
}

func deaddropPrune() command {
	c := command{
		name: "prune", args: "[--keep N] [--dir DIR | --remote [--bucket B]] [--dry-run] [--json]",
		short:   "remove all but the newest releases from the folder, or with --remote from the bucket",
		example: "tk deaddrop prune --keep 5 --dry-run",
	}
	c.run = func(ctx context.Context, e env, args []string) error {
		f := newDeaddropFlags(e, c, `
Of each kind and platform the newest are kept, and whatever a link (latest)
names. With --remote, uploads of large files that were broken off more than a
week ago are given up too: a server keeps, and may charge for, their parts.
`+bucketHelp)
		f.addBucket()
		f.addRun()
		keep := f.Int("keep", 3, "how `many` releases are kept")
		remote := f.Bool("remote", false, "remove from the bucket")
		if _, err := f.parse(e, args, 0, 0); err != nil {
			return helped(err)
		}
		if *keep < 1 {
			return usagef("--keep %d: at least 1", *keep)
		}
		return f.prune(ctx, e, *keep, *remote)
	}
	return c
}

func (f *deaddropFlags) prune(ctx context.Context, e env, keep int, remote bool) error {
	r, done := f.tell.runner(e)
	defer done()
	if !remote {
		folder, err := deaddrop.OpenFolder(f.dir)
		if err != nil {
			return err
		}
		defer folder.Close()
		l, err := folder.List()
		if err != nil {
			return err
		}
		plan, err := deaddrop.NewPrune(l, keep)
		if err != nil {
			return err
		}
		return f.carryOut(ctx, e, r, plan, folder.Prune(plan))
	}
	bucket, err := f.openBucket()
	if err != nil {
		return err
	}
	l, err := bucket.Now(ctx)
	if err != nil {
		return err
	}
	plan, err := deaddrop.NewPrune(l, keep)
	if err != nil {
		return err
	}
	steps := append(bucket.Prune(plan), bucket.GiveUp(time.Now().Add(-7*24*time.Hour)))
	return f.carryOut(ctx, e, r, plan, steps)
}

func deaddropServe() command {
	c := command{
		name: "serve", args: "[--dir DIR] [--listen ADDRESS]",
		short:   "serve the folder over HTTP, as the bucket's website endpoint would",
		example: "tk deaddrop serve --listen 0.0.0.0:8742",
	}
	c.run = func(ctx context.Context, e env, args []string) error {
		f := newDeaddropFlags(e, c, `
Links are answered with a 301, files with ranges, types and cache headers. A
node updates from http://ADDRESS/os. Only reading is possible. Ctrl-C ends it.`)
		listen := f.String("listen", "127.0.0.1:8742", "the `address` to listen on; 0.0.0.0:8742 is every network, port 0 a free one")
		if _, err := f.parse(e, args, 0, 0); err != nil {
			return helped(err)
		}
		return f.serve(ctx, e, *listen)
	}
	return c
}

func (f *deaddropFlags) serve(ctx context.Context, e env, address string) error {
	folder, err := deaddrop.OpenFolder(f.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return step.WithHint(err, "--listen 127.0.0.1:0 takes a free port")
	}
	fmt.Fprintf(e.stdout, "%s is at http://%s/, its releases at http://%s/%s\n", f.dir, listener.Addr(), listener.Addr(), deaddrop.Releases)
	server := &http.Server{Handler: folder, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() {
		// What is being fetched gets a moment; the second Ctrl-C ends at once.
		soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if server.Shutdown(soon) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
