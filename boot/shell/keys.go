package shell

import (
	"context"
	"sync"
	"time"

	"psyopsOS/step"
)

// firstKey waits until a key is pressed on one of terminals, and returns that
// one; nil when timeout comes first. A console that cannot be read is left
// out.
func firstKey(ctx context.Context, terminals []Terminal, timeout <-chan time.Time) (Terminal, error) {
	ctx, cancel := context.WithCancel(ctx)
	pressed := make(chan Terminal, len(terminals))
	var waiting sync.WaitGroup
	for _, t := range terminals {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			// A panic in a goroutine would end PID 1.
			if err := step.Guard(func() error { return t.Key(ctx) }); err == nil {
				pressed <- t
			}
		}()
	}
	defer waiting.Wait()
	defer cancel()
	select {
	case t := <-pressed:
		return t, nil
	case <-timeout:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
