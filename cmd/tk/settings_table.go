package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/image"
	"psyopsOS/vm"
)

// configVariable names another psyops.toml, or says none.
const configVariable = "PSYOPSOS_CONFIG"

// loadSettings finds psyops.toml and reads it with the environment.
func loadSettings(getenv func(string) string) (*settings.Settings, error) {
	file := getenv(configVariable)
	if file == "" {
		dir, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		if file, err = settings.Find(dir); err != nil {
			return nil, err
		}
	}
	if file == "none" {
		file = ""
	}
	return settings.Load(settingsTable(getenv), file, getenv)
}

// settingsTable is everything of tk that can be set, for flags, environment,
// psyops.toml, showconfig, init and the man pages alike.
func settingsTable(getenv func(string) string) []settings.Setting {
	return slices.Concat(buildSettings(), alpineSettingsTable(), siteSettings(getenv), deploySettings(getenv), vmSettings())
}

func one(text string) []string { return []string{text} }

func buildSettings() []settings.Setting {
	return []settings.Setting{
		{Key: "build.source", Kind: settings.Path, Env: one("PSYOPSOS_SOURCE"), Flag: "source", Sample: "../psyopsOS",
			Meaning: "the `folder` with psyopsOS's source; without it: upwards from the working folder, then from tk itself"},
		{Key: "build.out", Kind: settings.Path, Default: one("artifacts"), Env: one("PSYOPSOS_OUT"), Flag: "out",
			Meaning: "the `folder` for everything that is built"},
		{Key: "build.userland", Kind: settings.Place, Default: one(defaultUserland), Env: one("PSYOPSOS_USERLAND"), Flag: "userland", Meaning: userlandHelp},
		{Key: "build.oci", Flag: "oci", Sample: "registry.example/os/alpine:3.20", Meaning: "the container `image` of --userland oci; what begins with ./ or / is a path"},
		{Key: "build.tar", Kind: settings.Path, Flag: "tar", Sample: "rootfs.tar.zst", Meaning: "the `file` of --userland tar: gzip, zstd, xz, bzip2 or uncompressed"},
		{Key: "build.kernel", Kind: settings.Place, Default: one(defaultKernel), Env: one("PSYOPSOS_KERNEL"), Flag: "kernel", Meaning: kernelHelp},
		{Key: "build.append", Env: one("PSYOPSOS_APPEND"), Flag: "append", Sample: "psyopsos.wait=60",
			Meaning: "more `words` for the kernel, in the boot loader's settings"},
		{Key: "build.size", List: true, Flag: "size", Sample: "psyopsOS-A=2048,psyopsOS-B=2048", Check: checkSize,
			Meaning: "volumes' sizes as `LABEL=MiB`, e.g. psyopsOS-A=512"},
		{Key: "build.firmware", List: true, Flag: "firmware", Meaning: firmwareHelp, Sample: "debian:firmware-realtek"},
		{Key: "build.overlay", Kind: settings.Path, List: true, Flag: "overlay", Sample: "overlay",
			Meaning: "a `folder` that is laid over the userland; may be given more than once, the last one wins"},
		{Key: "build.service", List: true, Flag: "service", Sample: "chronyd,nginx:default",
			Meaning: "a service of the userland that OpenRC starts, `NAME` or NAME:LEVEL; may be given more than once"},
		{Key: "build.compression", Default: one("zstd"), Flag: "compression", Check: checkCompression, Meaning: "of squashfs and modloop: `zstd, zstd:LEVEL or xz`"},
		{Key: "build.node-secrets", Kind: settings.Place, Env: one("PSYOPSOS_NODE_SECRETS"), Flag: "node-secrets", Sample: "web1",
			Meaning: "a `NODE` of the store (tk node list), or a folder with a node's secrets; without it the demo node's are made"},
		{Key: "build.epoch", Env: one("SOURCE_DATE_EPOCH"), Check: checkEpoch,
			Meaning: "the release's time in seconds since 1970; without it: the commit's, or the clock's where files have changed"},
		{Key: "build.revision", Env: one("PSYOPSOS_REVISION"),
			Meaning: "the commit that is built, where the source is no git checkout; -dirty behind it says that it was changed"},
	}
}

func siteSettings(getenv func(string) string) []settings.Setting {
	return []settings.Setting{
		{Key: "sign.key", Kind: settings.Path, Env: one("PSYOPSOS_KEY"), Flag: "sign-key", Sample: "keys/site.key",
			Meaning: "the secret key `file` that signs releases, with its .pub beside it; without it a development key is made"},
		{Key: "sign.cosign-key", Kind: settings.Path, List: true, Flag: "cosign-key", Sample: "keys/second.key",
			Meaning: "a further secret key `file` that signs releases too, with its .pub beside it; again for each"},
		{Key: "sign.trust-key", Kind: settings.Path, List: true, Flag: "trust-key", Sample: "keys/third.pub",
			Meaning: "a further public key `file` that images trust, of somebody who does not sign here; again for each"},
		{Key: "sign.threshold", Kind: settings.Number, Default: one("1"), Flag: "threshold", Check: between(1, 16),
			Meaning: "how many (`N`) of the trusted keys must have signed what a machine takes and boots"},
		{Key: "sign.password-file", Kind: settings.Path, Flag: "sign-password-file", Sample: "keys/password",
			Meaning: "read that key's password from the first line of this `file`"},
		{Key: "sign.password-command", Flag: "sign-password-command", Sample: "pass show psyopsOS/minisign",
			Meaning: "the first line that this `command` prints (run by sh) is that key's password"},

		{Key: "nodes.store", Kind: settings.Place, Default: one(userFolder(getenv, "XDG_DATA_HOME", ".local/share", "store")), Env: one("PSYOPSOS_STORE"), Flag: "store",
			Meaning: "the `store` of nodes and their secrets: a folder, pass:PREFIX or cmd:PROGRAM (tk node new --help)"},
		{Key: "nodes.identity", Kind: settings.Path, Default: one(userFolder(getenv, "XDG_CONFIG_HOME", ".config", "age.key")), Env: one("PSYOPSOS_IDENTITY"), Flag: "identity",
			Meaning: "the `file` with the age key that reads a store that is a folder"},

		{Key: "deaddrop.dir", Kind: settings.Path, Default: one("artifacts/deaddrop"), Env: one("PSYOPSOS_DEADDROP_DIR"), Flag: "dir",
			Meaning: "the local `folder` of releases that nodes update from"},
		{Key: "deaddrop.bucket", Env: one("PSYOPSOS_DEADDROP"), Flag: "bucket", Sample: "s3://updates.example",
			Meaning: "the bucket that mirrors it, `s3://NAME[/PREFIX]`"},
		{Key: "deaddrop.endpoint", Env: []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}, Flag: "endpoint", Sample: "https://s3.example",
			Meaning: "the bucket's server as `address`; without it the AWS profile's"},
		{Key: "deaddrop.region", Env: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}, Flag: "region", Sample: "eu-central-1",
			Meaning: "the bucket's `region`; without it the AWS profile's"},
		{Key: "deaddrop.profile", Env: one("AWS_PROFILE"), Flag: "profile", Default: one("default"),
			Meaning: "the `profile` in AWS's files, where the credentials are"},
		{Key: "deaddrop.parallel", Kind: settings.Number, Default: one("8"), Flag: "parallel", Check: between(1, 256), Meaning: "`requests` at once"},
	}
}

func vmSettings() []settings.Setting {
	return []settings.Setting{
		{Key: "vm.disk", Kind: settings.Path, Flag: "disk", InProfile: true, Sample: "web1.img",
			Meaning: "the disk image `file` to start; without it what `tk mkimage` made"},
		{Key: "vm.disk2", Kind: settings.Path, Flag: "disk2", InProfile: true, Sample: "data.img", Meaning: "a second disk's `file`"},
		{Key: "vm.usb", Kind: settings.Path, Flag: "usb", InProfile: true, Sample: "stick.img", Meaning: "the `file` of a USB stick that is plugged in"},
		{Key: "vm.keep", Kind: settings.Switch, Default: one("false"), Flag: "keep", InProfile: true, Meaning: "keep what the guest writes to its disks"},
		{Key: "vm.memory", Kind: settings.Number, Default: one("1024"), Env: one("PSYOPSOS_VM_MEMORY"), Flag: "memory", InProfile: true, Check: between(64, 1<<20), Meaning: "its memory in `MiB`"},
		{Key: "vm.cpus", Kind: settings.Number, Default: one("1"), Flag: "cpus", InProfile: true, Check: between(1, 64), Meaning: "how `many` processors it has"},
		{Key: "vm.mac", Flag: "mac", InProfile: true, Sample: "52:54:00:12:34:56", Check: checkMAC, Meaning: "its network card's `address`; without it the demo node's"},
		{Key: "vm.ssh", Kind: settings.Number, Default: one("2222"), Flag: "ssh", InProfile: true, Check: between(0, 65535),
			Meaning: "the `port` of 127.0.0.1 that leads to the guest's ssh, or where it is taken a free one; 0: none"},
		{Key: "vm.accel", Default: one("tcg"), Env: one("QEMU_ACCEL"), Flag: "accel", InProfile: true, Check: checkAccel,
			Meaning: "the accelerator: `A` is tcg, kvm, or auto (kvm where a small guest proves that it works)"},
	}
}

func between(least, most int) func(string) error {
	return func(text string) error {
		if n, err := strconv.Atoi(text); err != nil || n < least || n > most {
			return fmt.Errorf("%s: want %d to %d", text, least, most)
		}
		return nil
	}
}

func checkSize(text string) error {
	_, _, err := parseSize(text)
	return err
}

func checkCompression(text string) error {
	_, err := image.ParseCompression(text)
	return err
}

func checkEpoch(text string) error {
	if n, err := strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
		return errors.New("want seconds since 1970")
	}
	return nil
}

func checkMAC(text string) error {
	if a, err := net.ParseMAC(text); err != nil || len(a) != 6 {
		return fmt.Errorf("%q is no address like 52:54:00:12:34:56", text)
	}
	return nil
}

func checkAccel(text string) error {
	_, err := vm.ParseAccel(text)
	return err
}
