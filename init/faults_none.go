//go:build !faults

package main

import "psyopsOS/step"

// faulty and faultySink do nothing in what we ship: faults.go tells what they
// do in a test.
func faulty(_ string, steps ...step.Step) []step.Step { return steps }

func faultySink(string) step.Sink { return func(step.Event) {} }
