//go:build qemu

package qemutests

import (
	"math"
	"testing"
)

const toldArrival = `{"memory":"MemTotal:  400000 kB\nMemFree: 1 kB\nMemAvailable:  300000 kB\n","before":"MemTotal: 400000 kB\nMemAvailable: 390000 kB\n",
"log":["6,1,1500000,-;Run /init as init process","7,2,1600000,-;floor: begin","7,3,1700000,-;floor: device","7,4,2000000,-;floor: copy","6,9,2250000,-;new init"],
"hashing":2.5}` + "\n"

func TestAnArrivalIsReadByTheKernelLogsClock(t *testing.T) {
	r, err := readArrival([]byte(toldArrival))
	if err != nil {
		t.Fatal(err)
	}
	near := func(name string, got, want float64) {
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	near("own", r.own, 0.75)
	near("whole", r.whole, 2.25)
	near("copying", r.copying, 0.3)
	near("hashing", r.hashing, 2.5)
	if r.used != 100000<<10 || r.bare != 10000<<10 || len(r.marks) != 3 {
		t.Errorf("got %d bytes used, %d before, %d marks", r.used, r.bare, len(r.marks))
	}
}

func TestABootThatDidNotArriveIsAnError(t *testing.T) {
	for name, told := range map[string]string{
		"nothing told":            "",
		"no record":               `{"log":["nonsense"]}`,
		"no begin":                `{"log":["6,9,2250000,-;new init"]}`,
		"no end":                  `{"log":["6,1,1500000,-;Run /init as init process"]}`,
		"a time that is not one":  `{"log":["6,1,x,-;Run /init as init process"]}`,
		"a boot.json that is not": `{"boot":[]}`,
	} {
		if r, err := readArrival([]byte(told)); err == nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestSpreadIsMedianLeastAndMost(t *testing.T) {
	results := []result{{own: 3}, {own: 1}, {own: 9}, {own: 2}, {own: 4}}
	if median, least, most := spread(results, own); median != 3 || least != 1 || most != 9 {
		t.Errorf("got %v, %v, %v", median, least, most)
	}
	if middle := middleOf(results); middle.own != 3 || results[1].own != 1 {
		t.Errorf("got %v of %v", middle.own, results)
	}
}
