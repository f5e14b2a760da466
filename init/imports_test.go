package main

import (
	"slices"
	"strings"
	"testing"
)

// DESIGN.md, section 2: what PID 1 is made of, and each third party's one door.

// dear are packages that cost PID 1 more than they bring, or that a machine
// which boots has no use for.
func dear() []string {
	return []string{
		"github.com/diskfs/go-diskfs", "github.com/spf13/cobra", "text/template", "html/template", "net/http/pprof", "testing",
		"github.com/klauspost/compress", "github.com/ulikunitz/xz",
		"psyopsOS/image", "psyopsOS/node", "psyopsOS/vm", "psyopsOS/cmd",
	}
}

// doors are, for each third party, the packages of ours that may import it.
func doors() map[string][]string {
	return map[string][]string{
		"github.com/BurntSushi/toml":      {"psyopsOS/upgrade"},
		"github.com/vishvananda/netlink":  {"psyopsOS/netif"},
		"github.com/jedisct1/go-minisign": {"psyopsOS/release"},
		"aead.dev/minisign":               {"psyopsOS/release"},
		"golang.org/x/crypto":             {"psyopsOS/release", "psyopsOS/secret"},
		"golang.org/x/sys": {"psyopsOS/init", "psyopsOS/boot", "psyopsOS/boot/shell", "psyopsOS/bootstate", "psyopsOS/mounts",
			"psyopsOS/netif", "psyopsOS/trial", "psyopsOS/upgrade"},
	}
}

func TestSizeIsKeptByWhatPID1Imports(t *testing.T) {
	for _, name := range strings.Fields(run(t, "go", "list", "-deps", ".")) {
		if slices.ContainsFunc(dear(), func(d string) bool { return within(name, d) }) {
			t.Errorf("init imports %s", name)
		}
	}
}

func TestTheBootKnowsNoHTTP(t *testing.T) {
	if deps := strings.Fields(run(t, "go", "list", "-deps", "psyopsOS/boot/...")); slices.Contains(deps, "net/http") {
		t.Error("boot imports net/http")
	}
}

func TestEachThirdPartyHasItsDoor(t *testing.T) {
	// A line for each package: its path and what it imports itself.
	list := run(t, "go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{range .Imports}} {{.}}{{end}}{{end}}{{end}}", ".")
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		for _, imported := range words[min(1, len(words)):] {
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
				continue // the standard library or ours
			}
			if !mayImport(words[0], imported) {
				t.Errorf("%s imports %s, which has another door or none", words[0], imported)
			}
		}
	}
}

func mayImport(ours, theirs string) bool {
	for module, allowed := range doors() {
		if within(theirs, module) {
			return slices.Contains(allowed, ours)
		}
	}
	return false
}

// within reports whether a package is another or below it.
func within(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
