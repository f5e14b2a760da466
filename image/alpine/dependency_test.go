package alpine_test

import (
	"reflect"
	"testing"

	"psyopsOS/image/alpine"
)

func TestParseDependency(t *testing.T) {
	for _, c := range []struct {
		word string
		want alpine.Dependency
		err  string
	}{
		{"busybox", alpine.Dependency{Name: "busybox"}, ""},
		{"busybox=1.36.1-r2", alpine.Dependency{Name: "busybox", Operator: "=", Version: "1.36.1-r2"}, ""},
		{"a>=1", alpine.Dependency{Name: "a", Operator: ">=", Version: "1"}, ""},
		{"a~1.2", alpine.Dependency{Name: "a", Operator: "~", Version: "1.2"}, ""},
		{"a=~1.2", alpine.Dependency{Name: "a", Operator: "~", Version: "1.2"}, ""},
		{"!a<2", alpine.Dependency{Name: "a", Operator: "<", Version: "2", Conflict: true}, ""},
		{"a@edge", alpine.Dependency{Name: "a", Tag: "edge"}, ""},
		{"a=1@edge", alpine.Dependency{Name: "a", Operator: "=", Version: "1", Tag: "edge"}, ""},
		{"so:libc.musl-x86_64.so.1", alpine.Dependency{Name: "so:libc.musl-x86_64.so.1"}, ""},
		{"/bin/sh", alpine.Dependency{Name: "/bin/sh"}, ""},
		{"", alpine.Dependency{}, "no dependency"},
		{"=1", alpine.Dependency{}, "no dependency"},
		{"a=", alpine.Dependency{}, "no dependency"},
		{"a<>1", alpine.Dependency{}, "no dependency"},
		{"a@", alpine.Dependency{}, "no dependency"},
	} {
		got, err := alpine.ParseDependency(c.word)
		wantError(t, err, c.err)
		if got != c.want {
			t.Errorf("%q: got %+v, want %+v", c.word, got, c.want)
		}
	}
}

func FuzzParseWorld(f *testing.F) {
	f.Add("alpine-base # a comment\nsshd=1.2-r3 !dropbear\nx@edge\n")
	f.Fuzz(func(t *testing.T, text string) {
		world, err := alpine.ParseWorld([]byte(text))
		if err != nil {
			return
		}
		again, err := alpine.ParseWorld(alpine.RenderWorld(world))
		if err != nil || !reflect.DeepEqual(again, world) {
			t.Errorf("%q: %+v became %+v, %v", text, world, again, err)
		}
	})
}
