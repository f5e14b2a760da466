// Package deaddrop is the builder's side of the release repository: a folder
// that mirrors a bucket of an S3-compatible server, out of which nodes fetch
// their updates over plain HTTP(S). Package repo is the node's side.
//
// It is a package of its own because it is the one door to the S3 client,
// which weighs several megabytes and must never be in PID 1; repo must.
//
// The folder holds files and relative symbolic links (`latest`); the bucket
// holds objects, and for each link an empty object with website redirect
// metadata, which a website endpoint answers with a 301. Names that begin with
// a dot are this package's own notes and are on one side only.
//
// What it promises: an object key never leads out of the folder, nor a link;
// what a node needs is sent before the `latest` that names it, and removed
// after it; what `latest` names is not removed; what is sent is what was
// hashed. Nothing here verifies a release but Publish: a bucket is transport,
// and nodes trust signatures alone.
package deaddrop

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"psyopsOS/release"
	"psyopsOS/step"
)

// An Entry is one file or link of the folder, or one object of the bucket.
type Entry struct {
	Key    string `json:"key"` // slash-separated, below the folder or the bucket's prefix
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"` // in hex; empty where it is not known
	Link   string `json:"link,omitempty"`   // the key that a link leads to; empty for a file

	parts *[]partSum // of a file of the folder that would be sent in parts
}

// IsLink reports whether it is a link or a redirect, not a file.
func (e Entry) IsLink() bool { return e.Link != "" }

// A Listing is all that a folder or a bucket holds, by key.
type Listing map[string]Entry

// Keys are the keys in order.
func (l Listing) Keys() []string { return slices.Sorted(maps.Keys(l)) }

// Clone is a copy that can be changed.
func (l Listing) Clone() Listing { return maps.Clone(l) }

// maxKey is S3's limit.
const maxKey = 1024

// checkKey refuses a key that could not be a file below a folder, or that
// would need quoting in an address. Keys come from a server that anybody may
// have written to.
func checkKey(key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("the key has %d bytes, at most %d", len(key), maxKey)
	}
	for _, part := range strings.Split(key, "/") {
		if part == "" || part[0] == '.' || strings.Trim(part, nameBytes) != "" {
			return step.WithHint(fmt.Errorf("key %q is refused", key),
				"a key is names of A-Z a-z 0-9 . _ + -, none of which begins with a dot, with one slash between them")
		}
	}
	return nil
}

const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-"

// checkKeys refuses keys that cannot be in one folder together.
func checkKeys(l Listing) error {
	for _, key := range l.Keys() {
		if err := checkKey(key); err != nil {
			return err
		}
		for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
			if _, isFile := l[dir]; isFile {
				return fmt.Errorf("%s is a file, and %s is below it", dir, key)
			}
		}
	}
	return nil
}

// A rank is when something is sent: what a node needs comes before what names
// it. Removing goes the other way.
type rank int

const (
	contents   rank = iota // tars and everything else
	signatures             // they name tars
	links                  // they name signatures
)

func rankOf(e Entry) rank {
	switch {
	case e.IsLink():
		return links
	case signed(e.Key) != "":
		return signatures
	}
	return contents
}

// signed is the file to which a signature belongs, X of X.minisig or
// X.minisig.KEYID; empty where key is no signature.
func signed(key string) string {
	file, rest, ok := strings.Cut(key, ".minisig")
	if !ok || rest != "" && (len(rest) != 17 || strings.Trim(rest[1:], "0123456789ABCDEF") != "" || rest[0] != '.') {
		return ""
	}
	return file
}

// about is the tar that a file tells of: its signatures, and its bill of
// materials; empty for other keys.
func about(key string) string {
	if release, ok := strings.CutSuffix(key, ".cdx.json"); ok {
		return release + ".tar"
	}
	return signed(key)
}

// needed are the keys that a link needs: the signature that it names, that
// one's tar and the tar's other signatures.
func (l Listing) needed(link Entry) []string {
	needed := []string{link.Link}
	tar := signed(link.Link)
	if tar == "" {
		return needed
	}
	needed = append(needed, tar)
	for key := range l {
		if key != link.Link && signed(key) == tar {
			needed = append(needed, key)
		}
	}
	return needed
}

// checkLinks refuses a listing in which a link leads nowhere, or to a
// signature without its tar.
func checkLinks(l Listing) error {
	for _, key := range l.Keys() {
		if !l[key].IsLink() {
			continue
		}
		for _, needed := range l.needed(l[key]) {
			to, ok := l[needed]
			switch {
			case !ok && needed == l[key].Link:
				return step.WithHint(fmt.Errorf("%s leads to %s, which is not there", key, needed), "make the link anew, or remove it")
			case !ok:
				return step.WithHint(fmt.Errorf("%s leads to %s, whose tar %s is not there", key, l[key].Link, path.Base(needed)),
					"a node that follows it could not fetch the release: bring the tar, or remove the link")
			case to.IsLink():
				return fmt.Errorf("%s leads to %s, which is a link itself", key, needed)
			}
		}
	}
	return nil
}

// cacheControl is for how long a server between a node and the bucket may
// keep an answer. A versioned tar never changes; a signature may get a second
// one beside it, and latest moves.
func cacheControl(e Entry) string {
	if _, err := release.ParseName(path.Base(e.Key)); err == nil && !e.IsLink() {
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

// contentType is what a browser should do with it.
func contentType(key string) string {
	if signed(key) != "" {
		return "text/plain; charset=utf-8"
	}
	switch path.Ext(key) {
	case ".tar":
		return "application/x-tar"
	case ".gz":
		return "application/gzip"
	case ".json":
		return "application/json"
	case ".html":
		return "text/html; charset=utf-8"
	case ".txt", ".md", ".pub":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}
