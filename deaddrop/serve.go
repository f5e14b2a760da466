package deaddrop

import (
	"fmt"
	"net/http"
	"path"
	"strings"
)

// ServeHTTP answers as the bucket's website endpoint would: files with ranges,
// types and cache headers; links with a 301.
func (f *Folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this server is read", http.StatusMethodNotAllowed)
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/")
	if err := checkKey(key); err != nil {
		http.NotFound(w, r)
		return
	}
	// A link in the way of a key is none of the folder's keys: os.Root would
	// follow it within the folder.
	info, err := f.root.Lstat(key)
	if err != nil || info.IsDir() || f.throughLink(key) {
		http.NotFound(w, r)
		return
	}
	e, err := f.entry(key, info.Mode().Type())
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", cacheControl(e))
	if e.IsLink() {
		w.Header().Set("Location", "/"+e.Link)
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	file, err := f.root.Open(key)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	// Of the file that was opened: another may have its name by now.
	if info, err = file.Stat(); err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", contentType(key))
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	http.ServeContent(w, r, "", info.ModTime(), file)
}

func (f *Folder) throughLink(key string) bool {
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if info, err := f.root.Lstat(dir); err != nil || !info.IsDir() {
			return true
		}
	}
	return false
}
