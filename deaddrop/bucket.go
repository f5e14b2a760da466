package deaddrop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"

	"psyopsOS/step"
)

// shaHeader is the metadata word under which an object keeps its SHA-256.
const shaHeader = "sha256"

// A Bucket is the mirror on an S3-compatible server.
type Bucket struct {
	client   minio.Core
	name     string
	prefix   string // of all keys; empty or with a slash at its end
	endpoint string
	parallel int
	buffers  chan []byte // of parts; who holds one may have that much in memory
}

// OpenBucket is the bucket that the settings name. It asks nothing of the
// server yet.
func OpenBucket(s Settings) (*Bucket, error) {
	name, prefix, err := s.place()
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(s.Endpoint)
	if err != nil {
		return nil, err
	}
	client, err := minio.NewCore(at.Host, &minio.Options{Creds: s.credentials(), Secure: at.Scheme == "https",
		Region: s.Region, Transport: s.transport, MaxRetries: s.retries})
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", s.Endpoint, err)
	}
	buffers := make(chan []byte, partsAtOnce)
	for range partsAtOnce {
		buffers <- nil
	}
	return &Bucket{*client, name, prefix, s.Endpoint, s.Parallel, buffers}, nil
}

func (b *Bucket) String() string { return "s3://" + b.name + "/" + b.prefix + " at " + b.endpoint }

// List is all that the bucket holds, without what only each object's own
// metadata tells: hashes and links. Keys that could not be in a folder are
// refused.
func (b *Bucket) List(ctx context.Context) (Listing, error) {
	l := Listing{}
	for o := range b.client.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.explain("list", o.Err)
		}
		key := strings.TrimPrefix(o.Key, b.prefix)
		if strings.HasSuffix(key, "/") && o.Size == 0 || key == "" {
			continue // what some tools make for a folder
		}
		l[key] = Entry{Key: key, Size: o.Size}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := checkKeys(l); err != nil {
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	return l, nil
}

// Look fills in what the metadata tell of those entries that want says.
func (b *Bucket) Look(ctx context.Context, l Listing, want func(Entry) bool) error {
	var keys []string
	for _, key := range l.Keys() {
		if want(l[key]) {
			keys = append(keys, key)
		}
	}
	var mu sync.Mutex
	return b.each(ctx, keys, func(ctx context.Context, key string) error {
		e, err := b.Stat(ctx, key)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		l[key] = e
		return nil
	})
}

// Stat asks for one object's metadata.
func (b *Bucket) Stat(ctx context.Context, key string) (Entry, error) {
	o, err := b.client.StatObject(ctx, b.name, b.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return Entry{}, b.explain("look at "+key, err)
	}
	e := Entry{Key: key, Size: o.Size, SHA256: o.UserMetadata["Sha256"]}
	if to := o.Metadata.Get("X-Amz-Website-Redirect-Location"); to != "" {
		if e.Link, err = b.linked(to); err != nil {
			return Entry{}, fmt.Errorf("%s: %s: %w", b, key, err)
		}
	}
	return e, nil
}

// look is Stat, but that there is no such object is no error.
func (b *Bucket) look(ctx context.Context, key string) (Entry, error) {
	e, err := b.Stat(ctx, key)
	var said minio.ErrorResponse
	if errors.As(err, &said) && said.Code == "NoSuchKey" {
		return Entry{}, nil
	}
	return e, err
}

// linked is the key that a redirect leads to.
func (b *Bucket) linked(location string) (string, error) {
	key, ok := strings.CutPrefix(location, "/"+b.prefix)
	if !ok || checkKey(key) != nil {
		return "", step.WithHint(fmt.Errorf("it redirects to %q, which is out of the bucket's tree", location),
			"a redirect of ours is /%sKEY; remove the object", b.prefix)
	}
	return key, nil
}

// options are the headers of e's object.
func (b *Bucket) options(e Entry) minio.PutObjectOptions {
	o := minio.PutObjectOptions{ContentType: contentType(e.Key), CacheControl: cacheControl(e), DisableContentSha256: true}
	if e.IsLink() {
		o.WebsiteRedirectLocation = "/" + b.prefix + e.Link
	} else {
		o.UserMetadata = map[string]string{shaHeader: e.SHA256}
	}
	return o
}

// Put sends an object in one request. The request is signed over the contents'
// SHA-256, which the server checks of what arrives: no MD5 beside it. It streams
// neither (DisableContentSha256 is the client's word for that), since servers
// differ in what they make of signed streams.
func (b *Bucket) Put(ctx context.Context, e Entry, content []byte) error {
	sum := e.SHA256
	if e.IsLink() {
		sum = sha256Of(content)
	}
	_, err := b.client.PutObject(ctx, b.name, b.prefix+e.Key, bytes.NewReader(content), int64(len(content)), "", sum, b.options(e))
	return b.explain("send "+e.Key, err)
}

func sha256Of(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Get opens an object.
func (b *Bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r, _, _, err := b.client.GetObject(ctx, b.name, b.prefix+key, minio.GetObjectOptions{})
	return r, b.explain("fetch "+key, err)
}

// Remove removes an object. That it is gone already is no error.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	return b.explain("remove "+key, b.client.RemoveObject(ctx, b.name, b.prefix+key, minio.RemoveObjectOptions{}))
}

// each does something with all keys, several at once, and stops at the first
// failure.
func (b *Bucket) each(ctx context.Context, keys []string, do func(ctx context.Context, key string) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan string)
	var wait sync.WaitGroup
	for range min(b.parallel, len(keys)) {
		wait.Go(func() {
			for key := range work {
				if err := do(ctx, key); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for _, key := range keys {
		select {
		case work <- key:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	wait.Wait()
	return context.Cause(ctx)
}

// explain says what was tried, and what to do about the usual refusals.
func (b *Bucket) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	said := minio.ToErrorResponse(err)
	err = fmt.Errorf("%s: %s: %w", b, what, err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case said.Code == "NoSuchBucket":
		return step.WithHint(err, "make the bucket, or name another one with --bucket or %s", BucketVariable)
	case said.Code == "NoSuchKey":
		return step.WithHint(err, "somebody else changes the bucket; try again")
	case said.StatusCode == http.StatusForbidden, said.Code == "AccessDenied", said.Code == "InvalidAccessKeyId", said.Code == "SignatureDoesNotMatch":
		return step.WithHint(err, "credentials are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the profile in ~/.aws/credentials (AWS_PROFILE)")
	case said.StatusCode == 0:
		return step.WithHint(err, "look at the network and at the endpoint (--endpoint or AWS_ENDPOINT_URL_S3)")
	}
	return err
}
