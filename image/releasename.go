package image

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"psyopsOS/image/tree"
)

// ReleaseName is the name and release of a root file system by its
// os-release, as a manifest has them: "alpine 3.20", "debian 12".
func ReleaseName(t *tree.Tree) (string, error) {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		at, err := t.Follow(name)
		if err != nil {
			return "", err
		}
		n, ok := t.Get(at)
		if !ok || !n.Mode.IsRegular() {
			continue
		}
		content, err := n.Content()
		if err != nil {
			return "", err
		}
		return releaseName(content), nil
	}
	return "", fmt.Errorf("the userland has no /etc/os-release to tell its name")
}

func releaseName(osRelease []byte) string {
	values := map[string]string{"ID": "linux"}
	for s := bufio.NewScanner(bytes.NewReader(osRelease)); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), "="); ok {
			values[strings.TrimSpace(key)] = strings.Map(releaseLetter, value)
		}
	}
	id, version := values["ID"], values["VERSION_ID"]
	if id == "alpine" {
		// 3.20.3 is release 3.20: what it was installed from says nothing of
		// its packages.
		if parts := strings.Split(version, "."); len(parts) > 2 {
			version = strings.Join(parts[:2], ".")
		}
	}
	return strings.TrimSpace(id + " " + version)
}

// releaseLetter drops quotes, and what has no place in a word of a comment.
func releaseLetter(r rune) rune {
	if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+~", r) {
		return r
	}
	return -1
}
