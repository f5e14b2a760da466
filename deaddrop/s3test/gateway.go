// Package s3test starts a real S3 server with a website endpoint for tests:
// versitygw, built from the module proxy at first use. It is no dependency of
// our module, which would carry its 80 others.
package s3test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// versitygw is what is built.
const versitygw = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// The one account of a Gateway, and where it says it is.
const (
	AccessKey = "key"
	SecretKey = "secretsecret"
	Region    = "us-east-1"
)

// Bucket is the bucket of a Gateway, and the name by which its website
// endpoint knows it.
const Bucket = "updates.example"

// A Gateway is the server, with a bucket that everybody may read at
// http://updates.example/ and only the account's owner may write.
type Gateway struct {
	API     string // http://HOST:PORT of the S3 protocol
	Website string // HOST:PORT of the website endpoint
}

// build builds the server once for all runs, in the user's cache folder. A
// machine that has none of its modules needs 80 s of one core and 336 MB for it.
func build(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "psyopsOS", filepath.Base(versitygw))
	name := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(name); err == nil {
		return name
	}
	// Two packages' tests may be at it at once: each makes its own.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	own, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(own)
	began := time.Now()
	cmd := exec.CommandContext(t.Context(), "go", "install", versitygw)
	cmd.Dir = own // outside of our module
	cmd.Env = append(os.Environ(), "GOBIN="+own, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	if err := os.Rename(filepath.Join(own, "versitygw"), name); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s was built in %.0f s and is kept in %s", versitygw, time.Since(began).Seconds(), dir)
	return name
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start starts the server for the time of a test.
func Start(t testing.TB) Gateway {
	t.Helper()
	name := build(t)
	api := freeAddress(t)
	g := Gateway{API: "http://" + api, Website: freeAddress(t)}
	var out bytes.Buffer
	server := exec.Command(name, "--access", AccessKey, "--secret", SecretKey, "--port", api,
		"--website", g.Website, "posix", "--sidecar", t.TempDir(), t.TempDir())
	server.Stdout, server.Stderr = &out, &out
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("the server said\n%s", &out)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := g.put(ctx, "", "")
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("make the bucket: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	g.Put(t, "website", website)
	g.Put(t, "policy", policy)
	return g
}

// Put sets a property of the bucket, as the tools of S3 do.
func (g Gateway) Put(t testing.TB, property, value string) {
	t.Helper()
	if err := g.put(t.Context(), "?"+property+"=", value); err != nil {
		t.Fatalf("put the bucket's %s: %v", property, err)
	}
}

// policy lets everybody read the bucket.
const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::updates.example/*"}]}`

// website is what `aws s3 website` sends.
const website = `<WebsiteConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>`

func (g Gateway) put(ctx context.Context, query, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, g.API+"/"+Bucket+query, strings.NewReader(body))
	if err != nil {
		return err
	}
	sha, sum := sha256.Sum256([]byte(body)), md5.Sum([]byte(body))
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sha[:]))
	request.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	answer, err := http.DefaultClient.Do(signer.SignV4(*request, AccessKey, SecretKey, "", Region))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s", answer.Status, said)
	}
	return err
}

// Environment is what AWS's tools, and tk, need to reach the bucket.
func (g Gateway) Environment() []string {
	return []string{"AWS_ENDPOINT_URL_S3=" + g.API, "AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey}
}

// Transport finds http://updates.example/ without a name server.
func (g Gateway) Transport() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, g.Website)
	}}
}
