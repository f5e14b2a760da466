package alpine

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// An Index is what a repository has.
type Index struct {
	Description string
	Packages    []Package
}

// ReadIndex reads an APKINDEX.tar.gz that one of the keys has signed.
func ReadIndex(file []byte, keys Keys) (Index, error) {
	r, size := bytes.NewReader(file), int64(len(file))
	first, length, err := readMember(r, 0, size, maxSign)
	if err != nil {
		return Index{}, fmt.Errorf("index: signature: %w", err)
	}
	signatures, err := smallTar(first)
	if err != nil {
		return Index{}, fmt.Errorf("index: signature: %w", err)
	}
	if err := keys.verify(signatures, file[length:]); err != nil {
		return Index{}, fmt.Errorf("index: %w", err)
	}
	content, rest, err := readMember(r, length, size, maxIndex)
	if err == nil && length+rest != size {
		err = fmt.Errorf("%d bytes behind the index", size-length-rest)
	}
	if err != nil {
		return Index{}, fmt.Errorf("index: %w", err)
	}
	files, err := smallTar(content)
	if err == nil && files["APKINDEX"] == nil {
		err = fmt.Errorf("no APKINDEX in it")
	}
	if err != nil {
		return Index{}, fmt.Errorf("index: %w", err)
	}
	packages, err := ParseIndex(files["APKINDEX"])
	return Index{string(files["DESCRIPTION"]), packages}, err
}

// ParseIndex reads the text of an index: a paragraph for each package, of
// lines with a letter, a colon and a value.
func ParseIndex(text []byte) ([]Package, error) {
	var all []Package
	for paragraph := range bytes.SplitSeq(text, []byte("\n\n")) {
		if paragraph = bytes.Trim(paragraph, "\n"); len(paragraph) == 0 {
			continue
		}
		p, err := parsePackage(string(paragraph))
		if err != nil {
			return nil, fmt.Errorf("index: package %.60q: %w", p.String(), err)
		}
		all = append(all, p)
	}
	return all, nil
}

func parsePackage(paragraph string) (p Package, err error) {
	seen := map[string]bool{}
	for line := range strings.SplitSeq(paragraph, "\n") {
		letter, value, ok := strings.Cut(line, ":")
		if !ok || len(letter) != 1 || seen[letter] || strings.ContainsAny(value, "\r\x00") {
			return p, fmt.Errorf("line %.60q", line)
		}
		seen[letter] = true
		if err := p.set(letter, value); err != nil {
			return p, fmt.Errorf("line %.60q: %w", line, err)
		}
	}
	if !seen["C"] {
		return p, fmt.Errorf("no checksum")
	}
	return p, p.check()
}

// field gives the place for the value of a letter; what has no place here is
// for others to know.
func (p *Package) field(letter string) any {
	switch letter {
	case "C":
		return &p.Checksum
	case "P":
		return &p.Name
	case "V":
		return &p.Version
	case "A":
		return &p.Arch
	case "S":
		return &p.Size
	case "I":
		return &p.InstalledSize
	case "T":
		return &p.Description
	case "U":
		return &p.URL
	case "L":
		return &p.License
	case "o":
		return &p.Origin
	case "m":
		return &p.Maintainer
	case "t":
		return &p.BuildTime
	case "c":
		return &p.Commit
	case "k":
		return &p.Priority
	case "D":
		return &p.Depends
	case "p":
		return &p.Provides
	case "i":
		return &p.InstallIf
	case "r":
		return &p.Replaces
	case "q":
		return &p.ReplacesPriority
	}
	return nil
}

func (p *Package) set(letter, value string) (err error) {
	switch field := p.field(letter).(type) {
	case *string:
		*field = value
	case *int64:
		*field, err = strconv.ParseInt(value, 10, 64)
	case *int:
		*field, err = strconv.Atoi(value)
	case *Checksum:
		*field, err = ParseChecksum(value)
	case *[]Dependency:
		*field, err = parseDependencies(value)
	}
	return err
}

// RenderIndex is the text for these packages. The same lines are in the
// database of installed packages.
func RenderIndex(packages []Package) []byte {
	var b bytes.Buffer
	for _, p := range packages {
		p.render(&b)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func (p Package) render(b *bytes.Buffer) {
	for letter := range strings.SplitSeq("C P V A S I T U L o m t c k D p i r q", " ") {
		value := ""
		switch field := p.field(letter).(type) {
		case *string:
			value = *field
		case *int64:
			value = strconv.FormatInt(*field, 10)
		case *int:
			value = strconv.Itoa(*field)
		case *Checksum:
			value = field.String()
		case *[]Dependency:
			value = renderDependencies(*field)
		}
		if value != "" && (value != "0" || letter == "S" || letter == "I") {
			fmt.Fprintf(b, "%s:%s\n", letter, value)
		}
	}
}
