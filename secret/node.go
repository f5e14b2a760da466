// Package secret reads psyops-secret, the small volume that makes a machine
// itself, and puts what it holds where the running system expects it: the
// node's name, its keys, its network (FORMATS.md section 5).
//
// Read is pure and tolerates everything: a missing, empty or damaged volume
// makes an unconfigured node, never a failed boot. Files is the list of what
// to write, Install writes it below a root. It obeys no kernel words, and
// whatever it holds prints as [private].
package secret

import (
	"fmt"
	"strings"

	"psyopsOS/layout"
)

// Files of the volume.
const (
	NodenameFile   = "nodename"
	AgeKey         = "age.key"
	Mactab         = "mactab"
	Interfaces     = "network.interfaces"
	SSHHostKey     = "ssh_host_ed25519_key"
	PsynetCert     = "psynet.host.crt"
	PsynetKey      = "psynet.host.key"
	PsynetCA       = "psynet.ca.crt" // not of the first psyopsOS: nobody misses it
	MinisignPubkey = "minisign.pubkey"
	TestingEnv     = "TESTONLYNOPROD.env"
)

// Known lists the files that a complete volume has.
func Known() []string {
	return []string{NodenameFile, AgeKey, Mactab, Interfaces, SSHHostKey, PsynetCert, PsynetKey, MinisignPubkey}
}

// A Node is what the volume says about this machine.
type Node struct {
	Name  string           // safe for shells and paths; layout.Unconfigured where there is none
	Toor  bool             // a second root without a password, for tests only
	Files map[string]Entry // by path on the volume
}

// An Entry is one file of the volume.
type Entry struct {
	Data       Private
	Executable bool
}

// Unconfigured is the node of a machine without a volume.
func Unconfigured() Node { return Node{Name: layout.Unconfigured} }

// Text is the content of a file that is no secret to this program, such as
// mactab; empty where there is none.
func (n Node) Text(name string) string { return string(n.Files[name].Data.Reveal()) }

// Missing lists the known files that the volume does not have.
func (n Node) Missing() []string {
	var names []string
	for _, name := range Known() {
		if _, ok := n.Files[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// Env is psyops-secret.env, which shells source: nothing in it but the name
// comes from the volume, and the name is safe. Paths are there even where the
// file is not.
func (n Node) Env() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "PSYOPSOS_NODENAME=%s\n", n.safeName())
	for _, v := range []struct{ key, file string }{
		{"AGEKEY", AgeKey},
		{"MINISIGN_PUB", MinisignPubkey},
		{"MACTAB", Mactab},
		{"INTERFACES", Interfaces},
		{"SSHD_ED25519_KEY", SSHHostKey},
		{"PSYNET_HOST_CRT", PsynetCert},
		{"PSYNET_HOST_KEY", PsynetKey},
	} {
		fmt.Fprintf(&b, "PSYOPSOS_%s=%s/%s\n", v.key, layout.MountSecret, v.file)
	}
	return []byte(b.String())
}

// safeName holds for a Node that Read did not make, too.
func (n Node) safeName() string {
	if n.Name == "" || checkNodename(n.Name) != nil {
		return layout.Unconfigured
	}
	return n.Name
}

// maxNodename is the longest name that the kernel takes for the host.
const maxNodename = 64

func checkNodename(name string) error {
	foreign := strings.IndexFunc(name, func(r rune) bool { return !nodenameRune(r) })
	switch {
	case len(name) > maxNodename:
		return fmt.Errorf("it has %d characters, more than %d", len(name), maxNodename)
	case foreign >= 0:
		return fmt.Errorf("its character %d is not one of A-Z a-z 0-9 . _ -", foreign+1)
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("it begins with -, as an option of a program does")
	case strings.Trim(name, ".") == "" && name != "":
		return fmt.Errorf("it has nothing but dots, as a folder above has")
	}
	return nil
}

func nodenameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

// parseNodename takes the first line of the file.
func parseNodename(text []byte) (string, error) {
	line, _, _ := strings.Cut(string(text), "\n")
	name := strings.Trim(line, " \t\r")
	return name, checkNodename(name)
}

// toorKey is the only thing that TESTONLYNOPROD.env can say.
const toorKey = "PSYOPSOS_TESTING_ONLY_NO_PROD_ADD_TOOR_BLANK_PW"

// wantsToor reports whether the last line that sets toorKey sets it to yes.
func wantsToor(text []byte) bool {
	wants := false
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.Trim(line, " \t\r\n"), "="); ok && key == toorKey {
			wants = value == "yes"
		}
	}
	return wants
}
