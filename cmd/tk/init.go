package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/image/alpine"
	"psyopsOS/node"
	"psyopsOS/release"
	"psyopsOS/step"
)

func initCommand() command {
	return command{
		name: "init", args: "DIR [--node NAME] [--network CIDR] [--password-file F | --password-command C | --no-password]",
		short:           "make a folder for a site: a commented psyops.toml, a signing key, a store with a first node, a world file",
		example:         "tk init mysite",
		withoutSettings: true,
	}.does(initSite)
}

// The files of a new site.
const (
	siteKey      = "keys/site"
	siteIdentity = "keys/age.key"
	siteStore    = "./store"
	siteWorld    = "world"
)

// A site is what tk init makes.
type site struct {
	dir     string
	source  string // of psyopsOS; empty where it was not found
	node    node.Request
	network netip.Prefix
	pw      *passwords
	open    bool // the key has no password
}

func initSite(ctx context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
DIR/psyops.toml   every setting with what it means; what is not set is a comment
DIR/keys/site.*   the key that signs your releases, and its public half
DIR/keys/age.key  alone reads the store: keep a copy in a safe place
DIR/store/        nodes and their secrets, encrypted; the psynet's CA among them
DIR/world         the packages of the alpine userland
DIR/.gitignore    the folder can be a git repository without its private keys
Nothing that is there is touched.
`+passwordHelp)
	s := site{}
	flags.StringVar(&s.node.Name, "node", "node1", "the first node's `name`")
	network := flags.String("network", "10.77.0.0/16", "the psynet's `network`; the first node has its first address")
	flags.text(&s.source, "build.source")
	s.pw = passwordFlags(flags)
	flags.BoolVar(&s.open, "no-password", false, "leave the signing key unencrypted: whoever reads it can sign")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	s.dir = words[0]
	if err := oneSource(s.pw.sources(), s.open); err != nil {
		return err
	}
	if err := s.check(*network); err != nil {
		return err
	}
	if err := s.make(ctx, e); err != nil {
		return err
	}
	s.tell(e)
	return nil
}

// check holds every refusal.
func (s *site) check(network string) (err error) {
	if s.network, err = netip.ParsePrefix(network); err != nil || !s.network.Addr().Is4() || s.network.Bits() > 30 {
		return usagef("--network %q: want an IPv4 network, e.g. 10.77.0.0/16", network)
	}
	s.network = s.network.Masked()
	s.node.MAC = node.DemoMAC
	if s.node.Psynet, err = node.ParsePsynet(netip.PrefixFrom(s.network.Addr().Next(), s.network.Bits()).String()); err != nil {
		return usageError{err}
	}
	if s.node, err = s.node.Checked(); err != nil {
		return usageError{err}
	}
	for _, name := range []string{settings.FileName, "keys", "store", siteWorld} {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); err == nil {
			return step.WithHint(fmt.Errorf("%s is there already", filepath.Join(s.dir, name)), "choose a new folder")
		}
	}
	source, err := findRoot(s.source)
	if err != nil && s.source != "" {
		return err
	}
	s.source = source // without one, the file's comment tells of it
	return nil
}

// make writes psyops.toml last: it is what says that the site is there.
func (s site) make(ctx context.Context, e env) error {
	public, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	text, err := keyText(ctx, e, secret, s.pw, s.open)
	if err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(s.dir, name) }
	if err := errors.Join(os.MkdirAll(s.dir, 0o755), os.Mkdir(at("keys"), 0o700)); err != nil {
		return err
	}
	if err := errors.Join(writeWhole(at(siteKey+".pub"), public.Text(), 0o644), writeWhole(at(siteKey+".key"), text, 0o600)); err != nil {
		return err
	}
	if err := s.makeNode(ctx); err != nil {
		return err
	}
	return errors.Join(writeWhole(at(siteWorld), alpine.DefaultWorld(), 0o644),
		writeWhole(at(".gitignore"), []byte("/artifacts/\n/keys/*.key\n*.img\n"), 0o644),
		writeWhole(at(settings.FileName), []byte(s.config()), 0o644))
}

func (s site) makeNode(ctx context.Context) error {
	folder := node.AgeFolder{Dir: filepath.Join(s.dir, siteStore), Identity: filepath.Join(s.dir, siteIdentity)}
	now := time.Now().UTC().Truncate(time.Second)
	if _, err := folder.Prepare(now); err != nil {
		return err
	}
	registry := node.Registry{Store: folder}
	name := filepath.Base(s.dir)
	if abs, err := filepath.Abs(s.dir); err == nil {
		name = filepath.Base(abs)
	}
	ca, err := node.NewCA(name, []netip.Prefix{s.network}, nil, now, now.AddDate(10, 0, 0).Sub(now), rand.Reader)
	if err != nil {
		return err
	}
	if err := registry.PutCA(ctx, ca, false); err != nil {
		return err
	}
	_, err = registry.Add(ctx, s.node, false, func() (node.Record, error) { return node.Make(s.node, ca, now, rand.Reader) })
	return err
}

// config is the new psyops.toml.
func (s site) config() string {
	set := map[string][]string{
		"sign.key":           {siteKey + ".key"},
		"nodes.store":        {siteStore},
		"nodes.identity":     {siteIdentity},
		"build.node-secrets": {s.node.Name},
		"alpine.world":       {siteWorld},
	}
	if s.source != "" {
		set["build.source"] = []string{s.source}
	}
	if len(*s.pw.files) > 0 {
		if file, err := filepath.Abs((*s.pw.files)[0]); err == nil {
			set["sign.password-file"] = []string{file}
		}
	}
	if len(*s.pw.commands) > 0 {
		set["sign.password-command"] = (*s.pw.commands)[:1]
	}
	head := `# Settings of tk. Flags win over the environment, the environment over this
# file. Relative paths begin at this file's folder. A line that is a comment
# shows the default, or an example where there is none. ` + "`tk showconfig`" + ` shows
# what holds and why.
`
	tail := fmt.Sprintf(`
# A machine that %s starts; it may set what [vm] sets.
[vm.profile.%s]
disk = "%s.img"
`, "`tk vm profile "+s.node.Name+"`", s.node.Name, s.node.Name)
	noEnvironment := func(string) string { return "" }
	return settings.Render(settingsTable(noEnvironment), head, set, tail)
}

func (s site) tell(e env) {
	fmt.Fprintf(e.stdout, "made %s: %s\n", s.dir, strings.Join([]string{settings.FileName, siteKey + ".key", siteIdentity, "store with " + s.node.Name, siteWorld}, ", "))
	fmt.Fprintf(e.stderr, "%s alone reads the store: keep a copy of it in a safe place\n", filepath.Join(s.dir, siteIdentity))
	if s.source == "" {
		fmt.Fprintf(e.stderr, "no source of psyopsOS was found: name a checkout in build.source of %s\n", filepath.Join(s.dir, settings.FileName))
	}
	fmt.Fprintf(e.stdout, `
next:
  cd %[1]s
  tk showconfig                  # what is set, and why
  tk mkimage diskimg             # build, with %[2]s's secrets and your key
  tk vm diskimg                  # try it
  tk node image %[2]s            # a disk for the machine: %[2]s.img
  tk vm profile %[2]s            # try that one
  tk mkimage ostar-dd            # publish the release locally
`, s.dir, s.node.Name)
}
