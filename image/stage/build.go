package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/step"
)

// A Result tells what Build did about one stage.
type Result struct {
	Stage   string
	Ran     bool
	Changes []Change // why it ran
	Err     error
}

// errNotMade is the error of a stage whose inputs were not made.
var errNotMade = errors.New("a stage that it needs was not made")

// Build brings the targets and what they need up to date; without a target,
// all. Each stage that runs is a step of runner's. After a failure the stages
// that do not need the failed one still run.
func (g *Graph) Build(ctx context.Context, runner *step.Runner, targets ...string) (_ []Result, err error) {
	stages, err := g.wanted(targets)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(g.dir, ".log"), 0o755); err != nil {
		return nil, err
	}
	unlock, err := g.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b := build{Graph: g, runner: g.logged(runner), index: openIndex(g.dir), slots: make(chan struct{}, g.jobs)}
	results := b.all(ctx, stages)
	err = b.index.save(g.dir)
	for _, r := range results {
		if r.Err != nil && !errors.Is(r.Err, errNotMade) {
			err = errors.Join(err, r.Err)
		}
	}
	return results, err
}

// lock waits for another build in the same folder to end.
func (g *Graph) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(g.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another build in %s: %w", g.dir, context.Cause(ctx)), f.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

type build struct {
	*Graph
	runner *step.Runner
	index  *index
	slots  chan struct{}
}

// all makes the stages, each as soon as those that it needs are there.
func (b *build) all(ctx context.Context, stages []Stage) []Result {
	results := make([]Result, len(stages))
	made := map[string]chan struct{}{}
	place := map[string]int{}
	for i, s := range stages {
		made[s.Name], place[s.Name] = make(chan struct{}), i
	}
	var wait sync.WaitGroup
	for i, s := range stages {
		wait.Go(func() {
			defer close(made[s.Name])
			for _, need := range s.needs() {
				<-made[need]
				if results[place[need]].Err != nil {
					results[i] = Result{Stage: s.Name, Err: fmt.Errorf("%s: %w: %s", s.Name, errNotMade, need)}
					return
				}
			}
			b.slots <- struct{}{}
			defer func() { <-b.slots }()
			results[i] = b.one(ctx, s)
		})
	}
	wait.Wait()
	return results
}

// one makes s, where it has to be made.
func (b *build) one(ctx context.Context, s Stage) Result {
	result := Result{Stage: s.Name}
	if result.Err = context.Cause(ctx); result.Err != nil {
		return result
	}
	var inputs map[string]string
	if inputs, result.Err = b.inputs(ctx, s, b.index); result.Err != nil {
		return result
	}
	if result.Changes, result.Err = changes(b.Path(s.Name), inputs); result.Err != nil || len(result.Changes) == 0 {
		return result
	}
	result.Ran = true
	result.Err = b.runner.Run(ctx, step.Step{Name: s.Name, Do: func(ctx context.Context, r *step.Reporter) error {
		r.Note("because %s", summary(result.Changes))
		return b.make(ctx, s, r, record{Stage: s.Name, Inputs: inputs, Outside: map[string]output{}, Because: texts(result.Changes)})
	}})
	return result
}

func summary(list []Change) string {
	const most = 3
	all := texts(list)
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("%d more", len(list)-most))
	}
	return strings.Join(all, ", ")
}

// make runs the stage into a hidden folder, which gets the stage's name when
// all is in it.
func (b *build) make(ctx context.Context, s Stage, r *step.Reporter, rec record) (err error) {
	dir := filepath.Join(b.dir, "."+s.Name+".new")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		return err
	}
	log, err := os.OpenFile(b.log(s.Name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Run(ctx, &Work{r, dir, log, b.Graph, &rec}), log.Close()); err != nil {
		return err
	}
	if rec.Outputs, err = outputsIn(dir); err != nil {
		return err
	}
	if err := rec.write(dir); err != nil {
		return err
	}
	return replace(dir, b.Path(s.Name))
}

// replace gives the folder at from the name to. Between the two renames there
// is nothing at to, and the stage would run again: never half of a folder.
func replace(from, to string) error {
	old := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".old")
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(to, old); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return os.RemoveAll(old)
}
