package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"psyopsOS/deaddrop"
	"psyopsOS/step"
)

func deaddropCommand() command {
	return command{
		name: "deaddrop", args: "COMMAND",
		short:   "the repository that nodes update from: a folder here and its mirror, a bucket",
		example: "tk deaddrop push --bucket s3://updates.example",
		subs: []command{deaddropPush(), deaddropForcepush(), deaddropForcepull(), deaddropStatus(),
			deaddropList(), deaddropPrune(), deaddropServe()},
	}
}

const bucketHelp = `
The bucket is --bucket or PSYOPSOS_DEADDROP: s3://NAME or s3://NAME/PREFIX.
Endpoint, region and credentials are where AWS's own tools look for them:
AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_PROFILE, ~/.aws/config and ~/.aws/credentials. Any S3-compatible server will
do; nodes read it through its website endpoint, which answers redirects.`

// deaddropFlags are what the sub-commands have in common.
type deaddropFlags struct {
	wordsAndFlags
	dir      string
	settings deaddrop.Settings
	dryRun   bool
	tell     *telling
}

func newDeaddropFlags(e env, c command, about string) *deaddropFlags {
	c.name = "deaddrop " + c.name
	f := &deaddropFlags{wordsAndFlags: newFlags(e, c, about)}
	f.text(&f.dir, "deaddrop.dir")
	return f
}

// addBucket adds what says which bucket.
func (f *deaddropFlags) addBucket() {
	f.text(&f.settings.Bucket, "deaddrop.bucket")
	f.text(&f.settings.Endpoint, "deaddrop.endpoint")
	f.text(&f.settings.Region, "deaddrop.region")
	f.text(&f.settings.Profile, "deaddrop.profile")
	f.number(&f.settings.Parallel, "deaddrop.parallel")
}

// addRun adds how something is done.
func (f *deaddropFlags) addRun() {
	f.BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.tell = f.telling()
}

func (f *deaddropFlags) openBucket() (*deaddrop.Bucket, error) {
	settings, err := f.settings.Complete(os.Getenv)
	if err != nil {
		return nil, err
	}
	return deaddrop.OpenBucket(settings)
}

// carryOut shows a plan and does it.
func (f *deaddropFlags) carryOut(ctx context.Context, e env, r *step.Runner, plan deaddrop.Plan, steps []step.Step) error {
	switch {
	case f.tell.json: // at the end
	case f.dryRun || f.tell.verbose:
		fmt.Fprint(e.stdout, plan)
	case !f.tell.quiet:
		for _, link := range plan.Stay {
			fmt.Fprintf(e.stdout, "%s stays: it leads to %s, which is newer than the folder's\n", link.Key, link.Link)
		}
	}
	if !f.dryRun {
		if err := r.Run(ctx, steps...); err != nil {
			return err
		}
	}
	switch {
	case f.tell.json:
		return tellPlan(e.stdout, plan, !f.dryRun)
	case !f.dryRun && !f.tell.verbose && !f.tell.quiet:
		fmt.Fprintf(e.stdout, "%d brought, %d removed, %d were the same\n", len(plan.Bring), len(plan.Remove), plan.Same)
	}
	return nil
}

// tellPlan is for machines: what was done, or with --dry-run would be.
func tellPlan(w io.Writer, plan deaddrop.Plan, done bool) error {
	some := func(all []deaddrop.Entry) []deaddrop.Entry { return append([]deaddrop.Entry{}, all...) }
	return writeJSON(w, struct {
		Done   bool             `json:"done"`
		Bring  []deaddrop.Entry `json:"bring"`
		Remove []deaddrop.Entry `json:"remove"`
		Stay   []deaddrop.Entry `json:"stay"`
		Same   int              `json:"same"`
	}{done, some(plan.Bring), some(plan.Remove), some(plan.Stay), plan.Same})
}

func deaddropPush() command {
	c := command{
		name: "push", args: "[--dir DIR] [--bucket B] [--dry-run] [--json]",
		short:   "send to the bucket what it lacks; remove nothing, and change no published release",
		example: "tk deaddrop push --bucket s3://updates.example",
	}
	return c.mirroring(true, false, `
Tars are sent first, then signatures, then the links (latest): whenever it is
broken off, a node that asks for latest finds a release that is complete. What
is in the bucket already is not sent again; a large file goes on where it was.
A latest that leads to a newer release than the folder's stays: somebody else
has published meanwhile. forcepush goes back.
`+bucketHelp)
}

func deaddropForcepush() command {
	c := command{
		name: "forcepush", args: "[--dir DIR] [--bucket B] [--unlink] [--dry-run] [--json]",
		short:   "make the bucket like the folder: send what it lacks, then remove what is not here",
		example: "tk deaddrop forcepush --dry-run",
	}
	return c.mirroring(true, true, `
As push does, and at the end what the folder does not have is removed from the
bucket, but never what a link there names at that moment.
`+bucketHelp)
}

func deaddropForcepull() command {
	c := command{
		name: "forcepull", args: "[--dir DIR] [--bucket B] [--unlink] [--dry-run] [--json]",
		short:   "make the folder like the bucket: fetch what it lacks, then remove what is not there",
		example: "tk deaddrop forcepull --dir /srv/deaddrop",
	}
	return c.mirroring(false, true, `
What arrives is compared with the SHA-256 in its metadata before it gets its
name. Objects whose key would lead out of the folder are refused. Signatures are
not verified here: nodes do that, and `+"`tk signify verify`"+`.
`+bucketHelp)
}

// mirroring gives c what makes one side like the other.
func (c command) mirroring(pushing, replace bool, about string) command {
	c.run = func(ctx context.Context, e env, args []string) error {
		f := newDeaddropFlags(e, c, about)
		f.addBucket()
		f.addRun()
		request := deaddrop.Request{Replace: replace}
		if replace {
			f.BoolVar(&request.Unlink, "unlink", false, "remove even links (latest) that the model lacks")
		}
		if _, err := f.parse(e, args, 0, 0); err != nil {
			return helped(err)
		}
		return f.mirror(ctx, e, pushing, request)
	}
	return c
}

func (f *deaddropFlags) mirror(ctx context.Context, e env, pushing bool, request deaddrop.Request) error {
	pair, err := f.openPair(pushing)
	if err != nil {
		return err
	}
	defer pair.Folder.Close()
	r, done := f.tell.runner(e)
	defer done()
	local, remote, err := f.compare(ctx, r, pair, pushing)
	if err != nil {
		return err
	}
	from, to := remote, local
	carry := pair.Pull
	if pushing {
		from, to, carry = local, remote, pair.Push
	}
	plan, err := deaddrop.NewPlan(from, to, request)
	if err != nil {
		return err
	}
	return f.carryOut(ctx, e, r, plan, carry(plan))
}

func (f *deaddropFlags) openPair(pushing bool) (pair deaddrop.Pair, err error) {
	if pair.Bucket, err = f.openBucket(); err != nil {
		return pair, err
	}
	if pushing {
		pair.Folder, err = deaddrop.OpenFolder(f.dir)
	} else {
		pair.Folder, err = deaddrop.MakeFolder(f.dir)
	}
	return pair, err
}

func (f *deaddropFlags) compare(ctx context.Context, r *step.Runner, pair deaddrop.Pair, pushing bool) (local, remote deaddrop.Listing, err error) {
	err = r.Run(ctx, step.Step{Name: "compare folder and bucket", Do: func(ctx context.Context, r *step.Reporter) (err error) {
		local, remote, err = pair.Compare(ctx, pushing, r.Progress)
		return err
	}})
	// The step's name adds nothing to what the error says.
	var failed *step.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return local, remote, err
}
