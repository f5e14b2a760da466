package deaddrop

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func listing(entries ...Entry) Listing { return byKey(entries) }

func file(key, sha string) Entry { return Entry{Key: key, Size: 1, SHA256: sha} }

func full(version, sha string) Listing {
	return listing(file(tarKey(version), sha), file(tarKey(version)+".minisig", sha), Entry{Key: latestKey, Link: tarKey(version) + ".minisig"})
}

func (l Listing) with(more ...Entry) Listing {
	all := l.Clone()
	for _, e := range more {
		all[e.Key] = e
	}
	return all
}

func TestPlans(t *testing.T) {
	for _, test := range []struct {
		name     string
		from, to Listing
		r        Request
		want     string // the plan, a word each; or the error
	}{
		{"nothing to do", full(v1, "a"), full(v1, "a"), Request{Replace: true}, "same 3"},
		{"a published tar without a hash may be another one", full(v1, ""), full(v1, ""), Request{}, "is published already"},
		{"a published tar does not change", full(v1, "a"), full(v1, "b"), Request{}, "is published already"},
		{"but by force", full(v1, "a"), full(v1, "b"), Request{Replace: true}, "bring tar, sig; same 1"},
		{"another file may change", listing(file("x", "a")), listing(file("x", "b")), Request{}, "bring x; same 0"},
		{"push removes nothing", full(v2, "a"), full(v1, "a"), Request{}, "bring tar2, sig2, latest; same 0"},
		{"push does not go back to an older release", full(v1, "a"), full(v2, "a"), Request{}, "bring tar, sig; same 0; stay latest"},
		{"forcepush does", full(v1, "a"), full(v2, "a"), Request{Replace: true}, "bring tar, sig, latest; remove sig2, tar2; same 0"},
		{"a link that is no release's may lead anywhere", listing(file("x", "a"), Entry{Key: "l", Link: "x"}), listing(file("x", "a"), file("y", "a"), Entry{Key: "l", Link: "y"}), Request{}, "bring l; same 1"},
		{"forcepush removes, tars last", full(v2, "a"), full(v1, "a").with(file("x", "a"), Entry{Key: "a", Link: "x"}), Request{Replace: true, Unlink: true},
			"bring tar2, sig2, latest; remove a, sig, tar, x; same 0"},
		{"forcepush does not remove latest", listing(file("x", "a")), full(v1, "a"), Request{Replace: true}, "would be removed"},
		{"but when told to", listing(file("x", "a")), full(v1, "a"), Request{Replace: true, Unlink: true}, "bring x; remove latest, sig, tar; same 0"},
		{"an empty model", Listing{}, full(v1, "a"), Request{Replace: true, Unlink: true}, "the side that is the model is empty"},
		{"a latest whose tar is on neither side", listing(file(tarKey(v1)+".minisig", "a"), Entry{Key: latestKey, Link: tarKey(v1) + ".minisig"}), Listing{}, Request{}, "whose tar"},
		{"a file over a folder", listing(file("os", "a")), full(v1, "a"), Request{}, "os is a file, and"},
		{"a link that was broken before hinders nobody", listing(file("x", "a")), listing(Entry{Key: "l", Link: "gone"}), Request{}, "bring x; same 0"},
		{"a file becomes a link", listing(file("x", "a"), Entry{Key: "l", Link: "x"}), listing(file("x", "a"), file("l", "a")), Request{}, "bring l; same 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := fmt.Sprint(test.from, test.to)
			p, err := NewPlan(test.from, test.to, test.r)
			got := brief(p)
			if err != nil {
				got = err.Error()
			}
			if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if after := fmt.Sprint(test.from, test.to); after != before {
				t.Errorf("the listings have changed from %s to %s", before, after)
			}
		})
	}
}

// brief is a plan in few words.
func brief(p Plan) string {
	short := strings.NewReplacer(latestKey, "latest", tarKey(v1)+".minisig", "sig", tarKey(v2)+".minisig", "sig2", tarKey(v1), "tar", tarKey(v2), "tar2")
	var words []string
	for verb, entries := range map[string][]Entry{"bring ": p.Bring, "remove ": p.Remove} {
		if len(entries) > 0 {
			words = append(words, verb+short.Replace(strings.Join(keysOf(entries), ", ")))
		}
	}
	if len(words) == 2 && words[0] > words[1] {
		words[0], words[1] = words[1], words[0]
	}
	words = append(words, fmt.Sprint("same ", p.Same))
	if len(p.Stay) > 0 {
		words = append(words, "stay "+short.Replace(strings.Join(keysOf(p.Stay), ", ")))
	}
	return strings.Join(words, "; ")
}

func TestPruneKeepsTheNewestAndWhatLatestNames(t *testing.T) {
	esp := "os/psyopsESP.x86_64-uefi." + v1 + ".tar"
	l := full(v1, "a").with(
		file(tarKey(v2), "a"), file(tarKey(v2)+".minisig", "a"), file(tarKey(v2)+".minisig.0123456789ABCDEF", "a"),
		file(billKey(v1), "a"), file(billKey(v2), "a"),
		file(tarKey(v3), "a"), file(tarKey(v3)+".minisig", "a"),
		file(tarKey(v1)+".minisig.0123456789ABCDEF", "a"),
		file(esp, "a"), file("site.json", "a"), file("other/psyopsOS.x86_64."+v1+".tar", "a"))
	for keep, want := range map[int][]string{
		1: {tarKey(v2) + ".minisig", tarKey(v2) + ".minisig.0123456789ABCDEF", billKey(v2), tarKey(v2)},
		2: nil, // v1 is what latest names
		3: nil,
	} {
		p, err := NewPrune(l, keep)
		if got := keysOf(p.Remove); err != nil || !reflect.DeepEqual(got, want) || p.Same != len(l)-len(want) {
			t.Errorf("keep %d: got %v, %v, want %v", keep, got, err, want)
		}
	}
	if _, err := NewPrune(l, 0); err == nil {
		t.Error("keeping none was planned")
	}
}

func TestDifferencesAreTold(t *testing.T) {
	here := full(v1, "a").with(file("only-here", "a"), file("other", "a"))
	there := full(v1, "a").with(file("only-there", "a"), file("other", "b"), file(tarKey(v2), "a"), file(tarKey(v2)+".minisig", "a"), Entry{Key: latestKey, Link: tarKey(v2) + ".minisig"})
	want := "only here                  1 B  only-here\n" +
		"only in the bucket         1 B  only-there\n" +
		"only in the bucket         1 B  " + tarKey(v2) + "\n" +
		"only in the bucket         1 B  " + tarKey(v2) + ".minisig\n" +
		"differs                   link  " + latestKey + " -> " + tarKey(v1) + ".minisig, in the bucket to " + tarKey(v2) + ".minisig\n" +
		"differs                    1 B  other\n" +
		"2 the same, 6 not\n"
	different, alike := Differ(here, there)
	got := ""
	for _, d := range different {
		got += d.String() + "\n"
	}
	if got += fmt.Sprintf("%d the same, %d not\n", alike, len(different)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
