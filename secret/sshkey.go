package secret

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
)

// sshPublicKey derives the .pub of an ed25519 host key. golang.org/x/crypto/ssh
// would do it too, and add 320 KB to PID 1. The format is PROTOCOL.key in
// OpenSSH's sources.
func sshPublicKey(private []byte, comment string) ([]byte, error) {
	block, _ := pem.Decode(private)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return nil, errors.New("it is not a key in OpenSSH's own format")
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok {
		return nil, errors.New("it is not an openssh-key-v1")
	}
	p := wire{rest: body}
	cipher := p.text()
	p.text() // the key derivation's name
	p.text() // and options
	if n := p.number(); p.err == nil && (cipher != "none" || n != 1) {
		return nil, fmt.Errorf("it holds %d keys encrypted with %s: a host needs one that is not encrypted", n, cipher)
	}
	public := []byte(p.text())
	secret := wire{rest: []byte(p.text()), err: p.err}
	if err := checkKeyPair(public, &secret); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %s %s\n", keyType, base64.StdEncoding.EncodeToString(public), comment), nil
}

const keyType = "ssh-ed25519"

// checkKeyPair makes sure that the secret half is whole and belongs to the
// public one: a damaged key is better told here than found out by sshd.
func checkKeyPair(public []byte, secret *wire) error {
	pub := wire{rest: public}
	kind, point := pub.text(), pub.text()
	check1, check2 := secret.number(), secret.number()
	kind2, point2, key := secret.text(), secret.text(), secret.text()
	switch {
	case secret.err != nil || pub.err != nil || check1 != check2:
		return errors.New("it is damaged")
	case kind != keyType || kind2 != keyType:
		return fmt.Errorf("it is of type %q, not %s", kind, keyType)
	case len(key) != ed25519.PrivateKeySize || point != point2 ||
		string(ed25519.NewKeyFromSeed([]byte(key[:ed25519.SeedSize]))[ed25519.SeedSize:]) != point:
		return errors.New("it is damaged: its halves do not belong together")
	}
	return nil
}

// wire reads SSH's wire format. After an error it gives zero values.
type wire struct {
	rest []byte
	err  error
}

func (w *wire) number() uint32 {
	if w.err != nil || len(w.rest) < 4 {
		w.err = errors.New("it is cut short")
		return 0
	}
	n := binary.BigEndian.Uint32(w.rest)
	w.rest = w.rest[4:]
	return n
}

func (w *wire) text() string {
	n := w.number()
	if w.err != nil || uint64(n) > uint64(len(w.rest)) {
		w.err = errors.New("it is cut short")
		return ""
	}
	s := string(w.rest[:n])
	w.rest = w.rest[n:]
	return s
}
