package upgrade

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"psyopsOS/layout"
	"psyopsOS/release"
	"psyopsOS/step"
)

// ConfigFile holds settings by the names of the flags:
//
//	repository = "https://example.org/os/"
const ConfigFile = "/etc/psyopsOS/neuralupgrade.toml"

// envPrefix begins the variables: --a-mock is NEURALUPGRADE_A_MOCK.
const envPrefix = "NEURALUPGRADE_"

// Settings are what every command goes by.
type Settings struct {
	Repository   string
	PubKey       string // a file or a folder, instead of the image's keys
	NoVerify     bool   // any signature will do; on the command line only
	Firmware     string // an ESP release's platform
	Architecture string // an OS release's
	EFISystem    VolumeSettings
	A, B         VolumeSettings
	BootedMock   string // "a" or "b", instead of what boot.json says
	JSON         bool
	Verbose      bool
	Quiet        bool
	CheckLimit   time.Duration // of each program of layout.HealthDir; a hanging check is a failed one
}

// VolumeSettings are how one volume is found.
type VolumeSettings struct {
	Device     string // instead of the volume with the label
	MountPoint string
	Label      string
	Mock       bool // the mount point is used as it is: nothing is mounted
}

func (s *Settings) flags(set *flag.FlagSet) {
	set.StringVar(&s.Repository, "repository", s.Repository, "where releases are: an address with http:// or https://, or a folder")
	set.StringVar(&s.PubKey, "pubkey", s.PubKey, "a minisign public key `FILE`, or a folder of them, instead of the image's keys")
	set.BoolVar(&s.NoVerify, "no-verify", s.NoVerify, "check no signature: whoever can change the release decides what is written")
	set.StringVar(&s.Firmware, "fwtype", s.Firmware, "the firmware `TYPE` of ESP releases")
	set.StringVar(&s.Architecture, "architecture", s.Architecture, "the architecture of OS releases")
	for _, v := range []struct {
		name string
		*VolumeSettings
	}{{"efisys", &s.EFISystem}, {"a", &s.A}, {"b", &s.B}} {
		set.StringVar(&v.Device, v.name+"-dev", v.Device, "the `DEVICE` of "+v.name+", instead of the one with the label")
		set.StringVar(&v.MountPoint, v.name+"-mountpoint", v.MountPoint, "the `FOLDER` on which "+v.name+" is mounted")
		set.StringVar(&v.Label, v.name+"-label", v.Label, "the `LABEL` of "+v.name)
		set.BoolVar(&v.Mock, v.name+"-mock", v.Mock, "use "+v.name+"'s mount point as it is and mount nothing")
	}
	set.StringVar(&s.BootedMock, "booted-mock", s.BootedMock, "pretend that side `a or b` is booted")
	set.DurationVar(&s.CheckLimit, "check-limit", s.CheckLimit, "how long each health check may take")
	set.BoolVar(&s.JSON, "json", s.JSON, "print JSON")
	set.BoolVar(&s.Verbose, "verbose", s.Verbose, "tell all that is done")
	set.BoolVar(&s.Quiet, "quiet", s.Quiet, "tell warnings and failures only")
}

// defaults are the settings where nobody says anything.
func defaults(architecture string) Settings {
	s := Settings{Firmware: release.UEFI, Architecture: architecture, CheckLimit: time.Minute}
	for _, v := range layout.Volumes() {
		settings := VolumeSettings{MountPoint: v.MountPoint, Label: string(v.Label)}
		switch v.Label {
		case layout.EFISystem:
			s.EFISystem = settings
		case layout.SideA:
			s.A = settings
		case layout.SideB:
			s.B = settings
		}
	}
	return s
}

// load reads file and environment into the flags' variables; the command line
// comes after it and wins.
func (s *Settings) load(e Env) error {
	set := flag.NewFlagSet("settings", flag.ContinueOnError)
	s.flags(set)
	if err := loadFile(set, filepath.Join(e.Root, ConfigFile)); err != nil {
		return err
	}
	var wrong error
	set.VisitAll(func(f *flag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := e.getenv(name); value != "" {
			if err := f.Value.Set(value); err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s=%q: %w", name, value, err))
			}
		}
	})
	if s.NoVerify && wrong == nil {
		return step.WithHint(errors.New("no-verify is set in the file or in the environment"), "it is for one command at a time: --no-verify")
	}
	return wrong
}

// maxConfig bounds the file.
const maxConfig = 64 << 10

func loadFile(set *flag.FlagSet, name string) error {
	text, err := readBounded(name, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var values map[string]any
	if _, err := toml.Decode(string(text), &values); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var keys []string
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		f := set.Lookup(key)
		if f == nil {
			var names []string
			set.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
			return step.WithHint(fmt.Errorf("%s: no setting %q", name, key), "the nearest is %s; the settings are called like the flags, which `neuralupgrade help` lists", step.Nearest(key, names))
		}
		switch values[key].(type) {
		case string, bool:
		default:
			return fmt.Errorf("%s: %s is neither a text nor true or false", name, key)
		}
		if err := f.Value.Set(fmt.Sprint(values[key])); err != nil {
			return fmt.Errorf("%s: %s: %w", name, key, err)
		}
	}
	return nil
}

// keys are whom a release is taken from: anyone with --no-verify, else the
// trusted.
func (s Settings) keys(e Env) (release.Keys, error) {
	if s.NoVerify {
		return release.Anyone(), nil
	}
	return s.trusted(e)
}

// ownKeys are those by which this machine's own disk is judged, also with
// --no-verify.
func (s Settings) ownKeys(e Env) (release.Keys, error) {
	keys, err := s.trusted(e)
	if s.NoVerify && errors.Is(err, release.ErrNoKeys) {
		return release.Anyone(), nil
	}
	return keys, err
}

// trusted keys are those of --pubkey, or of the image together with the node's
// own.
func (s Settings) trusted(e Env) (release.Keys, error) {
	if s.PubKey != "" {
		return keysAt(s.PubKey)
	}
	keys, err := release.ReadKeys(os.DirFS(e.Root))
	if errors.Is(err, release.ErrNoKeys) {
		return keys, step.WithHint(err, "name one with --pubkey, or put it into %s/*.pub or %s", layout.KeysDir, layout.PublicKey)
	}
	if err != nil {
		return keys, err
	}
	own, err := readKey(filepath.Join(e.Root, layout.MountSecret, filepath.Base(layout.PublicKey)))
	if errors.Is(err, fs.ErrNotExist) {
		return keys, nil
	}
	return keys.With(own), err
}

func keysAt(name string) (release.Keys, error) {
	info, err := os.Stat(name)
	if err != nil {
		return release.Keys{}, err
	}
	names := []string{name}
	if info.IsDir() {
		if names, err = filepath.Glob(filepath.Join(name, "*.pub")); err != nil {
			return release.Keys{}, err
		}
	}
	var keys []release.PublicKey
	for _, name := range names {
		key, err := readKey(name)
		if err != nil {
			return release.Keys{}, err
		}
		keys = append(keys, key)
	}
	threshold := 1
	if text, err := readBounded(filepath.Join(name, release.ThresholdFile), 16); err == nil {
		if threshold, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return release.Keys{}, fmt.Errorf("%s: %w", filepath.Join(name, release.ThresholdFile), err)
		}
	}
	return release.NewKeys(threshold, keys...)
}

func readKey(name string) (release.PublicKey, error) {
	text, err := readBounded(name, release.MaxSignature)
	if err != nil {
		return release.PublicKey{}, err
	}
	key, err := release.ParsePublicKey(text)
	if err != nil {
		return key, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}
