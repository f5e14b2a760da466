package repo

import (
	"context"
	"net/http"
	"time"
)

// Options are how patient a client is. The zero Options are the usual ones.
type Options struct {
	// Transport carries the requests; the default honours the proxy variables.
	Transport http.RoundTripper
	// Idle is how long a server may be silent: before its answer, and between
	// two pieces of a file. Default 30 s.
	Idle time.Duration
	// Attempts is how often in a row a connection may fail without bringing a
	// byte. Default 8, which with the pauses is more than a minute.
	Attempts int
	// Sleep waits between attempts; tests do not wait.
	Sleep func(ctx context.Context, d time.Duration) error
	// Retrying is told of each failure after which it goes on. It may be nil.
	Retrying func(err error, pause time.Duration)
}

const (
	usualIdle     = 30 * time.Second
	usualAttempts = 8
	firstPause    = time.Second
	longestPause  = 30 * time.Second
	maxRedirects  = 5
	readBuffer    = 128 << 10 // a read of 4 KiB costs about as much
)

func (o Options) withDefaults() Options {
	if o.Idle == 0 {
		o.Idle = usualIdle
	}
	if o.Attempts == 0 {
		o.Attempts = usualAttempts
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Retrying == nil {
		o.Retrying = func(error, time.Duration) {}
	}
	if o.Transport == nil {
		var protocols http.Protocols
		protocols.SetHTTP1(true) // init is built without the other
		o.Transport = &http.Transport{
			Protocols: &protocols,
			// There are no time-outs of its own: web.get bounds every silence.
			Proxy: http.ProxyFromEnvironment,
			// A length and a range must be of the file itself.
			DisableCompression:  true,
			MaxIdleConnsPerHost: 1,
			ReadBufferSize:      readBuffer,
			IdleConnTimeout:     o.Idle,
		}
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause is how long to wait before the next attempt, after so many in a row
// that failed.
func pause(failures int) time.Duration {
	d := firstPause
	for range failures - 1 {
		d = min(2*d, longestPause)
	}
	return d
}
