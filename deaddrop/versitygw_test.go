//go:build s3

package deaddrop

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"psyopsOS/release"
	"psyopsOS/repo"
)

// versitygw is a real S3 server with a website endpoint.
const versitygw = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// buildGateway builds it once for all runs: that takes minutes.
func buildGateway(t *testing.T) string {
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
	build := exec.CommandContext(t.Context(), "go", "install", versitygw)
	build.Dir = t.TempDir() // outside of our module
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	return name
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A gateway is the server, with the bucket drop that everybody may read at
// http://drop.example/.
type gateway struct {
	api, website string
	settings     Settings
}

func startGateway(t *testing.T) gateway {
	t.Helper()
	name := buildGateway(t)
	g := gateway{api: freeAddress(t), website: freeAddress(t)}
	g.settings = Settings{Bucket: "drop", Endpoint: "http://" + g.api, Region: usualRegion, Parallel: 4,
		creds: credentials.NewStaticV4("key", "secretsecret", "")}
	var out bytes.Buffer
	server := exec.Command(name, "--access", "key", "--secret", "secretsecret", "--port", g.api,
		"--website", g.website, "--website-domain", "example", "posix", "--sidecar", t.TempDir(), t.TempDir())
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
	b, err := OpenBucket(g.settings)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err = b.client.MakeBucket(ctx, "drop", minio.MakeBucketOptions{})
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := b.client.SetBucketPolicy(ctx, "drop", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::drop/*"}]}`); err != nil {
		t.Fatal(err)
	}
	g.makeWebsite(t)
	return g
}

// makeWebsite is what `aws s3 website` does.
func (g gateway) makeWebsite(t *testing.T) {
	t.Helper()
	body := `<WebsiteConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>`
	request, err := http.NewRequest(http.MethodPut, "http://"+g.api+"/drop?website=", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Amz-Content-Sha256", sha256Of([]byte(body)))
	request.Header.Set("Content-Md5", md5Of([]byte(body)))
	request = signer.SignV4(*request, "key", "secretsecret", "", usualRegion)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("make a website: %s %s", answer.Status, said)
	}
}

// transport finds drop.example without a name server.
func (g gateway) transport() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, g.website)
	}}
}

// What is pushed to a real server, its website endpoint gives to a node's own
// client: latest by a 301, the tar by ranges, and all comes back by a pull.
func TestARealServerTakesAPushAndGivesItToANode(t *testing.T) {
	g := startGateway(t)
	keys, secret := newKeys(t)
	f := makeTree(t, nil)
	content := make([]byte, 2*partSize+1000)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{v1, v2} {
		if _, err := f.Publish(t.Context(), keys, signRelease(t, t.TempDir(), secret, release.OS, version, content), silent); err != nil {
			t.Fatal(err)
		}
	}
	b, err := OpenBucket(g.settings)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{f, b}
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Transport: g.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get("http://drop.example/" + latestKey)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := fmt.Sprint(answer.StatusCode, " ", answer.Header.Get("Location")); got != "301 /"+tarKey(v2)+".minisig" && got != "301 http://drop.example/"+tarKey(v2)+".minisig" {
		t.Errorf("latest is answered with %s", got)
	}
	if answer, err = client.Head("http://drop.example/" + tarKey(v2)); err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if kind, cache := answer.Header.Get("Content-Type"), answer.Header.Get("Cache-Control"); kind != "application/x-tar" || cache != "public, max-age=31536000, immutable" {
		t.Errorf("the tar is %q, kept %q", kind, cache)
	}

	repository, err := repo.Open("http://drop.example/os", repo.Options{Transport: g.transport(), Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	found, err := repository.Latest(t.Context(), keys, release.OS, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	if err := os.WriteFile(out+repo.Unverified, content[:partSize], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := found.Download(t.Context(), out, nil); err != nil {
		t.Fatal(err)
	}

	mirror := makeTree(t, tree{"old": "x"})
	if err := pull(t.Context(), Pair{mirror, b}, Request{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(treeOf(t, mirror), treeOf(t, f)) {
		t.Error("what was pulled is not what was pushed")
	}
	local, remote, err := p.Compare(t.Context(), true, silent)
	if err != nil {
		t.Fatal(err)
	}
	if plan, err := NewPlan(local, remote, Request{Replace: true}); err != nil || !plan.IsEmpty() {
		t.Errorf("after a push there is left to do: %v, %v", plan, err)
	}
	prune, err := NewPrune(remote, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), append(b.Prune(prune), b.GiveUp(time.Now()))); err != nil {
		t.Fatal(err)
	}
	now, err := b.Now(t.Context())
	if err != nil || len(now) != 3 || checkLinks(now) != nil {
		t.Errorf("after pruning: %v, %v", now, err)
	}
}

// An upload that was broken off goes on at a real server too.
func TestARealServerKeepsThePartsThatArrived(t *testing.T) {
	g := startGateway(t)
	content := make([]byte, 2*partSize+1000)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	f := makeTree(t, tree{"big.bin": string(content)})
	sent := &countingTransport{}
	g.settings.transport, g.settings.retries = sent, 1
	b, err := OpenBucket(g.settings)
	if err != nil {
		t.Fatal(err)
	}
	b.buffers = make(chan []byte, 1) // one after the other
	b.buffers <- nil
	sent.lose = "partNumber=3&"
	if err := push(t.Context(), Pair{f, b}, Request{}); err == nil {
		t.Fatal("a part was lost, and the push did not notice")
	}
	sent.lose, sent.parts = "nothing", nil
	if err := push(t.Context(), Pair{f, b}, Request{}); err != nil {
		t.Fatal(err)
	}
	if len(sent.parts) != 1 || !strings.Contains(sent.parts[0], "partNumber=3") {
		t.Errorf("it sent %q, want the third part alone", sent.parts)
	}
	if got := bucketTree(t, b); got["big.bin"] != string(content) {
		t.Error("what arrived is not what was sent")
	}
}

type countingTransport struct {
	lose  string
	parts []string
}

func (c *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.RawQuery, "partNumber=") {
		if strings.Contains(r.URL.RawQuery+"&", c.lose) {
			return nil, io.ErrUnexpectedEOF
		}
		c.parts = append(c.parts, r.URL.RawQuery)
	}
	return http.DefaultTransport.RoundTrip(r)
}
