package netif_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"psyopsOS/netif"
	"psyopsOS/netif/netiftest"
	"psyopsOS/step"
)

// card is a link with a MAC that ends in its index.
func card(index int, name string) netif.Link {
	return netif.Link{Index: index, Name: name, MAC: fmt.Sprintf("52:54:00:00:00:%02x", index), Driver: "e1000",
		Buses: []string{fmt.Sprintf("0000:00:%02x.0", index)}, Physical: true}
}

var lo = netif.Link{Index: 1, Name: "lo", MAC: "00:00:00:00:00:00", Driver: "e1000", Loopback: true, Up: true}

func parse(t *testing.T, text string) netif.Mactab {
	t.Helper()
	table, problems := netif.ParseMactab(text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return table
}

func TestPlan(t *testing.T) {
	changed := card(2, "eth0")
	changed.Permanent, changed.MAC = changed.MAC, "02:00:00:00:00:99"
	for _, c := range []struct {
		name   string
		have   []netif.Link
		mactab string
		want   string // the names in the end, of the links after lo
		warns  string // parts of the warnings, with commas
	}{
		{"by MAC", []netif.Link{card(2, "eth0")}, "psy0 52:54:00:00:00:02", "psy0", ""},
		{"in either order of the cards", []netif.Link{card(3, "eth0"), card(2, "eth1")},
			"psy0 52:54:00:00:00:02\npsy1 52:54:00:00:00:03", "psy1 psy0", ""},
		{"eth0 and psy0 swapped", []netif.Link{card(2, "eth0"), card(3, "psy0")},
			"psy0 52:54:00:00:00:02\neth0 52:54:00:00:00:03", "psy0 eth0", ""},
		{"a circle of three", []netif.Link{card(2, "a"), card(3, "b"), card(4, "c")},
			"b driver=e1000 mac=52:54:00:00:00:02\nc 52:54:00:00:00:03\na 52:54:00:00:00:04", "b c a", ""},
		{"a name that an unnamed link has", []netif.Link{card(2, "eth0"), card(3, "eth1")}, "eth1 52:54:00:00:00:02", "eth1 eth0", ""},
		{"a name that an unnamed link has, handed on", []netif.Link{card(2, "eth0"), card(3, "eth1"), card(4, "psy0")},
			"psy0 52:54:00:00:00:02\neth0 52:54:00:00:00:03", "psy0 eth0 eth1", ""},
		{"the name is there already", []netif.Link{card(2, "psy0")}, "psy0 52:54:00:00:00:02", "psy0", ""},
		{"all selectors must match", []netif.Link{card(2, "eth0")}, "psy0 52:54:00:00:00:02 driver=igb\npsy1 driver=e1000 bus=0000:00:02.0",
			"psy1", "line 1 (psy0 mac=52:54:00:00:00:02 driver=igb): no network link matches; found eth0 52:54:00:00:00:02 e1000"},
		{"the last matching line wins", []netif.Link{card(2, "eth0")}, "psy0 52:54:00:00:00:02\npsy1 driver=e1000", "psy1", "line 1 (psy0 mac=52:54:00:00:00:02): a later line"},
		{"the last line wins for a name", []netif.Link{card(2, "eth0"), card(3, "eth1")}, "psy0 52:54:00:00:00:02\npsy0 52:54:00:00:00:03", "eth0 psy0", "line 1 (psy0"},
		{"a line names one link", []netif.Link{card(2, "eth0"), card(3, "eth1"), card(4, "eth2")}, "psy1 driver=e1000\npsy0 driver=e1000", "psy0 psy1 eth2", ""},
		{"the all-zero MAC matches nobody, also not lo", []netif.Link{{Index: 2, Name: "tun0", MAC: "00:00:00:00:00:00"}}, "psy0 00:00:00:00:00:00",
			"tun0", "line 1 (psy0 mac=00:00:00:00:00:00): no network link matches; found tun0"},
		{"lo is not named by its driver", nil, "psy0 driver=e1000", "", "no network link matches; found none but lo"},
		{"the permanent address counts", []netif.Link{changed}, "psy0 52:54:00:00:00:02\npsy1 02:00:00:00:00:99", "psy0", "line 2 (psy1"},
		{"a MAC that is not there lists those that are", []netif.Link{card(2, "eth0"), card(3, "eth1")}, "psy0 52:54:00:00:00:77",
			"eth0 eth1", "found eth0 52:54:00:00:00:02 e1000, eth1 52:54:00:00:00:03 e1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := &netiftest.Links{Links: append([]netif.Link{lo}, c.have...)}
			plan, warnings := netif.Plan(fake.Links, parse(t, c.mactab))
			if errs := apply(t, fake, plan); len(errs) > 0 {
				t.Fatal(errs)
			}
			var names []string
			for _, l := range fake.Links[1:] {
				names = append(names, l.Name)
			}
			if got := strings.Join(names, " "); got != c.want || fake.Links[0].Name != "lo" {
				t.Errorf("got %s, want %s; plan %+v", got, c.want, plan)
			}
			if c.warns == "" != (len(warnings) == 0) {
				t.Fatalf("got warnings %v, want %q", warnings, c.warns)
			}
			if len(warnings) > 0 && (!strings.Contains(warnings[0].Error(), c.warns) || step.HintOf(warnings[0]) == "") {
				t.Errorf("got warning %v, want %q and a hint", warnings[0], c.warns)
			}
		})
	}
}

// apply wants what Apply tells of the links to be true, however it went.
func apply(t *testing.T, fake *netiftest.Links, plan []netif.Rename) []error {
	t.Helper()
	now, errs := netif.Apply(fake, slices.Clone(fake.Links), plan)
	if !slices.EqualFunc(now, fake.Links, func(a, b netif.Link) bool { return a.Index == b.Index && a.Name == b.Name }) {
		t.Errorf("it tells %v, and the links are %v", now, fake.Links)
	}
	return errs
}

func TestABadNameIsNotPlanned(t *testing.T) {
	plan, warnings := netif.Plan([]netif.Link{card(2, "eth0")}, netif.Mactab{{Name: "lo", Selectors: []netif.Selector{{"driver", "e1000"}}}})
	if len(plan) > 0 || len(warnings) != 1 {
		t.Errorf("got %v, %v, want no plan and a warning", plan, warnings)
	}
}

func TestOnlyALinkThatIsUpIsTakenDownAndUpAgain(t *testing.T) {
	up := card(2, "eth0")
	up.Up = true
	fake := &netiftest.Links{Links: []netif.Link{up, card(3, "eth1")}}
	plan, _ := netif.Plan(fake.Links, parse(t, "psy0 52:54:00:00:00:02\npsy1 52:54:00:00:00:03"))
	if errs := apply(t, fake, plan); len(errs) > 0 {
		t.Fatal(errs)
	}
	want := []string{"eth0 down", "eth0 to psy0", "psy0 up", "eth1 to psy1"}
	if !reflect.DeepEqual(fake.Acts, want) {
		t.Errorf("got %v, want %v", fake.Acts, want)
	}
}

func TestALinkThatCannotBeRenamedIsNotLost(t *testing.T) {
	one, two := card(2, "eth0"), card(3, "psy0")
	one.Up, two.Up = true, true
	for _, c := range []struct{ fails, want string }{
		{"spare0", "eth0 psy0 psy1"}, // nothing of the swap
		{"eth0", "spare0 psy0 psy1"}, // its own name is refused, too
		{"psy0", "spare0 eth0 psy1"}, // its old name has gone to the other
	} {
		fake := &netiftest.Links{Links: []netif.Link{one, two, card(4, "eth1")}, Fails: map[string]error{c.fails: unix.EPERM}}
		plan, _ := netif.Plan(fake.Links, parse(t, "psy0 52:54:00:00:00:02\neth0 52:54:00:00:00:03\npsy1 52:54:00:00:00:04"))
		errs := apply(t, fake, plan)
		if !errors.Is(errors.Join(errs...), unix.EPERM) {
			t.Errorf("%s: got %v, want what the kernel said", c.fails, errs)
		}
		var names []string
		for _, l := range fake.Links {
			names = append(names, l.Name)
		}
		if got := strings.Join(names, " "); got != c.want || !fake.Links[0].Up || !fake.Links[1].Up {
			t.Errorf("%s: got %s, want %s and the first two up: %+v", c.fails, got, c.want, fake.Links)
		}
	}
}

func TestALinkOnASpareNameGetsItsOldOneBack(t *testing.T) {
	fake := &netiftest.Links{Links: []netif.Link{card(2, "eth0"), card(3, "psy0")}, Fails: map[string]error{"psy1": unix.EPERM}}
	errs := apply(t, fake, []netif.Rename{{Index: 2, From: "eth0", To: "spare0", Spare: true}, {Index: 2, From: "spare0", To: "psy1"}})
	if len(errs) != 1 || fake.Links[0].Name != "eth0" || !strings.Contains(errs[0].Error(), "rename link eth0 to psy1") {
		t.Errorf("got %v and %v, want eth0 back and one error", fake.Links, errs)
	}
}

// Whatever links there are and whatever is wanted: every link has a name of
// its own in the end, each line that a link could follow is followed, and the
// kernel refuses nothing.
func TestAnyPlanNamesAllAndLosesNone(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 14))
	pool := strings.Fields("eth0 eth1 eth2 eth3 psy0 psy1 psy2 spare0 spare1")
	for range 5000 {
		fake := &netiftest.Links{Links: []netif.Link{lo}}
		for i, p := range random.Perm(len(pool))[:random.IntN(len(pool))] {
			link := card(i+2, pool[p])
			link.Up = random.IntN(2) == 0
			fake.Links = append(fake.Links, link)
		}
		var table netif.Mactab
		for range random.IntN(8) {
			table = append(table, netif.Rule{Name: pool[random.IntN(len(pool))],
				Selectors: []netif.Selector{{"mac", fmt.Sprintf("52:54:00:00:00:%02x", random.IntN(10))}}})
		}
		before := slices.Clone(fake.Links)
		plan, warnings := netif.Plan(fake.Links, table)
		if errs := apply(t, fake, plan); len(errs) > 0 {
			t.Fatalf("%v of %v with\n%s", errs, before, table)
		}
		checkNames(t, before, fake.Links, table, len(warnings))
		if t.Failed() {
			t.Fatalf("before %v, after %v, plan %+v, with\n%s", before, fake.Links, plan, table)
		}
	}
}

func checkNames(t *testing.T, before, after []netif.Link, table netif.Mactab, warnings int) {
	t.Helper()
	want := wanted(before, table)
	seen := map[string]bool{}
	for i, l := range after {
		if seen[l.Name] || l.Index != before[i].Index || l.Up != before[i].Up {
			t.Errorf("%v was lost, doubled or left down", l)
		}
		seen[l.Name] = true
		if name, ok := want[l.Address()]; ok && l.Name != name {
			t.Errorf("link %d is called %s, want %s", l.Index, l.Name, name)
		}
	}
	if len(want)+warnings != len(table) {
		t.Errorf("%d links named and %d warnings of %d lines", len(want), warnings, len(table))
	}
}

// wanted is the name by MAC, of a table that selects by nothing else: the last
// line for a MAC that is there wins, and the last for a name.
func wanted(have []netif.Link, table netif.Mactab) map[string]string {
	names, taken := map[string]string{}, map[string]bool{}
	for _, r := range slices.Backward(table) {
		mac := r.Selectors[0].Value
		there := slices.ContainsFunc(have, func(l netif.Link) bool { return l.Address() == mac && !l.Loopback })
		if there && names[mac] == "" && !taken[r.Name] {
			names[mac], taken[r.Name] = r.Name, true
		}
	}
	return names
}

func TestFirstWired(t *testing.T) {
	wireless := card(2, "wlan0")
	wireless.Wireless = true
	got, ok := netif.FirstWired([]netif.Link{lo, {Index: 9, Name: "dummy0"}, wireless, card(3, "psy0"), card(4, "psy1")})
	if !ok || got.Name != "psy0" {
		t.Errorf("got %v, %t, want psy0", got, ok)
	}
	if got, ok := netif.FirstWired([]netif.Link{lo, wireless}); ok {
		t.Errorf("got %v, want none", got)
	}
}

// Listing only reads. Renaming is for the VM tests.
func TestTheRunningKernelListsItsLoopbackLink(t *testing.T) {
	links, err := netif.Linux{Root: "/"}.List(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Name == "lo" && l.Loopback && l.Index > 0 && !l.Physical {
			return
		}
	}
	t.Errorf("got %v, want lo among them", links)
}

func TestDriversAreAskedOnlyWhereALineSelectsByThem(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "psy0 52:54:00:00:00:02\n": false, "psy0 mac=52:54:00:00:00:02\n": false,
		"psy0 driver=e1000\n": true, "psy0 52:54:00:00:00:02\npsy1 mac=52:54:00:00:00:03 bus=0000:00:03.0\n": true,
	} {
		if got := parse(t, text).AsksDrivers(); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
