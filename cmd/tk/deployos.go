package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/deaddrop"
	"psyopsOS/deploy"
	"psyopsOS/node"
	"psyopsOS/release"
	"psyopsOS/repo"
	"psyopsOS/secret"
	"psyopsOS/step"
)

func deploySettings(getenv func(string) string) []settings.Setting {
	key := ""
	if home := getenv("HOME"); home != "" {
		key = filepath.Join(home, ".ssh", "id_ed25519")
	}
	return []settings.Setting{
		{Key: "deploy.user", Default: one("root"), Flag: "ssh-user", Meaning: "the `user` on the nodes; neuralupgrade wants root"},
		{Key: "deploy.key", Kind: settings.Path, Default: one(key), Flag: "ssh-key", Sample: "keys/deploy",
			Meaning: "the private key `file` that logs in to nodes, beside the keys of the ssh agent"},
		{Key: "deploy.wave", Kind: settings.Number, Default: one("1"), Flag: "wave", Check: between(1, 1000),
			Meaning: "how many (`N`) nodes at once; the next wave begins when all of one are committed"},
		{Key: "deploy.check", Flag: "check", Sample: "curl -fsS https://$TK_NODE.example/health",
			Meaning: "the `command` (run by sh here) that looks at a node from outside before the commit: TK_NODE, TK_ADDRESS, TK_VERSION"},
		{Key: "deploy.check-time", Kind: settings.Number, Default: one("60"), Flag: "check-time", Check: between(1, 3600), Meaning: "`seconds` that this command has to succeed in"},
		{Key: "deploy.back", Kind: settings.Number, Default: one("600"), Flag: "back", Check: between(10, 86400), Meaning: "`seconds` within which a node must be back from its restart"},
		{Key: "deploy.tries", Kind: settings.Number, Default: one("1"), Flag: "tries", Check: between(1, 3), Meaning: "how many boots (`N`) the release has on a node before that falls back"},
	}
}

func deployosCommand() command {
	return command{
		name: "deployos", args: "NODE[=ADDRESS[:PORT]]… [--os-tar F | --os-version V] [--from-repository [--node-repository R]] [--wave N] [--check COMMAND] [--dry-run] [--json]",
		short:   "bring a release onto nodes over ssh, look at them from outside, and commit",
		example: "tk deployos web1 web2 web3 --wave 2 --check 'curl -fsS https://$TK_NODE.example/health'",
	}.does(deployos)
}

const deployosHelp = `
For each node: look at it, send the release and its signatures, apply it to the
side that is not booted, restart, wait until it is back with the release on
trial, run --check here, commit. Only that commit, over a new connection, makes
the release stay: whatever goes wrong before it, Ctrl-C included, the node falls
back by itself to what it ran. The same command once more goes on where this one
ended. The nodes of a wave go on when one of them fails; the next wave does not
begin.

NODE is a node of the store, reached by its hostname and then by its psynet
address, or where =ADDRESS says. Its host key must be the store's; ~/.ssh is not
asked. Keys to log in with come from the ssh agent and from --ssh-key.

The release is --os-tar, or --os-version or the newest of the local deaddrop
(tk mkimage ostar-dd). Without --from-repository it is sent, and lies in the
node's memory until it is written; with it the node fetches that version itself,
from the repository that is set there or from --node-repository, straight to
the disk. What happened is printed as a table, with --json as JSON.`

// deployosFlags are what was said on the command line.
type deployosFlags struct {
	tar, version, dir     string
	fromRepository        bool
	repository            string
	user, key, check      string
	wave, checkTime, back int
	tries                 int
	dryRun, force         bool
	allowDowngrade        bool
}

func deployos(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, deployosHelp+"\n"+storeHelp)
	var f deployosFlags
	store := addStoreFlags(flags)
	flags.StringVar(&f.tar, "os-tar", "", "the release's tar `file`, with its signatures beside it")
	flags.StringVar(&f.version, "os-version", "", "the `version` in the local deaddrop, instead of the newest")
	flags.text(&f.dir, "deaddrop.dir")
	flags.BoolVar(&f.fromRepository, "from-repository", false, "nodes fetch the release themselves")
	flags.StringVar(&f.repository, "node-repository", "", "with --from-repository: the `address` that they fetch it from")
	flags.text(&f.user, "deploy.user")
	flags.text(&f.key, "deploy.key")
	flags.number(&f.wave, "deploy.wave")
	flags.text(&f.check, "deploy.check")
	flags.number(&f.checkTime, "deploy.check-time")
	flags.number(&f.back, "deploy.back")
	flags.number(&f.tries, "deploy.tries")
	flags.BoolVar(&f.force, "force", false, "also a release whose trial has failed on a node")
	flags.BoolVar(&f.allowDowngrade, "allow-downgrade", false, "also a release that is older than one that was committed on a node")
	flags.BoolVar(&f.dryRun, "dry-run", false, "look at the nodes, say what would be done, and do nothing")
	tell := flags.telling()
	words, err := flags.parse(e, args, 1, -1)
	if err != nil {
		return err
	}
	if f.repository != "" && !f.fromRepository {
		return usagef("--node-repository is for --from-repository")
	}
	if f.tar != "" && (f.version != "" || f.fromRepository) {
		return usagef("--os-tar is sent as it is: without --os-version and --from-repository")
	}
	registry, err := store.open(e)
	if err != nil {
		return err
	}
	hosts, err := deployHosts(ctx, registry, words)
	if err != nil {
		return err
	}
	options, err := f.options(ctx)
	if err != nil {
		return err
	}
	runner, done := tell.runner(e)
	results := options.Run(ctx, runner, hosts)
	done()
	if tell.json {
		err = writeJSON(e.stdout, results)
	} else {
		err = deploy.Table(e.stdout, results)
	}
	return errors.Join(err, deploy.Err(results))
}

// options are how it is done, with the release.
func (f deployosFlags) options(ctx context.Context) (deploy.Options, error) {
	o := deploy.Options{DryRun: f.dryRun, Wave: f.wave, Back: time.Duration(f.back) * time.Second, Patience: time.Duration(f.checkTime) * time.Second, Pause: 2 * time.Second}
	var err error
	if o.Request, err = f.request(ctx); err != nil {
		return o, err
	}
	if f.check != "" {
		o.Outside = deploy.Command(f.check, os.Environ())
	}
	login := deploy.SSH{User: f.user, Key: f.key, Agent: os.Getenv("SSH_AUTH_SOCK")}
	// The usual key need not be there; one that was named must.
	if _, err := os.Stat(f.key); errors.Is(err, os.ErrNotExist) && strings.HasSuffix(f.key, filepath.Join(".ssh", "id_ed25519")) {
		login.Key = ""
	}
	o.Dial = login.Dial
	return o, nil
}

// request is the release. Its signature is the nodes' to judge: they are the
// ones who know whom they trust.
func (f deployosFlags) request(ctx context.Context) (deploy.Request, error) {
	r := deploy.Request{Tries: f.tries, Force: f.force, AllowDowngrade: f.allowDowngrade}
	if f.fromRepository && f.version != "" {
		if _, err := release.VersionTime(f.version); err != nil {
			return r, usageError{err}
		}
		r.Version, r.Source.Repository = f.version, f.repository
		return r, nil
	}
	found, err := f.release(ctx)
	if err != nil {
		return r, err
	}
	if found.Info.Kind != release.OS {
		return r, fmt.Errorf("%s is a release of type %s, not %s", found.Address, found.Info.Kind, release.OS)
	}
	r.Version = found.Info.Version
	if f.fromRepository {
		r.Source.Repository = f.repository
		return r, nil
	}
	r.Source.Tar = found.TarAddress()
	info, err := os.Stat(r.Source.Tar)
	if err != nil {
		return r, err
	}
	r.Size = info.Size()
	signatures, err := release.ReadSignatures(os.DirFS(filepath.Dir(r.Source.Tar)), filepath.Base(r.Source.Tar)+".minisig")
	for _, s := range signatures {
		r.Source.Signatures = append(r.Source.Signatures, r.Source.Tar+".minisig"+s.Suffix)
	}
	return r, err
}

func (f deployosFlags) release(ctx context.Context) (repo.Release, error) {
	if f.tar != "" {
		return repo.File(ctx, release.Anyone(), f.tar)
	}
	repository, err := repo.Open(filepath.Join(f.dir, deaddrop.Releases), repo.Options{})
	if err != nil {
		return repo.Release{}, err
	}
	found, err := repo.Release{}, error(nil)
	if f.version == "" {
		found, err = repository.Latest(ctx, release.Anyone(), release.OS, "x86_64")
	} else {
		found, err = repository.Version(ctx, release.Anyone(), release.OS, "x86_64", f.version)
	}
	return found, step.WithHint(err, "`tk mkimage ostar-dd` puts a release into the local deaddrop, --os-tar names one elsewhere")
}

// deployHosts are the nodes that were named, each once.
func deployHosts(ctx context.Context, registry node.Registry, words []string) ([]deploy.Host, error) {
	var hosts []deploy.Host
	for _, word := range words {
		name, address, _ := strings.Cut(word, "=")
		if slices.ContainsFunc(hosts, func(h deploy.Host) bool { return h.Name == name }) {
			return nil, usagef("%s is named twice", name)
		}
		record, err := registry.Node(ctx, name)
		if err != nil {
			return nil, step.WithHint(err, "`tk node list` lists the nodes of the store")
		}
		if !record.IsNode() {
			return nil, fmt.Errorf("%s is a peer of the psynet, and no node", name)
		}
		signer, err := ssh.ParsePrivateKey(record.Files[secret.SSHHostKey].Reveal())
		if err != nil {
			return nil, fmt.Errorf("%s: its ssh host key: %w", name, err)
		}
		h := deploy.Host{Name: name, Key: signer.PublicKey(), Addresses: []string{address}}
		if address == "" {
			h.Addresses = []string{firstOf(record.Hostname, name), record.Psynet.Addr().String()}
		}
		for i, a := range h.Addresses {
			if h.Addresses[i], err = withPort(a); err != nil {
				return nil, usageError{err}
			}
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// withPort is an address with ssh's port where it has none.
func withPort(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return net.JoinHostPort(strings.Trim(address, "[]"), "22"), nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return "", fmt.Errorf("%q is no ADDRESS:PORT", address)
	}
	return address, nil
}
