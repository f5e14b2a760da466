package sbom_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"

	"psyopsOS/image"
	"psyopsOS/image/sbom"
)

func sample() sbom.Release {
	sum := strings.Repeat("0123456789abcdef", 4)
	return sbom.Release{File: "psyopsOS.x86_64.20261121-101500.tar", Version: "20261121-101500", SHA256: sum, Time: time.Unix(1763720100, 0),
		Userland: image.Parts{Name: "debian 12", Packages: []image.Package{
			{Type: "deb", Distro: "debian", Name: "libc6", Version: "2.36-9+deb12u10", Arch: "amd64", Origin: "glibc"},
			{Type: "deb", Distro: "debian", Name: "busybox", Version: "1:1.35.0-4+b3", Arch: "amd64", SHA256: sum},
			{Type: "apk", Distro: "alpine", Name: "musl", Version: "1.2.5-r0", Arch: "x86_64", License: "MIT AND BSD"},
		}},
		Kernel: image.Parts{Name: "6.1.0-test", Packages: []image.Package{
			{Type: "rpm", Name: "kernel-core", Version: "6.1-1.fc41", Arch: "x86_64", SHA256: sum},
			{Type: "deb", Distro: "debian", Name: "busybox", Version: "1:1.35.0-4+b3", Arch: "amd64", SHA256: sum},
		}},
		Programs: []sbom.Program{{Name: "init", SHA256: sum, Go: "1.26.0", Modules: []*debug.Module{
			{Path: "golang.org/x/sys", Version: "v0.49.0", Sum: "h1:abc="}, {Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/new", Version: "v2.0.0"}}}}},
	}
}

func write(t *testing.T, r sbom.Release) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := sbom.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTheBillTellsWhatAReleaseIsMadeOf(t *testing.T) {
	text := write(t, sample())
	bom, err := sbom.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != cdx.SpecVersion1_6 || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(bom.SerialNumber) ||
		bom.Metadata.Component.Version != "20261121-101500" || bom.Metadata.Timestamp != "2025-11-21T10:15:00Z" {
		t.Errorf("the head is %+v %+v", bom, bom.Metadata)
	}
	var got []string
	refs := map[string]bool{bom.Metadata.Component.BOMRef: true}
	for _, c := range *bom.Components {
		got = append(got, string(c.Type)+" "+c.Name+" "+c.Version)
		if refs[c.BOMRef] {
			t.Errorf("%s is there twice", c.BOMRef)
		}
		refs[c.BOMRef] = true
		if c.PackageURL == "" {
			continue
		}
		u, err := packageurl.FromString(c.PackageURL)
		if err != nil || u.Version != c.Version || c.Name != u.Name && c.Name != u.Namespace+"/"+u.Name {
			t.Errorf("%s is %+v, %v", c.PackageURL, u, err)
		}
	}
	want := []string{"operating-system linux 6.1.0-test", "operating-system userland debian 12", "application init ",
		"library musl 1.2.5-r0", "library busybox 1:1.35.0-4+b3", "library libc6 2.36-9+deb12u10",
		"library example.org/new v2.0.0", "library golang.org/x/sys v0.49.0", "library stdlib 1.26.0", "library kernel-core 6.1-1.fc41"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, d := range *bom.Dependencies {
		for _, on := range append(*d.Dependencies, d.Ref) {
			if !refs[on] {
				t.Errorf("%s needs %s, which is nowhere", d.Ref, on)
			}
		}
	}
	for _, want := range []string{"MIT AND BSD", "h1:abc=", `"psyopsOS:source-package"`, "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s is not in it:\n%s", want, text)
		}
	}
}

// Of a member from elsewhere its hash is all that is known, and the bill says
// that something is missing.
func TestTheBillTellsOfPartsFromElsewhere(t *testing.T) {
	r := sample()
	if text := write(t, r); bytes.Contains(text, []byte("compositions")) {
		t.Errorf("a bill of all parts says that something is missing:\n%s", text)
	}
	r.Userland, r.Replaced = image.Parts{Name: "replaced"}, []sbom.File{{Name: "squashfs", SHA256: r.SHA256}}
	bom, err := sbom.Read(bytes.NewReader(write(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(*bom.Components, func(c cdx.Component) bool { return c.Type == cdx.ComponentTypeFile })
	if i < 0 || (*bom.Components)[i].Name != "squashfs" || (*(*bom.Components)[i].Hashes)[0].Value != r.SHA256 {
		t.Errorf("the squashfs is not in it: %+v", *bom.Components)
	}
	if c := bom.Compositions; c == nil || (*c)[0].Aggregate != cdx.CompositionAggregateIncomplete || (*(*c)[0].Assemblies)[0] != "release" {
		t.Errorf("the bill does not say that it is incomplete: %+v", c)
	}
}

func TestTheBillIsTheSameForTheSameRelease(t *testing.T) {
	one, other := sample(), sample()
	slices.Reverse(other.Userland.Packages)
	t.Setenv("TZ", "Pacific/Chatham")
	if !bytes.Equal(write(t, one), write(t, other)) {
		t.Error("another order of the same packages gave another bill")
	}
	other.Version = "20261121-101501"
	if a, b := write(t, one), write(t, other); serial(t, a) == serial(t, b) {
		t.Error("another release has the same serial number")
	}
}

func serial(t *testing.T, text []byte) string {
	t.Helper()
	bom, err := sbom.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return bom.SerialNumber
}

func TestTheModulesOfARealProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "init")
	if said, err := exec.Command("go", "build", "-o", file, "psyopsOS/init").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := sbom.ReadProgram("init", content)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(p.Modules, func(m *debug.Module) bool { return m.Path == "golang.org/x/sys" && m.Version != "" && m.Sum != "" }) || p.Go == "" || len(p.SHA256) != 64 {
		t.Errorf("got %+v", p)
	}
	if _, err := sbom.ReadProgram("x", []byte("#!/bin/sh")); err == nil {
		t.Error("a script was taken for a Go program")
	}
}
