package node

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"psyopsOS/secret"
	"psyopsOS/step"
)

// Make makes a node's secrets. Its age key comes from the system's random
// bytes, the other keys from random.
func Make(r Request, ca CA, now time.Time, random io.Reader) (Record, error) {
	r, err := r.Checked()
	if err != nil {
		return Record{}, err
	}
	now = now.UTC().Truncate(time.Second)
	public, psynetKey, err := NewPsynetKey(random)
	if err != nil {
		return Record{}, err
	}
	certificate, err := ca.Sign(r.Name, r.Psynet, r.Groups, public, now, 0)
	if err != nil {
		return Record{}, err
	}
	host, err := hostKey(random, r.Name)
	if err != nil {
		return Record{}, err
	}
	ageKey, err := NewAgeKey(now)
	if err != nil {
		return Record{}, err
	}
	files := map[string]secret.Private{
		secret.NodenameFile: secret.Hide([]byte(r.Name + "\n")),
		secret.AgeKey:       ageKey,
		secret.SSHHostKey:   secret.Hide(host),
		secret.PsynetCert:   secret.Hide(certificate),
		secret.PsynetCA:     secret.Hide(ca.Certificate),
		secret.PsynetKey:    psynetKey,
	}
	if r.MAC != "" {
		files[secret.Mactab] = secret.Hide([]byte("psy0 mac=" + r.MAC + "\n"))
		files[secret.Interfaces] = secret.Hide([]byte(interfaces))
	}
	return Record{r, now, files}, nil
}

const interfaces = "auto lo\niface lo inet loopback\n\nauto psy0\niface psy0 inet dhcp\n"

// NewAgeKey is an age identity in age-keygen's form.
func NewAgeKey(now time.Time) (secret.Private, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return secret.Private{}, fmt.Errorf("make an age key: %w", err)
	}
	return secret.Hide(fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", now.Format(time.RFC3339), id.Recipient(), id)), nil
}

// Renewed is the record with a new psynet certificate for the same key.
func (r Record) Renewed(ca CA, now time.Time, lasts time.Duration) (Record, error) {
	public, err := publicOf(r.Files[secret.PsynetKey])
	if err != nil {
		return r, fmt.Errorf("renew the certificate of %s: %w", r.Name, err)
	}
	certificate, err := ca.Sign(r.Name, r.Psynet, r.Groups, public, now, lasts)
	if err != nil {
		return r, err
	}
	files := map[string]secret.Private{}
	for name, content := range r.Files {
		files[name] = content
	}
	files[secret.PsynetCert] = secret.Hide(certificate)
	files[secret.PsynetCA] = secret.Hide(ca.Certificate)
	r.Files = files
	return r, nil
}

// A TakenError is a name or address that somebody in the store has already.
type TakenError struct {
	What string
	By   string
}

func (e *TakenError) Error() string {
	if e.By == "" {
		return e.What + " is in the store already"
	}
	return e.What + " is in use by " + e.By
}

// Check refuses what clashes with somebody in the store. force allows a node
// to be made anew under its own name.
func (r Request) Check(others []Record, force bool) error {
	for _, o := range others {
		if strings.EqualFold(o.Name, r.Name) && (!force || o.Name != r.Name) {
			return step.WithHint(&TakenError{What: fmt.Sprintf("a node named %s", o.Name)}, "--force makes it anew, with other keys; `tk node delete %s` forgets it", o.Name)
		}
	}
	for _, o := range others {
		if o.Name == r.Name {
			continue
		}
		switch {
		case o.Psynet.Addr() == r.Psynet.Addr():
			return step.WithHint(&TakenError{fmt.Sprintf("the psynet address %s", o.Psynet.Addr()), o.Name}, "`tk node list` shows the addresses; %s is free", free(r.Psynet, others))
		case r.MAC != "" && strings.EqualFold(o.MAC, r.MAC):
			return &TakenError{"the MAC address " + r.MAC, o.Name}
		}
	}
	return nil
}

// free is the first address of the network that nobody has, or no address.
func free(network netip.Prefix, others []Record) string {
	taken := map[netip.Addr]bool{broadcast(network): true}
	for _, o := range others {
		taken[o.Psynet.Addr()] = true
	}
	for a := network.Masked().Addr().Next(); network.Contains(a); a = a.Next() {
		if !taken[a] {
			return netip.PrefixFrom(a, network.Bits()).String()
		}
	}
	return "none of " + network.Masked().String()
}

// A Public is what everybody may know of a node.
type Public struct {
	Name       string      `json:"name"`
	Psynet     string      `json:"psynetip"`
	Groups     []string    `json:"groups,omitempty"`
	MAC        string      `json:"mac,omitempty"`
	Hostname   string      `json:"hostname,omitempty"`
	Flavor     string      `json:"flavor_text,omitempty"`
	Serial     string      `json:"serial,omitempty"`
	Created    time.Time   `json:"created"`
	Peer       bool        `json:"peer,omitempty"`          // no node of ours
	Recipient  string      `json:"age_recipient,omitempty"` // for what only the node may read
	KnownHosts string      `json:"known_hosts,omitempty"`
	SSHKey     string      `json:"ssh_fingerprint,omitempty"`
	Psy        Certificate `json:"psynet_certificate"`
}

// Public is what everybody may know of the node.
func (r Record) Public() (Public, error) {
	p := Public{Name: r.Name, Psynet: r.Psynet.String(), Groups: r.Groups, MAC: r.MAC, Hostname: r.Hostname, Flavor: r.Flavor,
		Serial: r.Serial, Created: r.Created, Peer: !r.IsNode()}
	var err error
	if p.Psy, err = ReadCertificate(r.Files[secret.PsynetCert].Reveal()); err != nil {
		return p, fmt.Errorf("%s: %w", r.Name, err)
	}
	if p.Peer {
		return p, nil
	}
	signer, err := ssh.ParsePrivateKey(r.Files[secret.SSHHostKey].Reveal())
	if err != nil {
		return p, fmt.Errorf("%s: its ssh host key: %w", r.Name, err)
	}
	p.SSHKey = ssh.FingerprintSHA256(signer.PublicKey())
	names := r.Name
	if r.Hostname != r.Name && r.Hostname != "" {
		names += "," + r.Hostname
	}
	p.KnownHosts = names + "," + r.Psynet.Addr().String() + " " + string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	p.KnownHosts = strings.TrimSuffix(p.KnownHosts, "\n")
	ids, err := age.ParseIdentities(strings.NewReader(string(r.Files[secret.AgeKey].Reveal())))
	if err != nil {
		return p, fmt.Errorf("%s: its age key is not in age-keygen's form", r.Name)
	}
	if id, ok := ids[0].(*age.X25519Identity); ok {
		p.Recipient = id.Recipient().String()
	}
	return p, nil
}
