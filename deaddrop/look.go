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

// Differences says in what folder and bucket differ, a line each.
func Differences(local, remote Listing) string {
	var b strings.Builder
	all := maps.Clone(local)
	maps.Copy(all, remote)
	count := 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		here, isHere := local[key]
		there, isThere := remote[key]
		switch {
		case isHere && isThere && same(here, there):
			count++
		case !isThere:
			fmt.Fprintf(&b, "only here           %s\n", here)
		case !isHere:
			fmt.Fprintf(&b, "only in the bucket  %s\n", there)
		case here.IsLink() && there.IsLink():
			fmt.Fprintf(&b, "differs             %s, in the bucket to %s\n", here, there.Link)
		default:
			fmt.Fprintf(&b, "differs             %s\n", here)
		}
	}
	fmt.Fprintf(&b, "%d the same, %d not\n", count, len(all)-count)
	return b.String()
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
