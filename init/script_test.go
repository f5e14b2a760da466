package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"psyopsOS/bootstate"
	"psyopsOS/image"
	"psyopsOS/image/disk"
	"psyopsOS/image/loader"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
)

// TestMain lets the scripts call this program by the name by which it is the
// updater.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"neuralupgrade": main})
}

// Each script in testdata/script is a transcript of neuralupgrade on a machine
// that is no node: releases, repositories and disks are made as tk makes them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: scriptCommands()})
}

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"keygen": keygenCommand, "mkrelease": releaseCommand, "mkdisk": diskCommand, "mkside": sideCommand, "serve": serveCommand,
		"volume": volumeCommand, "damage": damageCommand, "status": statusCommand,
	}
}

// keygen NAME… makes NAME.key and NAME.pub.
func keygenCommand(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		public, secret, err := release.GenerateKey(rand.Reader)
		ts.Check(err)
		text, err := secret.Text()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name+".pub"), public.Text(), 0o644))
		ts.Check(os.WriteFile(ts.MkAbs(name+".key"), text, 0o600))
	}
}

func secretKeys(ts *testscript.TestScript, names string) (keys []release.SecretKey) {
	for _, name := range strings.Split(names, ",") {
		key, err := release.ReadSecretKey([]byte(ts.ReadFile(name+".key")), nil)
		ts.Check(err)
		keys = append(keys, key)
	}
	return keys
}

// mkrelease DIR VERSION KEY[,KEY…] [THRESHOLD] makes and signs both kinds of
// release, with latest leading to them. The initramfs trusts those keys.
func releaseCommand(ts *testscript.TestScript, _ bool, args []string) {
	ctx, dir, version := context.Background(), ts.MkAbs(args[0]), args[1]
	keys, threshold := secretKeys(ts, args[2]), "1"
	if len(args) > 3 {
		threshold = args[3]
	}
	ts.Check(os.MkdirAll(dir, 0o755))
	work := ts.MkAbs(".release-" + version)
	ts.Check(os.MkdirAll(work, 0o755))
	members := map[string]string{layout.Initramfs: filepath.Join(work, layout.Initramfs)}
	initramfs := image.InitramfsOptions{Init: filepath.Join(work, "init"), Out: members[layout.Initramfs],
		Keys: map[string][]byte{release.ThresholdFile: []byte(threshold)}}
	ts.Check(os.WriteFile(initramfs.Init, []byte("init "+version), 0o755))
	for i, key := range keys {
		public, err := key.Public()
		ts.Check(err)
		initramfs.Keys[fmt.Sprintf("%d.pub", i)] = public.Text()
	}
	ts.Check(image.Initramfs(ctx, initramfs))
	for i, name := range []string{layout.Kernel, layout.KernelVersion, layout.Modloop, layout.Squashfs, layout.UserlandVersion, layout.SystemMap, layout.KernelConfig} {
		members[name] = filepath.Join(work, name)
		ts.Check(os.WriteFile(members[name], bytes.Repeat([]byte(name+" "+version+"\n"), 3000*(i%4)+1), 0o644))
	}
	_, err := image.OSTar(ctx, image.OSTarOptions{Members: members, Version: version, Architecture: "x86_64", Kernel: "6.1.0", Userland: "testos 1",
		Key: keys[0], Cosigners: keys[1:], Now: time.Now(), Dir: dir}, nil)
	ts.Check(err)
	_, err = image.EFISysTar(ctx, image.EFISysTarOptions{Files: []disk.File{{Path: layout.Loader, Data: []byte("loader " + version)}}, Version: version, Key: keys[0], Cosigners: keys[1:], Now: time.Now(), Dir: dir}, nil)
	ts.Check(err)
	for kind, platform := range map[release.Kind]string{release.OS: "x86_64", release.ESP: release.UEFI} {
		link := filepath.Join(dir, release.LatestSignature(kind, platform))
		_ = os.Remove(link) // of the release before, where there was one
		ts.Check(os.Symlink(release.Name{Kind: kind, Platform: platform, Version: version}.String()+".minisig", link))
	}
}

// mkdisk FILE DIR VERSION KEY makes the image of a disk of DIR's release.
func diskCommand(ts *testscript.TestScript, _ bool, args []string) {
	tar := filepath.Join(ts.MkAbs(args[1]), release.Name{Kind: release.OS, Platform: "x86_64", Version: args[2]}.String())
	when, err := release.VersionTime(args[2])
	ts.Check(err)
	state, tries := bootstate.Initial(args[2], when)
	first, second, err := loader.Disk{Loader: []byte("a loader"), State: state, Tries: tries, Menu: bootstate.Menu{Timeout: 5}}.Files()
	ts.Check(err)
	sizes := map[layout.Label]int64{layout.EFISystem: 40 << 20, layout.EFISystem2: 40 << 20, layout.Secret: 16 << 20, layout.SideA: 16 << 20, layout.SideB: 16 << 20}
	ts.Check(image.DiskImage(context.Background(), image.DiskImageOptions{OSTar: tar, Keys: publicKeys(ts, args[3]), ESP1: first, ESP2: second,
		Sizes: sizes, Out: ts.MkAbs(args[0])}, nil))
}

// mkside FOLDER LABEL DIR VERSION KEY unpacks a release as a side has it.
func sideCommand(ts *testscript.TestScript, _ bool, args []string) {
	tar := filepath.Join(ts.MkAbs(args[2]), release.Name{Kind: release.OS, Platform: "x86_64", Version: args[3]}.String())
	_, err := image.WriteSide(context.Background(), ts.MkAbs(args[0]), tar, publicKeys(ts, args[4]))
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[0]), args[1]), []byte(args[1]), 0o644))
}

func publicKeys(ts *testscript.TestScript, name string) release.Keys {
	key, err := release.ParsePublicKey([]byte(ts.ReadFile(name + ".pub")))
	ts.Check(err)
	keys, err := release.NewKeys(1, key)
	ts.Check(err)
	return keys
}

// serve VARIABLE DIR serves a folder and sets the variable to its address.
func serveCommand(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[1]))))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// volume FILE IMAGE NUMBER copies a partition out of the image of a disk.
func volumeCommand(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Open(ts.MkAbs(args[1]))
	ts.Check(err)
	defer f.Close()
	info, err := f.Stat()
	ts.Check(err)
	table, err := mounts.ReadGPT(f, info.Size(), 512)
	ts.Check(err)
	for _, p := range table.Partitions {
		if fmt.Sprint(p.Number) != args[2] {
			continue
		}
		content := make([]byte, p.Size)
		_, err := f.ReadAt(content, p.Start)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o644))
		return
	}
	ts.Fatalf("%s has no partition %s", args[1], args[2])
}

// damage FILE flips a bit in the middle of a file.
func damageCommand(ts *testscript.TestScript, _ bool, args []string) {
	content, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	content[len(content)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o644))
}

// status NUMBER COMMAND… wants a command to end with that exit status; what it
// said can be asked for as after any other.
func statusCommand(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}
