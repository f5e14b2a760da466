package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"psyopsOS/step"
)

// SSH is how nodes are reached.
type SSH struct {
	User  string
	Key   string // a private key file; empty: none
	Agent string // the socket of the user's ssh agent; empty: none
	Dir   string // on the node, for the release until it is written; empty: remoteDir
}

// connectMost bounds the connection itself, with the key exchange.
const connectMost = 20 * time.Second

// Dial connects to h. A host key that is not the node's ends it before
// anything is said.
func (s SSH) Dial(ctx context.Context, h Host) (Machine, error) {
	auth, done, err := s.auth()
	if err != nil {
		return nil, err
	}
	defer done()
	config := &ssh.ClientConfig{User: s.User, Auth: auth, HostKeyCallback: h.check, HostKeyAlgorithms: []string{h.Key.Type()}, Timeout: connectMost}
	var failed error
	for _, address := range h.Addresses {
		client, err := connect(ctx, address, config)
		if err == nil {
			dir := s.Dir
			if dir == "" {
				dir = remoteDir
			}
			return &remote{client: client, dir: dir}, nil
		}
		failed = errors.Join(failed, fmt.Errorf("ssh to %s@%s: %w", s.User, address, err))
		var wrong *WrongKeyError
		if errors.As(err, &wrong) {
			return nil, step.WithHint(failed, "another machine has this address, or the node's secrets are not those of the store (tk node show %s)", h.Name)
		}
	}
	return nil, failed
}

// A WrongKeyError is a machine that is not the node.
type WrongKeyError struct{ Want, Got string }

func (e *WrongKeyError) Error() string {
	return fmt.Sprintf("its host key is %s, but the store's is %s", e.Got, e.Want)
}

func (h Host) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	if !bytes.Equal(key.Marshal(), h.Key.Marshal()) {
		return &WrongKeyError{ssh.FingerprintSHA256(h.Key), ssh.FingerprintSHA256(key)}
	}
	return nil
}

// auth are the ways to log in; done lets go of the agent.
func (s SSH) auth() (auth []ssh.AuthMethod, done func(), err error) {
	done = func() {}
	var signers []ssh.Signer
	var locked error
	if s.Key != "" {
		text, err := os.ReadFile(s.Key)
		if err != nil {
			return nil, done, err
		}
		signer, err := ssh.ParsePrivateKey(text)
		if err == nil {
			signers = append(signers, signer)
		} else {
			locked = step.WithHint(fmt.Errorf("%s: %w", s.Key, err), "a key with a passphrase goes into the agent: ssh-add %s", s.Key)
		}
	}
	if s.Agent != "" {
		if conn, err := net.Dial("unix", s.Agent); err == nil {
			done = func() { conn.Close() }
			if more, err := agent.NewClient(conn).Signers(); err == nil {
				signers = append(signers, more...)
			}
		}
	}
	if len(signers) == 0 {
		err := locked
		if err == nil {
			err = step.WithHint(errors.New("no ssh key to log in with"), "ssh-add puts one into the agent, --ssh-key names a file")
		}
		done()
		return nil, func() {}, err
	}
	return []ssh.AuthMethod{ssh.PublicKeys(signers...)}, done, nil
}

func connect(ctx context.Context, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectMost)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	// A machine that takes the connection and says nothing is not waited for.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// An ExitError is a command on the node that failed.
type ExitError struct {
	Command string
	Said    string // the end of its stderr
	Err     error
}

func (e *ExitError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Command, e.Said)
}
func (e *ExitError) Unwrap() error { return e.Err }

// run runs one command. When ctx ends the command is told to end, and the
// connection is closed, for nothing else is certain to end the wait.
func (m *remote) run(ctx context.Context, stdin io.Reader, stdout io.Writer, words ...string) error {
	session, err := m.client.NewSession()
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = session.Signal(ssh.SIGTERM)
		m.client.Close()
	})
	defer stop()
	said := &tail{most: 2 << 10}
	session.Stdin, session.Stdout, session.Stderr = stdin, stdout, said
	err = session.Run(quote(words))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &ExitError{words[0], strings.TrimSpace(said.String()), err}
}

// quote makes words a line of which a shell reads the same words again.
func quote(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("'" + strings.ReplaceAll(w, "'", `'\''`) + "'")
	}
	return b.String()
}

// A tail keeps the end of what is written.
type tail struct {
	most int
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - t.most; over > 0 {
		t.text = slices.Clone(t.text[over:])
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(string(t.text), "?") }
