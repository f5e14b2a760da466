package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"psyopsOS/release"
	"psyopsOS/step"
)

// A web is a repository over HTTP(S).
type web struct {
	base    *url.URL
	client  *http.Client
	options Options
}

func newWeb(address string, o Options) (*web, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" {
		return nil, step.WithHint(fmt.Errorf("repository %q is no address", address), "https://HOST/PATH")
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	return &web{base, &http.Client{Transport: o.Transport, CheckRedirect: checkRedirect}, o}, nil
}

// checkRedirect follows a few redirects, and never to a scheme that is less
// than the one that the owner chose.
func checkRedirect(next *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	refuse := func(format string, a ...any) error {
		return &RedirectError{from.Redacted(), next.URL.Redacted(), fmt.Sprintf(format, a...)}
	}
	if len(via) > maxRedirects {
		return refuse("more than %d redirects", maxRedirects)
	}
	if to := next.URL.Scheme; to != from.Scheme && !(from.Scheme == "http" && to == "https") {
		return refuse("from scheme %s to %s is not followed", from.Scheme, to)
	}
	return nil
}

func (w *web) address(name string) string { return w.base.JoinPath(name).Redacted() }

// signature asks for a small file. It tries again like a Reader does, since a
// node that has just come up may not have its network yet.
func (w *web) signature(ctx context.Context, name string) (content []byte, at, final string, err error) {
	err = patiently(ctx, w.options, func() (err error) {
		content, at, final, err = w.signatureOnce(ctx, name)
		return err
	})
	return content, at, final, err
}

func (w *web) signatureOnce(ctx context.Context, name string) (_ []byte, at, final string, err error) {
	answer, body, err := w.get(ctx, name, nil)
	if err != nil {
		return nil, "", "", err
	}
	defer body.Close()
	at = answer.Request.URL.Redacted()
	if answer.StatusCode != http.StatusOK {
		return nil, "", "", &StatusError{at, answer.StatusCode}
	}
	content, err := io.ReadAll(io.LimitReader(body, release.MaxSignature+1))
	if err != nil {
		return nil, "", "", err
	}
	if len(content) > release.MaxSignature {
		return nil, "", "", &AnswerError{at, fmt.Sprintf("more than the %d bytes of a signature", release.MaxSignature)}
	}
	return content, at, path.Base(answer.Request.URL.Path), nil
}

func (w *web) open(ctx context.Context, name string, offset int64) (part, error) {
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	answer, body, err := w.get(ctx, name, header)
	if err != nil {
		return part{}, err
	}
	p := part{ReadCloser: body, total: answer.ContentLength, tag: answer.Header.Get("ETag"), address: answer.Request.URL.Redacted()}
	switch {
	case answer.StatusCode == http.StatusOK:
		return p, nil
	case answer.StatusCode == http.StatusPartialContent && offset > 0:
		r, err := parseContentRange(answer.Header.Get("Content-Range"))
		if err == nil && r.First != offset {
			err = fmt.Errorf("asked from byte %d on, it answers with %s", offset, r)
		}
		if err != nil {
			body.Close()
			return part{}, &AnswerError{p.address, err.Error()}
		}
		p.offset, p.total = r.First, r.Total
		return p, nil
	}
	body.Close()
	return part{}, &StatusError{p.address, answer.StatusCode}
}

// get sends a request. The body, and the wait for the answer, end when the
// server is silent for too long.
func (w *web) get(ctx context.Context, name string, header http.Header) (*http.Response, io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := &StalledError{w.address(name), w.options.Idle}
	watch := time.AfterFunc(w.options.Idle, func() { cancel(stalled) })
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base.JoinPath(name).String(), nil)
	if err != nil {
		return nil, nil, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	request.Header.Set("User-Agent", "neuralupgrade")
	answer, err := w.client.Do(request)
	if err != nil {
		watch.Stop()
		err = causeOf(ctx, err)
		cancel(nil)
		var redirect *RedirectError
		if errors.As(err, &redirect) {
			return nil, nil, redirect
		}
		return nil, nil, err
	}
	watch.Stop()
	return answer, &watched{ctx, cancel, watch, w.options.Idle, answer.Body}, nil
}

// causeOf is why the context ended, where that is the reason of err.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// watched is a body whose silence is bounded.
type watched struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	idle   time.Duration
	body   io.ReadCloser
}

// Read starts the clock anew: what the reader does between two calls (it
// writes to a slow stick) is not the server's silence.
func (w *watched) Read(p []byte) (int, error) {
	w.watch.Reset(w.idle)
	n, err := w.body.Read(p)
	w.watch.Stop()
	if err != nil && err != io.EOF {
		err = causeOf(w.ctx, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.watch.Stop()
	w.cancel(nil)
	return w.body.Close()
}
