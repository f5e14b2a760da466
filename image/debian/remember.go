package debian

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// remember keeps apt's answer beside the downloads: apt-cache takes seconds,
// and a build in which nothing changed should take none.
func (a Apt) remember(want Request, resolve func() ([]Package, error)) ([]Package, error) {
	key, err := a.key(want)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(a.Cache, "answers", key[:32]+".json")
	var packages []Package
	if data, err := os.ReadFile(name); err == nil && json.Unmarshal(data, &packages) == nil && len(packages) > 0 {
		return packages, nil
	}
	if packages, err = resolve(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(packages, "", " ")
	if err == nil {
		err = writeFile(name, data)
	}
	return packages, err
}

// key tells apart requests, and states of apt's lists and settings.
func (a Apt) key(want Request) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode([]any{2, want, a.Options}); err != nil {
		return "", err
	}
	for _, root := range a.State {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return skipUnreadable(err, d)
			}
			info, err := d.Info()
			if err == nil {
				fmt.Fprintln(h, name, info.Size(), info.ModTime().UnixNano())
			}
			return err
		})
		if err != nil {
			return "", fmt.Errorf("look at apt's lists: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// skipUnreadable passes over what only root may read (lists/partial) and what
// is not there.
func skipUnreadable(err error, d fs.DirEntry) error {
	if err == nil || os.IsNotExist(err) {
		return nil
	}
	if os.IsPermission(err) && d != nil && d.IsDir() {
		return fs.SkipDir
	}
	return err
}

// writeFile writes to a temporary name first, so that a reader never meets
// half a file.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	temp := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.WriteFile(temp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, name)
}
