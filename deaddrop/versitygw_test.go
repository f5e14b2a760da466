//go:build qemu

package deaddrop

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"psyopsOS/deaddrop/s3test"
	"psyopsOS/release"
	"psyopsOS/repo"
)

// settings lead to a real server's bucket.
func settings(g s3test.Gateway) Settings {
	return Settings{Bucket: s3test.Bucket, Endpoint: g.API, Region: s3test.Region, Parallel: usualParallel,
		creds: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, "")}
}

// What is pushed to a real server, its website endpoint gives to a node's own
// client: latest by a 301, the tar by ranges, and all comes back by a pull.
func TestARealServerTakesAPushAndGivesItToANode(t *testing.T) {
	g := s3test.Start(t)
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
	b, err := OpenBucket(settings(g))
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{f, b}
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Transport: g.Transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get("http://updates.example/" + latestKey)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := fmt.Sprint(answer.StatusCode, " ", answer.Header.Get("Location")); got != "301 /"+tarKey(v2)+".minisig" && got != "301 http://updates.example/"+tarKey(v2)+".minisig" {
		t.Errorf("latest is answered with %s", got)
	}
	if answer, err = client.Head("http://updates.example/" + tarKey(v2)); err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if kind, cache := answer.Header.Get("Content-Type"), answer.Header.Get("Cache-Control"); kind != "application/x-tar" || cache != "public, max-age=31536000, immutable" {
		t.Errorf("the tar is %q, kept %q", kind, cache)
	}

	repository, err := repo.Open("http://updates.example/os", repo.Options{Transport: g.Transport(), Attempts: 1})
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
	g := s3test.Start(t)
	content := make([]byte, 2*partSize+1000)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	f := makeTree(t, tree{"big.bin": string(content)})
	sent := &countingTransport{}
	s := settings(g)
	s.transport, s.retries = sent, 1
	b, err := OpenBucket(s)
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

// What arrives is compared by the server with what was hashed: no hash of ours
// is made between the two.
func TestARealServerRefusesAPartThatIsNotWhatWasHashed(t *testing.T) {
	b, err := OpenBucket(settings(s3test.Start(t)))
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{makeTree(t, tree{"big.bin": strings.Repeat("x", partSize+1)}), b}
	local, plan := planned(t, p, Request{})
	(*local["big.bin"].parts)[1].sha256[0] ^= 1
	if err := run(t.Context(), p.Push(plan)); err == nil || !strings.Contains(err.Error(), "send part 2 of big.bin") {
		t.Errorf("got %v", err)
	}
	if got := bucketTree(t, b); len(got) != 0 {
		t.Errorf("the bucket holds %d objects", len(got))
	}
	if err := push(t.Context(), p, Request{}); err != nil {
		t.Errorf("hashed anew: %v", err)
	}
}
