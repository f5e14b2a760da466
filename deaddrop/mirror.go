package deaddrop

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"psyopsOS/step"
)

// A Pair is a folder and the bucket that it mirrors.
type Pair struct {
	Folder *Folder
	Bucket *Bucket
}

// Compare lists both sides, with all that tells whether two entries are the
// same: the metadata of objects that may be links or equal, and the hashes of
// files that may be equal or that pushing would send.
func (p Pair) Compare(ctx context.Context, pushing bool, progress func(done, total int64)) (local, remote Listing, err error) {
	if local, err = p.Folder.List(); err != nil {
		return nil, nil, err
	}
	if remote, err = p.Bucket.List(ctx); err != nil {
		return nil, nil, err
	}
	twin := func(e Entry, in Listing) bool {
		other, ok := in[e.Key]
		return ok && !other.IsLink() && other.Size == e.Size
	}
	if err := p.Bucket.Look(ctx, remote, func(e Entry) bool { return !pushing || mayBeLink(e) || twin(e, local) }); err != nil {
		return nil, nil, err
	}
	// What has a twin is most likely the same.
	err = p.Folder.Hash(ctx, local, progress, func(e Entry) bool { return pushing || twin(e, remote) },
		func(e Entry) bool { return pushing && !twin(e, remote) })
	return local, remote, err
}

// A side is where a plan is carried out.
type side struct {
	name   string
	bring  func(ctx context.Context, e Entry, progress func(n int64)) error
	remove func(ctx context.Context, key string) error
	now    func(ctx context.Context) (Listing, error)           // with its links
	look   func(ctx context.Context, key string) (Entry, error) // empty where there is none
	each   func(ctx context.Context, keys []string, do func(ctx context.Context, key string) error) error
}

// Push are the steps that carry out a plan for the bucket.
func (p Pair) Push(plan Plan) []step.Step {
	return p.bucketSide().steps(plan)
}

// Pull are the steps that carry out a plan for the folder.
func (p Pair) Pull(plan Plan) []step.Step {
	s := p.Folder.side()
	s.each = p.Bucket.each
	s.bring = func(ctx context.Context, e Entry, progress func(n int64)) error {
		if e.IsLink() {
			return p.Folder.Link(e.Key, e.Link)
		}
		r, err := p.Bucket.Get(ctx, e.Key)
		if err != nil {
			return err
		}
		defer r.Close()
		return p.Folder.Write(e, contextReader{ctx, r, func(n int) { progress(int64(n)) }})
	}
	return s.steps(plan)
}

func (p Pair) bucketSide() side {
	s := p.Bucket.side()
	s.bring = func(ctx context.Context, e Entry, progress func(n int64)) error {
		if e.IsLink() {
			return p.Bucket.Put(ctx, e, nil)
		}
		return p.Bucket.Send(ctx, p.Folder, e, progress)
	}
	return s
}

// Prune are the steps that carry out NewPrune's plan in the folder.
func (f *Folder) Prune(plan Plan) []step.Step { return f.side().steps(plan) }

// Prune are the steps that carry out NewPrune's plan in the bucket.
func (b *Bucket) Prune(plan Plan) []step.Step { return b.side().steps(plan) }

func (f *Folder) side() side {
	return side{
		name:   "the folder",
		remove: func(_ context.Context, key string) error { return f.Remove(key) },
		now:    func(context.Context) (Listing, error) { return f.List() },
		look: func(_ context.Context, key string) (Entry, error) {
			l, err := f.List()
			return l[key], err
		},
		each: func(ctx context.Context, keys []string, do func(context.Context, string) error) error {
			for _, key := range keys {
				if err := do(ctx, key); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (b *Bucket) side() side {
	return side{name: "the bucket", remove: b.Remove, now: b.Now, look: b.look, each: b.each}
}

// Now is what the bucket holds, with its links.
func (b *Bucket) Now(ctx context.Context) (Listing, error) {
	l, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	return l, b.Look(ctx, l, mayBeLink)
}

// mayBeLink reports whether an object's metadata must be asked for. Ours are
// empty; other tools give a redirect contents too.
func mayBeLink(e Entry) bool { return e.Size == 0 || strings.Contains(e.Key, ".latest.") }

// steps bring rank after rank, each only when the one before is through, and
// remove in the opposite order.
func (s side) steps(plan Plan) []step.Step {
	var steps []step.Step
	for _, r := range []rank{contents, signatures, links} {
		if entries := ofRank(plan.Bring, r); len(entries) > 0 {
			steps = append(steps, s.bringStep(fmt.Sprintf("bring %s to %s", counted(len(entries), r), s.name), entries, plan.forward))
		}
	}
	for _, r := range []rank{links, signatures, contents} {
		if entries := ofRank(plan.Remove, r); len(entries) > 0 {
			steps = append(steps, s.removeStep(fmt.Sprintf("remove %s from %s", counted(len(entries), r), s.name), entries))
		}
	}
	return steps
}

// counted is "1 file", "2 files".
func counted(n int, r rank) string {
	noun := map[rank]string{contents: "file", signatures: "signature", links: "link"}[r]
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// bringStep looks once more before it moves a link forward: another builder
// may have moved it further while a large tar was on its way.
func (s side) bringStep(name string, entries []Entry, forward bool) step.Step {
	return step.Step{Name: name, Do: func(ctx context.Context, r *step.Reporter) error {
		var mu sync.Mutex
		var done int64
		total := bytesOf(entries)
		byKey := byKey(entries)
		return s.each(ctx, keysOf(entries), func(ctx context.Context, key string) error {
			if forward && byKey[key].IsLink() {
				now, err := s.look(ctx, key)
				if err != nil {
					return err
				}
				if newer(now, byKey[key]) {
					r.Warn(fmt.Errorf("%s stays: it leads to %s by now, which is newer than %s", key, now.Link, byKey[key].Link))
					return nil
				}
			}
			return s.bring(ctx, byKey[key], func(n int64) {
				mu.Lock()
				defer mu.Unlock()
				done += n
				r.Progress(done, total)
			})
		})
	}}
}

// removeStep looks once more before it removes: another builder may have
// moved latest meanwhile.
func (s side) removeStep(name string, entries []Entry) step.Step {
	return step.Step{Name: name, Do: func(ctx context.Context, r *step.Reporter) error {
		now, err := s.now(ctx)
		if err != nil {
			return err
		}
		named := map[string]string{}
		removed := byKey(entries)
		for _, e := range now {
			if _, goes := removed[e.Key]; e.IsLink() && !goes {
				for _, key := range now.needed(e) {
					named[key] = e.Key
				}
			}
		}
		return s.each(ctx, keysOf(entries), func(ctx context.Context, key string) error {
			if by, ok := named[key]; ok {
				r.Warn(fmt.Errorf("%s stays: %s names it now", key, by))
				return nil
			}
			return s.remove(ctx, key)
		})
	}}
}

func byKey(entries []Entry) Listing {
	l := Listing{}
	for _, e := range entries {
		l[e.Key] = e
	}
	return l
}

func keysOf(entries []Entry) []string {
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}
