package image

import (
	"encoding/json"
	"fmt"
	"os"

	"psyopsOS/image/tree"
)

// A Userland is a root file system without a kernel, and what a release tells
// of it. Each kind of userland has a package that makes one: image/testos,
// image/alpine.
type Userland struct {
	Tree     *tree.Tree
	Name     string    // and release, as a manifest has them: "alpine 3.20", "testos 1"
	Packages []Package // what it is made of, as far as anybody knows
	Undone   []string  // what only a script could have done, which was not run
}

// A Package is one of those that a userland, a kernel or firmware is made of.
type Package struct {
	Type    string `json:"type"` // as in a package URL: apk, deb, rpm, alpm
	Distro  string `json:"distro,omitempty"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	Origin  string `json:"origin,omitempty"` // the source package
	License string `json:"license,omitempty"`
	SHA256  string `json:"sha256,omitempty"` // of the package's file
}

func (p Package) String() string { return p.Name + "-" + p.Version }

// Parts are what is told of a stage's output apart from its files: the name
// of a userland or kernel, and the packages that it is made of.
type Parts struct {
	Name     string    `json:"name"`
	Packages []Package `json:"packages"`
}

// PartsFile holds Parts beside a squashfs or a kernel.
const PartsFile = "parts.json"

// Write writes the file name.
func (p Parts) Write(name string) error {
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// ReadParts reads what Write wrote.
func ReadParts(name string) (p Parts, err error) {
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return p, err
}
