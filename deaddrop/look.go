package deaddrop

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"psyopsOS/step"
)

// A Difference is a key of which folder and bucket do not hold the same.
type Difference struct {
	Key   string `json:"key"`
	Here  *Entry `json:"here,omitempty"`  // nil where the folder has none
	There *Entry `json:"there,omitempty"` // nil where the bucket has none
}

// Differ says in what folder and bucket differ, by key, and how many entries
// are the same.
func Differ(local, remote Listing) (different []Difference, alike int) {
	all := maps.Clone(local)
	maps.Copy(all, remote)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		d := Difference{Key: key}
		if e, ok := local[key]; ok {
			d.Here = &e
		}
		if e, ok := remote[key]; ok {
			d.There = &e
		}
		if d.Here != nil && d.There != nil && same(*d.Here, *d.There) {
			alike++
			continue
		}
		different = append(different, d)
	}
	return different, alike
}

// String is the difference on one line.
func (d Difference) String() string {
	switch {
	case d.There == nil:
		return fmt.Sprintf("only here           %s", d.Here)
	case d.Here == nil:
		return fmt.Sprintf("only in the bucket  %s", d.There)
	case d.Here.IsLink() && d.There.IsLink():
		return fmt.Sprintf("differs             %s, in the bucket to %s", d.Here, d.There.Link)
	}
	return fmt.Sprintf("differs             %s", d.Here)
}

// GiveUp is a step that ends uploads which began before a time and were never
// completed: their parts take room that no listing shows.
func (b *Bucket) GiveUp(before time.Time) step.Step {
	return step.Step{Name: "give up unfinished uploads", Do: func(ctx context.Context, r *step.Reporter) error {
		for u := range b.client.ListIncompleteUploads(ctx, b.name, b.prefix, true) {
			if minio.ToErrorResponse(u.Err).Code == "NoSuchUpload" {
				return nil // what some servers say for an empty list
			}
			if u.Err != nil {
				return b.explain("list unfinished uploads", u.Err)
			}
			if !u.Initiated.Before(before) {
				continue
			}
			err := b.client.AbortMultipartUpload(ctx, b.name, u.Key, u.UploadID)
			if err != nil && minio.ToErrorResponse(err).Code != "NoSuchUpload" {
				return b.explain("give up the upload of "+u.Key, err)
			}
			r.Note("%s, begun %s", strings.TrimPrefix(u.Key, b.prefix), u.Initiated.UTC().Format(time.DateOnly))
		}
		return nil
	}}
}
