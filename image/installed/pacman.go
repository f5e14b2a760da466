package installed

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"psyopsOS/image"
)

// pacmanDatabase has a folder for each package, with a file desc.
const pacmanDatabase = "var/lib/pacman/local"

func readPacman(root fs.FS) (packages []image.Package, err error) {
	names, err := fs.Glob(root, pacmanDatabase+"/*/desc")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		found, err := read(root, name, ParsePacman)
		if err != nil {
			return nil, err
		}
		packages = append(packages, found...)
	}
	if _, err := fs.Stat(root, path.Join(pacmanDatabase, "ALPM_DB_VERSION")); err == nil && len(names) == 0 {
		return nil, errors.New(pacmanDatabase + " lists no package")
	}
	return packages, nil
}

// ParsePacman reads what pacman notes of one package: %NAME% on a line, its
// values on the next ones, and an empty one.
func ParsePacman(text []byte) ([]image.Package, error) {
	fields := map[string][]string{}
	key := ""
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case line == "":
			key = ""
		case key == "" && len(line) > 2 && line[0] == '%' && line[len(line)-1] == '%':
			key = line[1 : len(line)-1]
		case key != "":
			fields[key] = append(fields[key], line)
		}
	}
	one := func(key string) string { return strings.Join(fields[key], " AND ") }
	p := image.Package{Type: "alpm", Name: one("NAME"), Version: one("VERSION"), Arch: one("ARCH"), License: one("LICENSE"), Origin: one("BASE")}
	if p.Name == "" || p.Version == "" {
		return nil, fmt.Errorf("a package without name or version: %.60q", text)
	}
	return []image.Package{p}, nil
}
