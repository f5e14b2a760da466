package alpine_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"psyopsOS/image/alpine"
	"psyopsOS/image/alpine/alpinetest"
	"psyopsOS/step"
)

func signer(t testing.TB, name string) alpine.Signer {
	t.Helper()
	s, err := alpinetest.NewSigner(name)
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want fails where err does not have the words, or is there without any.
func wantError(t *testing.T, err error, words string) {
	t.Helper()
	if words == "" && err != nil {
		t.Errorf("got the error %v, want none", err)
	}
	if words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
		t.Errorf("got the error %v, want one with %q", err, words)
	}
}

func world(words string) []alpine.Dependency { return alpinetest.Dependencies(words) }

// working runs f as a step, and gives the events' texts.
func working(t *testing.T, f func(context.Context, *step.Reporter) error) (string, error) {
	t.Helper()
	var events strings.Builder
	sink := step.Lines(&events, "", step.Verbose)
	err := step.Run(t.Context(), sink, func() time.Duration { return 0 }, step.Step{Name: "test", Do: f})
	return events.String(), err
}

func client(t *testing.T) alpine.Client {
	return alpine.Client{Cache: t.TempDir(), Arch: "x86_64", Do: http.DefaultClient.Do}
}

// install goes the whole way: index, resolve, fetch, unpack.
func install(t *testing.T, c alpine.Client, words string, repositories ...alpine.Repository) (u alpine.Userland, err error) {
	t.Helper()
	_, err = working(t, func(ctx context.Context, report *step.Reporter) error {
		available, err := c.Available(ctx, report, repositories)
		if err != nil {
			return err
		}
		packages, err := alpine.Resolve(world(words), available)
		if err != nil {
			return err
		}
		files, err := c.Fetch(ctx, report, packages)
		if err != nil {
			return err
		}
		u, err = alpine.Install(files, alpine.Options{World: world(words), Repositories: repositories, Arch: c.Arch})
		return err
	})
	return u, err
}
