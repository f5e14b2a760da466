package image

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"psyopsOS/image/tree"
)

// A ModuleFilter leaves modules out of the modloop.
type ModuleFilter struct {
	// LeaveOut are folders or modules below lib/modules/KVER, as
	// "kernel/drivers/gpu". What depends on them goes too.
	LeaveOut []string
}

// ModloopOptions says what the modloop holds beside the modules.
type ModloopOptions struct {
	Filter   ModuleFilter
	Firmware *tree.Tree // for modules/firmware; nil for none
	Time     time.Time  // of all files
	Compression
	Out string
}

// Modloop writes the squashfs with all modules and the firmware, laid out as
// Alpine's modloop service wants it (FORMATS.md, section 9).
func Modloop(ctx context.Context, k Kernel, o ModloopOptions) error {
	t, err := o.tree(ctx, k)
	if err != nil {
		return fmt.Errorf("modloop: %w", err)
	}
	return writeSquashfs(ctx, t, o.Time, o.Compression, o.Out)
}

func (o ModloopOptions) tree(ctx context.Context, k Kernel) (*tree.Tree, error) {
	modules := k.Modules
	if len(o.Filter.LeaveOut) > 0 {
		var err error
		if modules, err = k.subset(ctx, o.Filter.keeps); err != nil {
			return nil, err
		}
	}
	t := tree.New()
	if err := t.Merge(modules.Sub("lib"), tree.Over); err != nil {
		return nil, err
	}
	if err := t.Add("modules/firmware", tree.Dir(0o755)); err != nil {
		return nil, err
	}
	if o.Firmware == nil {
		return t, nil
	}
	for name, n := range o.Firmware.All() {
		if err := t.Add(path.Join("modules/firmware", name), n); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// keeps reports whether the module at name, below lib/modules/KVER, stays.
func (f ModuleFilter) keeps(name string) bool {
	return !slices.ContainsFunc(f.LeaveOut, func(out string) bool {
		out = strings.Trim(out, "/")
		return name == out || strings.HasPrefix(name, out+"/") || path.Base(name) == out+".ko"
	})
}
