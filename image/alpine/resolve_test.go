package alpine_test

import (
	"fmt"
	"strings"
	"testing"

	"psyopsOS/image/alpine"
)

// packages reads lines "name version field:words;field:words".
func packages(t testing.TB, lines string) []alpine.Package {
	t.Helper()
	var text strings.Builder
	for i, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		head, fields, _ := strings.Cut(strings.TrimSpace(line), " | ")
		name, version, _ := strings.Cut(head, " ")
		fmt.Fprintf(&text, "C:%s\nP:%s\nV:%s\nA:x86_64\n", alpine.Checksum{byte(i)}, name, version)
		for _, field := range strings.Split(fields, " | ") {
			if field != "" {
				text.WriteString(field + "\n")
			}
		}
		text.WriteString("\n")
	}
	all, err := alpine.ParseIndex([]byte(text.String()))
	must(t, err)
	return all
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		name, world, available, want, err string
	}{
		{"the newest version", "a", "a 1-r0\na 1-r10\na 1-r9", "a-1-r10", ""},
		{"a pinned version", "a=1-r9", "a 1-r10\na 1-r9", "a-1-r9", ""},
		{"a pinned version that is gone", "a=1-r8", "a 1-r10\na 1-r9", "", "world wants a=1-r8"},
		{"a pin by its beginning", "a~1.2", "a 1.20\na 1.2.9\na 1.2.10", "a-1.2.10", ""},
		{"dependencies come first", "a", "a 1 | D:b\nb 1 | D:c\nc 1", "c-1 b-1 a-1", ""},
		{"a circle ends", "a", "a 1 | D:b\nb 1 | D:a", "b-1 a-1", ""},
		{"what is provided will do", "a", "a 1 | D:so:libb.so.1\nlibb 2 | p:so:libb.so.1=1.5", "libb-2 a-1", ""},
		{"a provided version is compared", "a", "a 1 | D:so:l>=2\nl1 9 | p:so:l=1\nl2 1 | p:so:l=2", "l2-1 a-1", ""},
		{"nothing provides it", "a", "a 1 | D:so:none", "", "no repository has it"},
		{"an older one for another's sake", "a b", "a 2\na 1\nb 1 | D:a<2", "a-1 b-1", ""},
		{"an older one when the wish comes late", "a z", "a 2\na 1\nz 1 | D:y\ny 1 | D:x\nx 1 | D:a=1", "a-1 x-1 y-1 z-1", ""},
		{"an older asker where the newest one asks for too much", "a", "a 2 | D:none\na 1", "a-1", ""},
		{"wishes that exclude one another", "a b", "a 1 | D:c=1\nb 1 | D:c=2\nc 1\nc 2", "", "wants"},
		{"a conflict in the world", "a !b", "a 1 | D:b", "", "a-1 wants b"},
		{"a conflict between packages", "a b", "a 1 | D:!b\nb 1", "", "b"},
		{"a conflict is avoided", "a v", "a 1 | D:!b\nb 2 | p:v=2\nc 1 | p:v=1", "a-1 c-1", ""},
		{"a name in a version is had by one", "a b", "a 1 | p:v=1\nb 1 | p:v=1", "", "has v too"},
		{"a name without a version may be had by two", "a b", "a 1 | p:v\nb 1 | p:v", "a-1 b-1", ""},
		{"no guess among equals", "v", "a 1 | p:v\nb 1 | p:v", "", "any of a, b would do"},
		{"the priority decides", "v", "a 1 | p:v | k:10\nb 1 | p:v | k:20", "b-1", ""},
		{"what is chosen anyway decides", "b v", "a 1 | p:v\nb 1 | p:v", "b-1", ""},
		{"something that goes with others", "busybox openrc", "busybox 1\nopenrc 1\nbusybox-openrc 1 | i:busybox=1 openrc\nx 1 | i:busybox none", "busybox-1 busybox-openrc-1 openrc-1", ""},
		{"something that goes with others unless excluded", "a !a-doc", "a 1\na-doc 1 | i:a", "a-1", ""},
		{"what goes with others brings its own", "a", "a 1\na-x 1 | i:a | D:b\nb 1\nb-x 1 | i:a-x b", "a-1 b-1 a-x-1 b-x-1", ""},
		{"a tag that nobody has", "a@edge", "a 1", "", "no repository has the tag edge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := alpine.Resolve(world(c.world), packages(t, c.available))
			wantError(t, err, c.err)
			if s := strings.Trim(fmt.Sprint(got), "[]"); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

func TestATaggedRepositoryServesOnlyWhatIsAskedOfIt(t *testing.T) {
	plain, edge := packages(t, "a 1\nb 1"), packages(t, "a 9\nb 9")
	for i := range edge {
		edge[i].Tag = "edge"
	}
	got, err := alpine.Resolve(world("a b@edge"), append(plain, edge...))
	must(t, err)
	if s := fmt.Sprint(got); s != "[a-1 b-9]" {
		t.Errorf("got %s", s)
	}
}

func TestOfEqualVersionsTheFirstRepositoryHasIt(t *testing.T) {
	ours, theirs := packages(t, "a 1-r0"), packages(t, "a 1-r0")
	ours[0].Repository, theirs[0].Repository = "ours", "theirs"
	got, err := alpine.Resolve(world("a"), append(ours, theirs...))
	must(t, err)
	if got[0].Repository != "ours" {
		t.Errorf("it comes from %s", got[0].Repository)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("a !b<2 c", "P:a\nV:1\nD:c\n", "P:b\nV:1\np:c\n", "P:c\nV:2\ni:a\n")
	f.Add("a", "P:a\nV:1\nD:b>1 so:x\n", "P:b\nV:2\nD:!c\n", "P:c\nV:1\np:so:x=1\n")
	f.Fuzz(func(t *testing.T, want string, a, b, c string) {
		w, err := alpine.ParseWorld([]byte(want))
		if err != nil {
			return
		}
		var all []alpine.Package
		for _, text := range []string{a, b, c} {
			some, err := alpine.ParseIndex([]byte("C:" + alpine.Checksum{}.String() + "\nA:noarch\n" + text))
			if err != nil {
				return
			}
			all = append(all, some...)
		}
		got, err := alpine.Resolve(w, all)
		if err == nil && alpine.Check(w, got) != nil {
			t.Errorf("%v for %s lacks something", got, want)
		}
	})
}
