// Package sbom writes a release's bill of materials: which packages, in which
// versions and with which hashes, its userland, its kernel and our own
// programs are made of. It is CycloneDX JSON, which scanners for known
// vulnerabilities read. The same release gives the same bytes.
//
// The CycloneDX library has its door here.
package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"

	"psyopsOS/image"
)

// A Release is what a bill of materials is about.
type Release struct {
	File     string // its tar
	Version  string
	SHA256   string // of the tar
	Time     time.Time
	Userland image.Parts
	Kernel   image.Parts
	Programs []Program // that we have built ourselves
	Replaced []File    // members from elsewhere, of which nothing else is known
}

// A File is a member of the release.
type File struct{ Name, SHA256 string }

// A Program is one that we have built, with the Go modules that are in it.
type Program struct {
	Name    string
	SHA256  string
	Go      string // the toolchain's version
	Modules []*debug.Module
}

// ReadProgram reads a Go program's file.
func ReadProgram(name string, content []byte) (Program, error) {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return Program{}, fmt.Errorf("%s: %w", name, err)
	}
	sum := sha256.Sum256(content)
	return Program{name, hex.EncodeToString(sum[:]), strings.TrimPrefix(info.GoVersion, "go"), info.Deps}, nil
}

// Write writes the bill of materials of r.
func Write(w io.Writer, r Release) error {
	b := bill{components: map[string]cdx.Component{}, needs: map[string][]string{}}
	root := cdx.Component{BOMRef: "release", Type: cdx.ComponentTypeOS, Name: "psyopsOS", Version: r.Version, Hashes: hashes(r.SHA256),
		Properties: properties("psyopsOS:file", r.File)}
	b.part(root.BOMRef, cdx.Component{BOMRef: "userland", Type: cdx.ComponentTypeOS, Name: "userland", Version: r.Userland.Name}, r.Userland.Packages)
	b.part(root.BOMRef, cdx.Component{BOMRef: "kernel", Type: cdx.ComponentTypeOS, Name: "linux", Version: r.Kernel.Name}, r.Kernel.Packages)
	for _, p := range r.Programs {
		b.program(root.BOMRef, p)
	}
	for _, f := range r.Replaced {
		b.add(root.BOMRef, cdx.Component{BOMRef: "file:" + f.Name, Type: cdx.ComponentTypeFile, Name: f.Name, Hashes: hashes(f.SHA256)})
	}
	bom := cdx.NewBOM()
	bom.SpecVersion = cdx.SpecVersion1_6
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	bom.Metadata = &cdx.Metadata{Timestamp: r.Time.UTC().Format(time.RFC3339), Component: &root}
	components, dependencies := b.sorted()
	bom.Components, bom.Dependencies = &components, &dependencies
	if len(r.Replaced) > 0 {
		// What is in them is missing here, and a scanner should know it.
		bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &[]cdx.BOMReference{cdx.BOMReference(root.BOMRef)}}}
	}
	text, err := encode(bom)
	if err != nil {
		return err
	}
	// A serial number that is another one wherever the content is.
	bom.SerialNumber = serialNumber(text)
	if text, err = encode(bom); err == nil {
		_, err = w.Write(text)
	}
	return err
}

// Read reads a bill of materials.
func Read(r io.Reader) (*cdx.BOM, error) {
	var bom cdx.BOM
	err := cdx.NewBOMDecoder(r, cdx.BOMFileFormatJSON).Decode(&bom)
	return &bom, err
}

func encode(bom *cdx.BOM) ([]byte, error) {
	var b bytes.Buffer
	err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return b.Bytes(), err
}

// serialNumber is a UUID of version 8: its bits mean what we say.
func serialNumber(text []byte) string {
	sum := sha256.Sum256(text)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// bill collects components, each once, and what they are made of.
type bill struct {
	components map[string]cdx.Component
	needs      map[string][]string
}

func (b *bill) add(parent string, c cdx.Component) {
	if old, twice := b.components[c.BOMRef]; !twice || old.Hashes == nil {
		b.components[c.BOMRef] = c
	}
	b.needs[parent] = append(b.needs[parent], c.BOMRef)
}

func (b *bill) part(parent string, c cdx.Component, packages []image.Package) {
	b.add(parent, c)
	for _, p := range packages {
		b.add(c.BOMRef, packageComponent(p))
	}
}

func packageComponent(p image.Package) cdx.Component {
	purl := packageURL(p)
	c := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: purl, Hashes: hashes(p.SHA256)}
	if p.License != "" {
		c.Licenses = &cdx.Licenses{{License: &cdx.License{Name: p.License}}}
	}
	if p.Origin != "" && p.Origin != p.Name {
		c.Properties = properties("psyopsOS:source-package", p.Origin)
	}
	return c
}

// packageURL is the package's name in the words of github.com/package-url.
func packageURL(p image.Package) string {
	var q packageurl.Qualifiers
	if p.Arch != "" {
		q = append(q, packageurl.Qualifier{Key: "arch", Value: p.Arch})
	}
	return packageurl.NewPackageURL(p.Type, p.Distro, p.Name, p.Version, q, "").ToString()
}

func (b *bill) program(parent string, p Program) {
	ref := "program:" + p.Name
	b.add(parent, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: p.Name, Hashes: hashes(p.SHA256)})
	b.add(ref, module(&debug.Module{Path: "stdlib", Version: p.Go}))
	for _, m := range p.Modules {
		if m.Replace != nil {
			m = m.Replace
		}
		b.add(ref, module(m))
	}
}

func module(m *debug.Module) cdx.Component {
	at, name := "", m.Path
	if slash := strings.LastIndexByte(m.Path, '/'); slash >= 0 {
		at, name = m.Path[:slash], m.Path[slash+1:]
	}
	purl := packageurl.NewPackageURL("golang", at, name, m.Version, nil, "").ToString()
	c := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl}
	if m.Sum != "" {
		c.Properties = properties("go:sum", m.Sum) // of the module's files, and no file's hash
	}
	return c
}

// sorted is everything in an order that depends on nothing else.
func (b *bill) sorted() (components []cdx.Component, dependencies []cdx.Dependency) {
	for _, ref := range slices.Sorted(maps.Keys(b.components)) {
		components = append(components, b.components[ref])
	}
	for _, ref := range slices.Sorted(maps.Keys(b.needs)) {
		on := slices.Compact(slices.Sorted(slices.Values(b.needs[ref])))
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &on})
	}
	slices.SortStableFunc(components, func(a, b cdx.Component) int {
		return cmp.Compare(kindOrder(a), kindOrder(b))
	})
	return components, dependencies
}

// kindOrder puts what we ship before what it is made of.
func kindOrder(c cdx.Component) int {
	return slices.Index([]cdx.ComponentType{cdx.ComponentTypeOS, cdx.ComponentTypeApplication, cdx.ComponentTypeFile, cdx.ComponentTypeLibrary}, c.Type)
}

func hashes(sha256 string) *[]cdx.Hash {
	if sha256 == "" {
		return nil
	}
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sha256}}
}

func properties(name, value string) *[]cdx.Property {
	return &[]cdx.Property{{Name: name, Value: value}}
}
