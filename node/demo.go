// Package node makes a node's secrets: the files that make one machine out of
// an image that is the same for all. It keeps them in a Store, encrypted, and
// writes them for the node's psyops-secret volume: into a folder, a tar or a
// script. It also has the CA of the psynet, the nodes' own network by Nebula;
// slackhq/nebula/cert and filippo.io/age are used nowhere else.
package node

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// The demo node: what `make run` boots.
const (
	DemoName = "demo"
	DemoMAC  = "52:54:00:12:34:56" // of QEMU's first network card
)

// Demo makes the secrets of the demo node in dir, reading its ssh host key
// from random. What is there already stays as it is, so that every build with
// the same dir has the same node in it.
func Demo(dir string, random io.Reader) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the demo node: %w", err)
	}
	for _, f := range []struct {
		name    string
		content func() ([]byte, error)
	}{
		{"nodename", text(DemoName + "\n")},
		{"mactab", text("psy0 mac=" + DemoMAC + "\n")},
		{"network.interfaces", text("auto lo\niface lo inet loopback\n\nauto psy0\niface psy0 inet dhcp\n")},
		{"ssh_host_ed25519_key", func() ([]byte, error) { return hostKey(random, DemoName) }},
	} {
		if err := once(filepath.Join(dir, f.name), f.content); err != nil {
			return fmt.Errorf("make the demo node: %w", err)
		}
	}
	return nil
}

func text(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

// hostKey is a new ssh host key in OpenSSH's own form.
func hostKey(random io.Reader, comment string) ([]byte, error) {
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("read random bytes for the host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(seed[:]), comment)
	if err != nil {
		return nil, fmt.Errorf("render the host key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// once writes a file that is not there yet, whole or not at all.
func once(name string, content func() ([]byte, error)) (err error) {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := content()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
