package mountstest

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"psyopsOS/mounts"
)

// Mounted reports whether something is mounted at target.
func (f *Fake) Mounted(target string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return mounts.IsMounted(f.table, target)
}

// Mount implements mounts.System. A source below /dev has to be there.
func (f *Fake) Mount(m mounts.Mount) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("Mount", m); err != nil {
		return err
	}
	if name, ok := strings.CutPrefix(m.Source, "/dev/"); ok && !f.has(name) {
		return fmt.Errorf("mount %s: %w", m, syscall.ENOENT)
	}
	return f.mount(m)
}

// LoopMount implements mounts.System.
func (f *Fake) LoopMount(m mounts.LoopMount) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	asMount := mounts.Mount{Source: m.File, Target: m.Target, Type: m.Type, Flags: m.Flags | mounts.ReadOnly, Data: m.Data}
	if err := f.called("LoopMount", asMount); err != nil {
		return "", err
	}
	if err := f.mount(asMount); err != nil {
		return "", err
	}
	name := f.freeLoop()
	f.loops = append(f.loops, mounts.Loop{Device: name, File: path.Clean(m.File)})
	f.table[len(f.table)-1].Source = "/dev/" + name
	return name, nil
}

func (f *Fake) freeLoop() string {
	for n := 0; ; n++ {
		name := "loop" + strconv.Itoa(n)
		if !slices.ContainsFunc(f.loops, func(l mounts.Loop) bool { return l.Device == name }) {
			return name
		}
	}
}

func (f *Fake) has(name string) bool {
	return slices.ContainsFunc(f.devices, func(d device) bool { return d.Name == name })
}

func (f *Fake) mount(m mounts.Mount) error {
	if f.OnMount != nil {
		if err := f.OnMount(m); err != nil {
			return fmt.Errorf("mount %s: %w", m, err)
		}
	}
	options := "rw"
	if m.Flags&mounts.ReadOnly != 0 {
		options = "ro"
	}
	for _, o := range []struct {
		flag mounts.Flags
		word string
	}{{mounts.NoDev, "nodev"}, {mounts.NoSUID, "nosuid"}, {mounts.NoExec, "noexec"}} {
		if m.Flags&o.flag != 0 {
			options += "," + o.word
		}
	}
	f.enter(mounts.MountPoint{Path: path.Clean(m.Target), Root: "/", Type: m.Type, Source: m.Source,
		Options: options, SuperOptions: m.Data})
	return nil
}

// enter puts a mount over what is at its path.
func (f *Fake) enter(p mounts.MountPoint) {
	f.ids++
	p.ID, p.Device = f.ids, "0:"+strconv.Itoa(f.ids)
	if i := f.over(p.Path); i >= 0 {
		p.Parent = f.table[i].ID
	}
	f.table = append(f.table, p)
}

// over is the place in the table of the mount that name lies on; -1 of none.
func (f *Fake) over(name string) int {
	found := -1
	for i, p := range f.table {
		if below(name, p.Path) && (found < 0 || len(p.Path) >= len(f.table[found].Path)) {
			found = i
		}
	}
	return found
}

func below(name, dir string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}

// at is the place of the topmost mount at exactly target; -1 of none.
func (f *Fake) at(target string) int {
	i := f.over(target)
	if i >= 0 && f.table[i].Path != target {
		return -1
	}
	return i
}

// Bind implements mounts.System.
func (f *Fake) Bind(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("Bind", from, to); err != nil {
		return err
	}
	return f.mount(mounts.Mount{Source: from, Target: to, Type: "bind"})
}

// MoveMount implements mounts.System.
func (f *Fake) MoveMount(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("MoveMount", from, to); err != nil {
		return err
	}
	from, to = path.Clean(from), path.Clean(to)
	i := f.at(from)
	if i < 0 || below(to, from) {
		return fmt.Errorf("move mount %s to %s: %w", from, to, syscall.EINVAL)
	}
	parent := f.table[f.over(to)].ID
	root := f.table[i].ID
	f.table[i].Parent = parent
	for j := range f.table {
		if f.descends(j, root) {
			f.table[j].Path = path.Join(to, strings.TrimPrefix(f.table[j].Path, from))
		}
	}
	return nil
}

// descends reports whether mount i is root or mounted somewhere below it.
func (f *Fake) descends(i, root int) bool {
	for id := f.table[i].ID; ; {
		if id == root {
			return true
		}
		j := slices.IndexFunc(f.table, func(p mounts.MountPoint) bool { return p.ID == id })
		if j < 0 || f.table[j].Parent == id {
			return false
		}
		id = f.table[j].Parent
	}
}

// MakePrivate implements mounts.System.
func (f *Fake) MakePrivate(target string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("MakePrivate", target); err != nil {
		return err
	}
	for i := range f.table {
		if below(f.table[i].Path, path.Clean(target)) {
			f.table[i].Shared = false
		}
	}
	return nil
}

// Unmount implements mounts.System. A mount with others on it, or with the file
// of a loop device, is busy.
func (f *Fake) Unmount(target string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("Unmount", target); err != nil {
		return err
	}
	target = path.Clean(target)
	i := f.at(target)
	if i < 0 {
		return fmt.Errorf("unmount %s: %w", target, syscall.EINVAL)
	}
	gone := f.table[i]
	if slices.ContainsFunc(f.table, func(p mounts.MountPoint) bool { return p.Parent == gone.ID }) ||
		slices.ContainsFunc(f.loops, func(l mounts.Loop) bool { return f.over(l.File) == i }) {
		return fmt.Errorf("unmount %s: %w", target, syscall.EBUSY)
	}
	f.table = slices.Delete(f.table, i, i+1)
	f.loops = slices.DeleteFunc(f.loops, func(l mounts.Loop) bool { return "/dev/"+l.Device == gone.Source })
	return nil
}

// Mounts implements mounts.System.
func (f *Fake) Mounts() ([]mounts.MountPoint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.table), f.called("Mounts")
}

// Loops implements mounts.System.
func (f *Fake) Loops() ([]mounts.Loop, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.loops), f.called("Loops")
}
