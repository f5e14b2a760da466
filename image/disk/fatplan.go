package disk

import (
	"fmt"
	"path"
)

// placed is a file with the place that it must get.
type placed struct {
	File
	first, clusters int64
}

// plan lays the files on consecutive clusters from first on, and puts fillers
// around those that want to be Alone.
func plan(files []File, first, clusterSize int64) ([]placed, error) {
	perBlock := int64(block) / clusterSize
	var list []placed
	put := func(f File) error {
		size, err := f.Size()
		if err != nil {
			return err
		}
		p := placed{f, first, (size + clusterSize - 1) / clusterSize}
		list, first = append(list, p), first+p.clusters
		return nil
	}
	// align fills up to the next aligned block; cluster 2 begins one.
	align := func(name string) error {
		if over := (first - 2) % perBlock; over != 0 {
			return put(File{Path: name, Data: make([]byte, (perBlock-over)*clusterSize)})
		}
		return nil
	}
	for i, f := range files {
		if !f.Alone {
			if err := put(f); err != nil {
				return nil, err
			}
			continue
		}
		before, after := fillers(files, i)
		if err := align(before); err != nil {
			return nil, err
		}
		if err := put(f); err != nil {
			return nil, err
		}
		if err := align(after); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// fillers names what may stand before and after files[i].
func fillers(files []File, i int) (before, after string) {
	n := 0
	for _, f := range files[:i] {
		if f.Alone {
			n += 2
		}
	}
	dir := path.Dir(files[i].Path)
	return path.Join(dir, fmt.Sprintf("FILL%02d.PAD", n)), path.Join(dir, fmt.Sprintf("FILL%02d.PAD", n+1))
}

// allFillers lists the paths of all fillers that plan could use.
func allFillers(files []File) []File {
	var list []File
	for i, f := range files {
		if f.Alone {
			before, after := fillers(files, i)
			list = append(list, File{Path: before}, File{Path: after})
		}
	}
	return list
}
