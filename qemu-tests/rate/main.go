// Command rate says what a machine can do, for `make bench` to compare an
// apply with: how fast it hashes, and how fast it writes a file and flushes
// it. Each line is a name and MB/s.
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/blake2b"
)

const mib = 1 << 20

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: rate FILE MIB: so much is written to it, and it is removed")
		os.Exit(2)
	}
	written, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = measure(os.Args[1], written)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rate:", err)
		os.Exit(1)
	}
}

func measure(name string, written int) error {
	block := make([]byte, mib)
	for i := range block {
		block[i] = byte(i * i >> 7)
	}
	prehash, err := blake2b.New512(nil)
	if err != nil {
		return err
	}
	const hashed = 64
	for _, h := range []struct {
		name string
		io.Writer
	}{{"sha256", sha256.New()}, {"blake2b", prehash}} {
		if err := tell(h.name, hashed, func() error { return fill(h, block, hashed) }); err != nil {
			return err
		}
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = tell("write", written, func() error { return errors.Join(fill(f, block, written), f.Sync()) })
	return errors.Join(err, f.Close(), os.Remove(name))
}

func fill(w io.Writer, block []byte, blocks int) error {
	for range blocks {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
	return nil
}

func tell(name string, mibs int, do func() error) error {
	start := time.Now()
	err := do()
	fmt.Printf("%s %.1f\n", name, float64(mibs)*mib/1e6/time.Since(start).Seconds())
	return err
}
