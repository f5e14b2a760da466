package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rogpeppe/go-internal/testscript"

	"psyopsOS/deaddrop"
	"psyopsOS/release"
	"psyopsOS/repo"
)

// startS3 is the scripts' command s3: a server in memory with the bucket
// updates, and the variables that lead there.
func startS3(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: s3")
	}
	backend := s3mem.New()
	ts.Check(backend.CreateBucket("updates"))
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	ts.Defer(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_S3": server.URL, "AWS_ACCESS_KEY_ID": "key",
		"AWS_SECRET_ACCESS_KEY": "notinanylog", deaddrop.BucketVariable: "s3://updates"} {
		ts.Setenv(name, value)
	}
}

// A node's client reads what `tk deaddrop serve` offers: latest by its
// redirect, and a tar that goes on where it was broken off.
func TestANodeFetchesARelaseFromDeaddropServe(t *testing.T) {
	t.Setenv(configVariable, "none") // a developer's own settings
	public, secret, err := release.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := release.NewKeys(1, public)
	if err != nil {
		t.Fatal(err)
	}
	built, dir := t.TempDir(), t.TempDir()
	content := bytes.Repeat([]byte("release "), 1000)
	info := release.Info{Kind: release.OS, Version: "20261121-101500", Kernel: "6.1.0", Userland: "testos-1", Architecture: "x86_64",
		Filename: "psyopsOS.x86_64.20261121-101500.tar", Size: int64(len(content))}
	signature, err := release.Sign(secret, bytes.NewReader(content), info.Comment(), "test")
	if err != nil {
		t.Fatal(err)
	}
	tar := filepath.Join(built, info.Filename)
	if err := os.WriteFile(tar, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tar+".minisig", signature, 0o644); err != nil {
		t.Fatal(err)
	}
	folder, err := deaddrop.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Publish(t.Context(), keys, tar, func(done, total int64) {}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, stdout := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- run(ctx, env{stdout: stdout, stderr: io.Discard}, []string{"deaddrop", "serve", "--dir", dir, "--listen", "127.0.0.1:0"})
	}()
	line := make([]byte, 1000)
	n, err := told.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`http://\S+/os`).FindString(string(line[:n]))
	repository, err := repo.Open(address, repo.Options{Idle: 5 * time.Second, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	found, err := repository.Latest(t.Context(), keys, release.OS, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	// A part of it is there already: the rest comes by range.
	if err := os.WriteFile(found.Begun(out), content[:5000], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := found.Download(t.Context(), out, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("serve ended with status %d", status)
	}
}
