//go:build qemu

package deaddrop

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"psyopsOS/deaddrop/s3test"
	"psyopsOS/step"
)

// BenchmarkPush sends to a real server of this machine, and then the same
// bytes by plain PUTs of the same client, as many at once: push/PUTs is the
// push's time to theirs, push/parts to that client's own upload in as large
// parts, again/push what a push costs that sends nothing. What a push does more
// is to hash each file and its parts before it is sent, to have the server check
// each part's SHA-256, to list, and to send in three ranks.
//
//	PSYOPSOS_BENCH_OBJECTS=1000 PSYOPSOS_BENCH_MB=2000
//
// are the sizes that `make bench` takes; by default it is a tenth of them.
func BenchmarkPush(b *testing.B) {
	objects, mb := number(b, "PSYOPSOS_BENCH_OBJECTS", 100), number(b, "PSYOPSOS_BENCH_MB", 200)
	small := map[string]int64{}
	for i := range objects {
		small[fmt.Sprintf("files/%04d.bin", i)] = 4 << 10
	}
	b.Run(fmt.Sprintf("%d_objects_of_4_KiB", objects), func(b *testing.B) { benchmarkPush(b, small) })
	b.Run(fmt.Sprintf("one_of_%d_MB", mb), func(b *testing.B) { benchmarkPush(b, map[string]int64{tarKey(v1): mb * 1e6}) })
}

func number(b *testing.B, variable string, usual int64) int64 {
	b.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		b.Fatalf("%s=%q: want a number", variable, text)
	}
	return n
}

func benchmarkPush(b *testing.B, sizes map[string]int64) {
	bucket, err := OpenBucket(settings(s3test.Start(b)))
	if err != nil {
		b.Fatal(err)
	}
	p := Pair{makeTree(b, nil), bucket}
	var total int64
	for key, size := range sizes {
		randomFile(b, filepath.Join(p.Folder.dir, key), size)
		total += size
	}
	var pushing, again, plain, parts time.Duration
	for b.Loop() {
		pushing += timed(b, func(ctx context.Context) error { return push(ctx, p, Request{}) })
		again += timed(b, func(ctx context.Context) error { return push(ctx, p, Request{}) })
		empty(b, bucket)
		plain += timed(b, func(ctx context.Context) error {
			return plainPuts(ctx, p, minio.PutObjectOptions{DisableMultipart: true})
		})
		empty(b, bucket)
		parts += timed(b, func(ctx context.Context) error {
			return plainPuts(ctx, p, minio.PutObjectOptions{PartSize: partSize, NumThreads: partsAtOnce, ConcurrentStreamParts: true})
		})
		empty(b, bucket)
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op") // of push, push and plain together: says nothing
	b.ReportMetric(pushing.Seconds()/n, "push-s")
	b.ReportMetric(pushing.Seconds()/plain.Seconds(), "push/PUTs")
	b.ReportMetric(pushing.Seconds()/parts.Seconds(), "push/parts")
	b.ReportMetric(again.Seconds()/pushing.Seconds(), "again/push")
	b.ReportMetric(float64(total)/1e6*n/pushing.Seconds(), "MB/s")
	b.ReportMetric(float64(len(sizes))*n/pushing.Seconds(), "objects/s")
}

func timed(b *testing.B, do func(ctx context.Context) error) time.Duration {
	b.Helper()
	began := time.Now()
	if err := do(b.Context()); err != nil {
		b.Fatal(err, step.HintOf(err))
	}
	return time.Since(began)
}

// plainPuts is what a loop around the client's own upload does.
func plainPuts(ctx context.Context, p Pair, options minio.PutObjectOptions) error {
	options.DisableContentSha256 = true
	l, err := p.Folder.List()
	if err != nil {
		return err
	}
	return p.Bucket.each(ctx, l.Keys(), func(ctx context.Context, key string) error {
		file, err := p.Folder.root.Open(key)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = p.Bucket.client.Client.PutObject(ctx, p.Bucket.name, key, file, l[key].Size, options)
		return err
	})
}

func empty(b *testing.B, bucket *Bucket) {
	b.Helper()
	l, err := bucket.List(b.Context())
	if err == nil {
		err = bucket.each(b.Context(), l.Keys(), bucket.Remove)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// randomFile writes a file that nothing could compress; a MiB of it repeats.
func randomFile(b *testing.B, name string, size int64) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%032d", size))))
	source.Read(content)
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	for ; size > 0 && err == nil; size -= min(size, int64(len(content))) {
		_, err = bytes.NewReader(content[:min(size, int64(len(content)))]).WriteTo(f)
	}
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
