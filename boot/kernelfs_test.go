package boot_test

import (
	"os"
	"path/filepath"
	"testing"

	"psyopsOS/boot"
)

func TestTheHurryBeginsAndEnds(t *testing.T) {
	root := t.TempDir()
	if err := boot.HurryGracePeriods(root, true); err != nil {
		t.Errorf("a kernel that knows no hurry: got %v", err)
	}
	file := filepath.Join(root, "sys/kernel/rcu_expedited")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for hurry, want := range map[bool]string{true: "1\n", false: "0\n"} {
		err := boot.HurryGracePeriods(root, hurry)
		if got, more := os.ReadFile(file); err != nil || more != nil || string(got) != want {
			t.Errorf("hurry %t: got %q, %v, %v; want %q", hurry, got, err, more, want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := boot.HurryGracePeriods(root, true); err == nil {
		t.Error("it is no error that the kernel was not told")
	}
}
