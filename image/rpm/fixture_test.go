package rpm_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"psyopsOS/image/rpm"
	"psyopsOS/image/rpm/rpmtest"
)

var update = flag.Bool("update", false, "make testdata/small.rpm anew")

// TestSmall is about the seed of the fuzz test, and makes it.
func TestSmall(t *testing.T) {
	if *update {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("hello\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(rpmtest.Build(t, rpmtest.Package{Name: "small", Version: "1", Root: dir, Payload: "w9.gzdio"}))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/small.rpm", content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	x, _, err := rpm.Unpack("testdata/small.rpm", nil)
	if err != nil || !x.Has("hello") {
		t.Errorf("got %v", err)
	}
}
