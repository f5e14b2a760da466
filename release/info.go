package release

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Info is what a release's trusted comment says of it.
type Info struct {
	Kind         Kind
	Filename     string // of the tar; one path component
	Version      string
	Kernel       string   // of an OS
	Userland     string   // of an OS: "3.20" is Alpine's release, others bring their name: "testos-1"
	Architecture string   // of an OS; empty where neither comment nor name of an old release tells it
	Programs     []string // of an ESP: the extra EFI programs
	Size         int64    // bytes of the tar; 0 where the comment of an old release does not tell it
}

// Comment is the trusted comment.
func (i Info) Comment() string {
	words := []string{"type=" + string(i.Kind), "filename=" + i.Filename, "version=" + i.Version}
	if i.Kind == ESP {
		words = append(words, "efi_programs="+strings.Join(i.Programs, ","))
	} else {
		words = append(words, "kernel="+i.Kernel, "alpine="+i.Userland)
		if i.Architecture != "" {
			words = append(words, "architecture="+i.Architecture)
		}
	}
	if i.Size > 0 {
		words = append(words, fmt.Sprintf("size=%d", i.Size))
	}
	return strings.Join(words, " ")
}

// UserlandWord is the value of alpine= for a manifest's userland: "alpine
// 3.20" is 3.20, "testos 1" is testos-1.
func UserlandWord(userland string) string {
	if release, ok := strings.CutPrefix(userland, "alpine "); ok {
		return release
	}
	return strings.Join(strings.Fields(userland), "-")
}

// ParseComment reads a trusted comment. Words without = are ignored, but for
// the bare leading "psyopsOS" of the oldest releases; so are unknown keys,
// because a later psyopsOS may say more. File name, type, version and
// architecture must agree.
func ParseComment(comment string) (Info, error) {
	if len(comment) > MaxSignature || !printable(comment) {
		return Info{}, malformed("trusted comment", "it is not printable text of at most %d bytes", MaxSignature)
	}
	values, err := comments(comment)
	if err != nil {
		return Info{}, err
	}
	i := Info{
		Kind: Kind(values["type"]), Filename: values["filename"], Version: values["version"],
		Kernel: values["kernel"], Userland: values["alpine"], Architecture: values["architecture"],
	}
	if s := values["efi_programs"]; s != "" {
		i.Programs = strings.Split(s, ",")
	}
	if s, ok := values["size"]; ok {
		if i.Size, err = strconv.ParseInt(s, 10, 64); err != nil || i.Size < 1 || strconv.FormatInt(i.Size, 10) != s {
			return Info{}, malformed("trusted comment", "size=%s is no size", s)
		}
	}
	return i.agreed()
}

// comments splits a comment into its keys and values.
func comments(comment string) (map[string]string, error) {
	values := map[string]string{}
	for n, word := range strings.Fields(comment) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			if n == 0 && word == string(OS) {
				values["type"] = word
			}
			continue
		}
		if old, twice := values[key]; twice && old != value {
			return nil, malformed("trusted comment", "%s= is there twice, %q and %q", key, old, value)
		}
		values[key] = value
	}
	return values, nil
}

// agreed is i when its words agree with each other. What an old comment does
// not say is taken from the file name.
func (i Info) agreed() (Info, error) {
	const what = "trusted comment"
	if i.Kind != OS && i.Kind != ESP {
		return Info{}, malformed(what, "type %q, want %s or %s", i.Kind, OS, ESP)
	}
	name, err := ParseName(i.Filename)
	if err != nil {
		return Info{}, malformed(what, "%v", err)
	}
	if name.Kind != i.Kind {
		return Info{}, malformed(what, "type %s, but the file name %s is of type %s", i.Kind, i.Filename, name.Kind)
	}
	if name.Version != i.Version {
		return Info{}, malformed(what, "version %q, but the file name %s", i.Version, i.Filename)
	}
	if i.Kind == ESP {
		i.Kernel, i.Userland, i.Architecture = "", "", ""
		if slices.ContainsFunc(i.Programs, func(s string) bool { return !isComponent(s) }) {
			return Info{}, malformed(what, "efi_programs=%s is no list of file names", strings.Join(i.Programs, ","))
		}
		return i, nil
	}
	i.Programs = nil
	if i.Architecture == "" {
		i.Architecture = name.Platform
	}
	if name.Platform != "" && name.Platform != i.Architecture {
		return Info{}, malformed(what, "architecture %q, but the file name %s", i.Architecture, i.Filename)
	}
	return i, nil
}
