package boot_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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

// Each hint that a boot can give stands in the manual, with something in place
// of what it is filled with. They are read from the source: where WithHint and
// its like are called, and what methods named Hint return.
func TestEveryHintIsDocumented(t *testing.T) {
	var manual strings.Builder
	for _, name := range []string{"boot", "secrets"} {
		text, err := os.ReadFile("../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		manual.WriteString(strings.ReplaceAll(string(text), "\n  ", " ")) // of lists
	}
	found := 0
	for _, files := range []string{"*.go", "../mounts/*.go", "../secret/*.go", "../netif/*.go", "../release/keys.go"} {
		for _, hint := range hints(t, files) {
			found++
			pattern := regexp.QuoteMeta(regexp.MustCompile(`%[a-z]`).ReplaceAllString(hint, "\x00"))
			if !regexp.MustCompile(strings.ReplaceAll(pattern, "\x00", ".+?")).MatchString(manual.String()) {
				t.Errorf("docs/boot.md and docs/secrets.md do not have the hint %q", hint)
			}
		}
	}
	if found < 40 {
		t.Errorf("%d hints in the source: have their calls other names now?", found)
	}
}

func hints(t *testing.T, files string) (all []string) {
	t.Helper()
	names, err := filepath.Glob(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		constants := map[string]ast.Expr{}
		text := func(e ast.Expr) {
			if id, ok := e.(*ast.Ident); ok {
				e = constants[id.Name]
			}
			if call, ok := e.(*ast.CallExpr); ok && called(call) == "Sprintf" {
				e = call.Args[0]
			}
			lit, ok := e.(*ast.BasicLit)
			if !ok {
				return
			}
			if s, err := strconv.Unquote(lit.Value); err == nil && s != "" && s != "%s" {
				all = append(all, s)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
				for i, name := range v.Names {
					constants[name.Name] = v.Values[i]
				}
			}
			return true
		})
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				switch called(n) {
				case "WithHint", "problem", "warn":
					text(n.Args[1])
				}
			case *ast.FuncDecl:
				if n.Name.Name != "Hint" {
					break
				}
				ast.Inspect(n, func(n ast.Node) bool {
					if r, ok := n.(*ast.ReturnStmt); ok {
						text(r.Results[0])
					}
					return true
				})
			}
			return true
		})
	}
	return all
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}
