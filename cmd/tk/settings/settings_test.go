package settings

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"psyopsOS/step"
)

func table() []Setting {
	return []Setting{
		{Key: "build.out", Kind: Path, Default: []string{"artifacts"}, Env: []string{"OUT"}, Flag: "out", Meaning: "the `folder`"},
		{Key: "build.kernel", Kind: Place, Default: []string{"cloud"}, Flag: "kernel", Meaning: "the kernel"},
		{Key: "build.size", List: true, Flag: "size", Meaning: "sizes", Sample: "a=1,b=2", Check: func(s string) error {
			if !strings.Contains(s, "=") {
				return errors.New("want LABEL=MiB")
			}
			return nil
		}},
		{Key: "vm.memory", Kind: Number, Default: []string{"1024"}, Env: []string{"MEM", "MEMORY"}, Flag: "memory", InProfile: true, Meaning: "MiB"},
		{Key: "vm.keep", Kind: Switch, Default: []string{"false"}, Flag: "keep", InProfile: true, Meaning: "keep"},
		{Key: "vm.disk", Kind: Path, Flag: "disk", InProfile: true, Meaning: "disk"},
	}
}

// load reads text as a file; empty is none.
func load(t *testing.T, text string, env map[string]string) (*Settings, string, error) {
	t.Helper()
	dir, file := t.TempDir(), ""
	if text != "" {
		file = filepath.Join(dir, FileName)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(table(), file, func(name string) string { return env[name] })
	return s, dir, err
}

func TestEnvironmentWinsOverFileOverDefault(t *testing.T) {
	const file = "[vm]\nmemory = 2048\n"
	for _, c := range []struct {
		name, file string
		env        map[string]string
		want       int
		source     Source
		where      string
	}{
		{"nobody says anything", "", nil, 1024, FromDefault, ""},
		{"the file", file, nil, 2048, FromFile, FileName},
		{"the environment", file, map[string]string{"MEMORY": "512"}, 512, FromEnv, "MEMORY"},
		{"the first variable", file, map[string]string{"MEMORY": "512", "MEM": "256"}, 256, FromEnv, "MEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, err := load(t, c.file, c.env)
			if err != nil {
				t.Fatal(err)
			}
			v := s.Value("vm.memory")
			if s.Number("vm.memory") != c.want || v.Source != c.source || filepath.Base("/"+v.Where) != filepath.Base("/"+c.where) {
				t.Errorf("got %d from %s %s, want %d from %s %s", s.Number("vm.memory"), v.Source, v.Where, c.want, c.source, c.where)
			}
			flagged := s.With("vm.memory", []string{"99"}, "--memory")
			if flagged.Number("vm.memory") != 99 || flagged.Value("vm.memory").Source != FromFlag || s.Number("vm.memory") != c.want {
				t.Errorf("a flag: got %v, and %v without it", flagged.Value("vm.memory"), s.Value("vm.memory"))
			}
		})
	}
}

func TestWhatTheFileMayNotSay(t *testing.T) {
	for _, c := range []struct{ name, text, want, hint string }{
		{"a wrong key", "[build]\nkernal = \"x\"", "build.kernal is no setting", "the nearest is build.kernel"},
		{"a wrong table", "[biuld]\nkernel = \"x\"", "the table [biuld] is no setting", "the nearest is build;"},
		{"a key outside of a table", "kernel = \"x\"", "the key kernel outside of a table", "the nearest is build.kernel"},
		{"a wrong key in a profile", "[vm.profile.web]\nmemroy = 1", "vm.profile.web.memroy is no setting", "the nearest is memory"},
		{"a key that no profile has", "[build.profile.web]\nout = 1", "build.profile is no setting", "the nearest is build.size"},
		{"a text for a number", "[vm]\nmemory = \"much\"", "vm.memory: much: want a number", ""},
		{"a number for a text", "[build]\nkernel = 6", "build.kernel: 6: want a text in quotes", ""},
		{"a text for a switch", "[vm]\nkeep = \"yes\"", "vm.keep: yes: want true or false", ""},
		{"a text for a list", "[build]\nsize = \"a=1\"", "build.size: want a list", ""},
		{"a wrong value in a list", "[build]\nsize = [\"a=1\", \"b\"]", "build.size: want LABEL=MiB", ""},
		{"a text for a profile", "[vm.profile]\nweb = 1", "want a table [vm.profile.web]", ""},
		{"no TOML", "[build\n", "line 2", ""},
		{"a key twice", "[vm]\nmemory = 1\nmemory = 2", "line 3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := load(t, c.text, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(step.HintOf(err), c.hint) {
				t.Errorf("got %v, hint %q; want %q, %q", err, step.HintOf(err), c.want, c.hint)
			}
		})
	}
	if _, _, err := load(t, "", map[string]string{"MEM": "much"}); err == nil || !strings.Contains(err.Error(), "MEM=much in the environment") {
		t.Errorf("a wrong variable: got %v", err)
	}
}

func TestPathsOfTheFileBeginAtItsFolder(t *testing.T) {
	s, dir, err := load(t, "[build]\nkernel = \"./k\"\n[vm]\ndisk = \"/d\"\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"build.out": filepath.Join(dir, "artifacts"), "build.kernel": filepath.Join(dir, "k"), "vm.disk": "/d"} {
		if got := s.Text(key); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	for word, want := range map[string]string{"cloud": "cloud", "debian:linux-image": "debian:linux-image", "pass:a/b": "pass:a/b", "a/b": "/d/a/b",
		"/a": "/a", "": "", "oci:./image": "oci:/d/image", "tar:../x.tar": "tar:/x.tar", "oci:registry/image:tag": "oci:registry/image:tag"} {
		if got := (Setting{Kind: Place}).below("/d", word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
	s, _, err = load(t, "", map[string]string{"OUT": "here"})
	if err != nil || s.Text("build.out") != "here" || s.Text("build.kernel") != "cloud" {
		t.Errorf("got %v, %v", s.All(), err)
	}
}

func TestAProfileIsBetweenFileAndEnvironment(t *testing.T) {
	s, dir, err := load(t, "[vm]\nmemory = 1\nkeep = true\n[vm.profile.web]\nmemory = 2\ndisk = \"web.img\"\n[vm.profile.db]\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	web, ok := s.Profile("vm", "web")
	if !ok || web.Number("vm.memory") != 2 || !web.Yes("vm.keep") || web.Text("vm.disk") != filepath.Join(dir, "web.img") || s.Number("vm.memory") != 1 {
		t.Errorf("got %v %v", ok, web.All())
	}
	if _, ok := s.Profile("vm", "none"); ok {
		t.Error("a profile that is not there")
	}
	if got := s.Profiles("vm"); !slices.Equal(got, []string{"db", "web"}) {
		t.Errorf("got %v", got)
	}
	s, _, err = load(t, "[vm.profile.web]\nmemory = 2\n", map[string]string{"MEM": "3"})
	if err != nil {
		t.Fatal(err)
	}
	if web, _ := s.Profile("vm", "web"); web.Number("vm.memory") != 3 {
		t.Errorf("the environment lost: %v", web.Value("vm.memory"))
	}
}

func TestTheFileIsFoundUpwards(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, FileName)
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(below); got != name || err != nil {
		t.Errorf("got %q, %v, want %s", got, err, name)
	}
}

func TestARenderedFileSetsWhatItWasGivenAndNoMore(t *testing.T) {
	set := map[string][]string{"build.kernel": {`a"b\c`}, "build.size": {"a=1", "b='2\n"}, "vm.keep": {"true"}}
	text := Render(table(), "# head\n", set, "")
	s, _, err := load(t, text, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, v := range s.All() {
		want, given := set[v.Key]
		if (v.Source == FromFile) != given || given && !reflect.DeepEqual(v.Words, want) {
			t.Errorf("%s: got %q from %s, want %q\n%s", v.Key, v.Words, v.Source, want, text)
		}
	}
	// What is a comment is right, too, once the # is taken away.
	all := strings.ReplaceAll(text, "\n#", "\n")
	var lines []string
	for line := range strings.Lines(all) {
		if strings.Contains(line, " = ") || strings.HasPrefix(line, "[") {
			lines = append(lines, line)
		}
	}
	if _, _, err := load(t, strings.Join(lines, ""), nil); err != nil {
		t.Errorf("%v\n%s", err, all)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[build]\nkernel = \"x\"\nsize = [\"a=1\"]\n[vm.profile.web]\nmemory = 1\n")
	f.Add("[vm]\nprofile = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := Defaults(table())
		s.File = "/dir/" + FileName
		if s.parse(text) != nil {
			return
		}
		// What was read is written and read again as the same.
		set := map[string][]string{}
		for _, key := range s.order {
			if v := s.values[key]; v.Source == FromFile {
				set[key] = v.Words
			}
		}
		again := Defaults(table())
		again.File = s.File
		if err := again.parse(Render(table(), "", set, "")); err != nil {
			t.Fatalf("%v\n%s", err, Render(table(), "", set, ""))
		}
		if !reflect.DeepEqual(again.values["build.kernel"].Words, s.values["build.kernel"].Words) || again.Number("vm.memory") != s.Number("vm.memory") {
			t.Errorf("%q became %v", text, again.All())
		}
	})
}
