package boot_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"psyopsOS/boot"
)

var update = flag.Bool("update", false, "write the documentation that is made from the code")

// The table of words in the manual is the table that the parser goes by.
func TestEveryWordIsDocumented(t *testing.T) {
	const file, head, foot = "../docs/boot.md", "| word | values, default first | meaning |\n|---|---|---|\n", "\n## When it fails"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), head)
	table, after, ok2 := strings.Cut(rest, foot)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of words", file)
	}
	var want strings.Builder
	for _, w := range boot.Words() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", w.Name, w.Values, w.Meaning)
	}
	if table == want.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of words in %s is not boot.Words: go test ./boot -run Documented -update", file)
	}
	if err := os.WriteFile(file, []byte(before+head+want.String()+foot+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
