package node

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/slackhq/nebula/cert"

	"psyopsOS/secret"
	"psyopsOS/step"
)

// A CA signs psynet certificates: Nebula's of version 1, which every Nebula
// reads, with Curve25519.
type CA struct {
	Certificate []byte // PEM
	Key         secret.Private
}

// A Certificate is what one says, for people and programs.
type Certificate struct {
	Name        string         `json:"name"`
	Networks    []netip.Prefix `json:"networks,omitempty"`
	Groups      []string       `json:"groups,omitempty"`
	IsCA        bool           `json:"ca,omitempty"`
	Expires     time.Time      `json:"expires"`
	Fingerprint string         `json:"fingerprint"`
	Issuer      string         `json:"issuer,omitempty"` // the fingerprint of its CA
}

// NewCA makes a CA that may sign for addresses in networks and for groups;
// where one is empty, for any.
func NewCA(name string, networks []netip.Prefix, groups []string, from time.Time, lasts time.Duration, random io.Reader) (CA, error) {
	if lasts < 24*time.Hour {
		return CA{}, fmt.Errorf("a CA that lasts %s: want a day or more", lasts)
	}
	public, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return CA{}, fmt.Errorf("make the CA's key: %w", err)
	}
	tbs := cert.TBSCertificate{Version: cert.Version1, Name: name, Networks: networks, Groups: groups, IsCA: true,
		NotBefore: from, NotAfter: from.Add(lasts), PublicKey: public, Curve: cert.Curve_CURVE25519}
	c, err := tbs.Sign(nil, cert.Curve_CURVE25519, private)
	if err != nil {
		return CA{}, fmt.Errorf("make the CA's certificate: %w", err)
	}
	text, err := c.MarshalPEM()
	return CA{text, secret.Hide(cert.MarshalSigningPrivateKeyToPEM(cert.Curve_CURVE25519, private))}, err
}

// open reads the CA, when its two halves are a pair.
func (ca CA) open() (cert.Certificate, []byte, error) {
	c, err := parseCertificate(ca.Certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("the psynet CA: %w", err)
	}
	if !c.IsCA() {
		return nil, nil, fmt.Errorf("the psynet CA: the certificate of %s is none of a CA", c.Name())
	}
	key, _, curve, err := cert.UnmarshalSigningPrivateKeyFromPEM(ca.Key.Reveal())
	if errors.Is(err, cert.ErrPrivateKeyEncrypted) {
		return nil, nil, step.WithHint(errors.New("the psynet CA's key is encrypted with a passphrase"), "the store encrypts it: bring the key without one")
	}
	if err == nil {
		err = c.VerifyPrivateKey(curve, key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the psynet CA's key: %w", err)
	}
	return c, key, nil
}

// Check refuses a CA whose halves are no pair.
func (ca CA) Check() error {
	_, _, err := ca.open()
	return err
}

// Sign makes a certificate for a public key in Nebula's PEM form. lasts zero
// means until just before the CA ends, as nebula-cert does it.
func (ca CA) Sign(name string, address netip.Prefix, groups []string, public []byte, now time.Time, lasts time.Duration) ([]byte, error) {
	signer, key, err := ca.open()
	if err != nil {
		return nil, err
	}
	if signer.Expired(now) {
		return nil, step.WithHint(fmt.Errorf("the psynet CA %s ended on %s", signer.Name(), signer.NotAfter().Format(time.DateOnly)), "make a new one with `tk psynet ca`")
	}
	raw, _, curve, err := cert.UnmarshalPublicKeyFromPEM(public)
	if err == nil && curve != signer.Curve() {
		err = cert.ErrCurveMismatch
	}
	if err != nil {
		return nil, fmt.Errorf("the public key of %s: %w", name, err)
	}
	until := signer.NotAfter().Add(-time.Second)
	if lasts != 0 {
		until = now.Add(lasts)
	}
	tbs := cert.TBSCertificate{Version: cert.Version1, Name: name, Networks: []netip.Prefix{address}, Groups: groups,
		NotBefore: now, NotAfter: until, PublicKey: raw, Curve: curve}
	c, err := tbs.Sign(signer, curve, key)
	if err != nil {
		return nil, fmt.Errorf("sign a psynet certificate for %s (%s): %w", name, address, err)
	}
	return c.MarshalPEM()
}

// VerifyCertificate says whether the CA signed the certificate, and whether it
// belongs to the key; the key may be empty.
func (ca CA) VerifyCertificate(certificate []byte, key secret.Private, now time.Time) error {
	pool, err := cert.NewCAPoolFromPEM(ca.Certificate)
	if err != nil {
		return fmt.Errorf("the psynet CA: %w", err)
	}
	c, err := parseCertificate(certificate)
	if err != nil {
		return err
	}
	if _, err := pool.VerifyCertificate(now, c); err != nil {
		return fmt.Errorf("the certificate of %s: %w", c.Name(), err)
	}
	if len(key.Reveal()) == 0 {
		return nil
	}
	raw, _, curve, err := cert.UnmarshalPrivateKeyFromPEM(key.Reveal())
	if err == nil {
		err = c.VerifyPrivateKey(curve, raw)
	}
	if err != nil {
		return fmt.Errorf("the key for the certificate of %s: %w", c.Name(), err)
	}
	return nil
}

// NewPsynetKey makes a host's key pair, both halves in Nebula's PEM form.
func NewPsynetKey(random io.Reader) (public []byte, private secret.Private, err error) {
	var raw [32]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return nil, secret.Private{}, fmt.Errorf("read random bytes for the psynet key: %w", err)
	}
	key, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		return nil, secret.Private{}, err
	}
	return cert.MarshalPublicKeyToPEM(cert.Curve_CURVE25519, key.PublicKey().Bytes()),
		secret.Hide(cert.MarshalPrivateKeyToPEM(cert.Curve_CURVE25519, raw[:])), nil
}

// publicOf is the public half of a host's key.
func publicOf(private secret.Private) ([]byte, error) {
	raw, _, curve, err := cert.UnmarshalPrivateKeyFromPEM(private.Reveal())
	if err == nil && curve != cert.Curve_CURVE25519 {
		err = cert.ErrCurveMismatch
	}
	if err != nil {
		return nil, fmt.Errorf("the psynet key: %w", err)
	}
	key, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return nil, err
	}
	return cert.MarshalPublicKeyToPEM(curve, key.PublicKey().Bytes()), nil
}

// ReadCertificate says what a certificate says; nobody vouches for it.
func ReadCertificate(text []byte) (Certificate, error) {
	c, err := parseCertificate(text)
	if err != nil {
		return Certificate{}, err
	}
	fingerprint, err := c.Fingerprint()
	return Certificate{Name: c.Name(), Networks: c.Networks(), Groups: c.Groups(), IsCA: c.IsCA(),
		Expires: c.NotAfter().UTC(), Fingerprint: fingerprint, Issuer: c.Issuer()}, err
}

func parseCertificate(text []byte) (cert.Certificate, error) {
	if len(text) > cert.MaxCertificateSize {
		return nil, fmt.Errorf("a psynet certificate of %d bytes, at most %d", len(text), cert.MaxCertificateSize)
	}
	c, _, err := cert.UnmarshalCertificateFromPEM(text)
	if err != nil {
		return nil, fmt.Errorf("read a psynet certificate: %w", err)
	}
	return c, nil
}
