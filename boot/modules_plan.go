package boot

// LoadPlan lists the modules to insert, in order, so that those wanted are
// there: what a module needs before it, what is loaded or built in not again.
func (t ModuleTree) LoadPlan(want []string, loaded, blacklist map[string]bool) []string {
	p := planning{tree: t, blacklist: blacklist, done: map[string]bool{}}
	for name := range loaded {
		p.done[name] = true
	}
	p.visit(want...)
	return p.order
}

type planning struct {
	tree      ModuleTree
	blacklist map[string]bool
	done      map[string]bool // also those begun: a circle ends there
	order     []string
}

func (p *planning) visit(names ...string) {
	for _, name := range names {
		if p.done[name] || p.tree.Modules[name].File == "" || p.tree.Builtin[name] {
			continue
		}
		p.done[name] = true
		p.visitSoft(p.tree.Soft[name].Pre)
		p.visit(p.tree.Modules[name].Needs()...)
		p.order = append(p.order, name)
		p.visitSoft(p.tree.Soft[name].Post)
	}
}

func (p *planning) visitSoft(names []string) {
	for _, name := range names {
		p.visit(p.tree.Named(name, p.blacklist)...)
	}
}
