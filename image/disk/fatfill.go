package disk

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"psyopsOS/step"
)

// fill copies the files in, one after another, and looks where they came to
// lie: mtools takes the next free cluster, but promises it nowhere.
func (f fat) fill(ctx context.Context, files []File) error {
	if len(files) == 0 {
		return nil
	}
	if err := f.makeFolders(ctx, files); err != nil {
		return err
	}
	next, err := f.firstFree(ctx, folders(files))
	if err != nil {
		return err
	}
	placed, err := plan(files, next, f.ClusterSize)
	if err != nil {
		return err
	}
	if err := f.fits(placed); err != nil {
		return err
	}
	for _, p := range placed {
		if err := f.copyIn(ctx, p.File); err != nil {
			return err
		}
	}
	return f.verify(ctx, placed)
}

// makeFolders makes the folders and gives each the clusters that it will need,
// by filling it with empty files and deleting them again: a folder that grew
// between two files would push the second off its place.
func (f fat) makeFolders(ctx context.Context, files []File) error {
	for _, dir := range folders(files) {
		if _, _, err := f.run(ctx, nil, "mmd", "-i", f.image, "::"+dir); err != nil {
			return err
		}
	}
	names := map[string][]string{}
	for _, file := range append(allFillers(files), files...) {
		dir, base := path.Split(file.Path)
		names[path.Clean(dir)] = append(names[path.Clean(dir)], base)
	}
	scratch, err := os.MkdirTemp("", "psyopsOS-fat-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	for _, dir := range append([]string{"."}, folders(files)...) {
		if len(names[dir]) == 0 {
			continue
		}
		copyIn, remove := []string{"-i", f.image}, []string{"-i", f.image}
		for _, name := range names[dir] {
			empty := filepath.Join(scratch, name)
			if err := os.WriteFile(empty, nil, 0o600); err != nil {
				return err
			}
			copyIn, remove = append(copyIn, empty), append(remove, "::"+path.Join(dir, name))
		}
		if _, _, err := f.run(ctx, nil, "mcopy", append(copyIn, "::"+dir)...); err != nil {
			return err
		}
		if _, _, err := f.run(ctx, nil, "mdel", remove...); err != nil {
			return err
		}
	}
	return nil
}

// fits looks before anything is copied, since mcopy cuts off a file that does
// not fit and ends with 0.
func (f fat) fits(placed []placed) error {
	g, err := readGeometry(f.image)
	if err != nil {
		return err
	}
	last := placed[len(placed)-1]
	if over := last.first + last.clusters - 1 - g.lastCluster; over > 0 {
		return step.WithHint(fmt.Errorf("full: the files need %s more", step.Bytes(over*f.ClusterSize)), "make the volume larger")
	}
	return nil
}

func (f fat) copyIn(ctx context.Context, file File) error {
	r, err := file.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, _, err = f.run(ctx, r, "mcopy", "-i", f.image, "-", "::"+file.Path); err != nil {
		return fmt.Errorf("copy %s in: %w", file.Path, err)
	}
	return nil
}

// firstFree is the cluster behind the last of the folders.
func (f fat) firstFree(ctx context.Context, dirs []string) (int64, error) {
	extents, err := f.extents(ctx, append([]string{"/"}, dirs...))
	if err != nil {
		return 0, err
	}
	var last int64
	for _, list := range extents {
		for _, e := range list {
			last = max(last, e.last)
		}
	}
	return last + 1, nil
}

func (f fat) verify(ctx context.Context, placed []placed) error {
	var names []string
	for _, p := range placed {
		names = append(names, p.Path)
	}
	extents, err := f.extents(ctx, names)
	if err != nil {
		return err
	}
	for i, p := range placed {
		got := extents[i]
		if p.clusters == 0 && len(got) == 0 {
			continue
		}
		if want := (extent{p.first, p.first + p.clusters - 1}); len(got) != 1 || got[0] != want {
			return fmt.Errorf("mcopy laid %s on clusters %v, not on %v", p.Path, got, want)
		}
	}
	return nil
}
