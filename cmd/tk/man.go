package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func manCommand() command {
	return command{
		name: "man", args: "DIR",
		short:           "write the man pages of tk and its commands into DIR/man1",
		example:         "tk man ~/.local/share/man",
		withoutSettings: true,
	}.does(man)
}

func man(_ context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, "`man tk`, `man tk-mkimage`, `man tk-node-new` show them where man looks in DIR.")
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	dir := filepath.Join(words[0], "man1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	all := pages()
	errs := []error{writeMan(filepath.Join(dir, "tk.1"), func(w io.Writer) { manOfAll(w, all) })}
	for _, p := range all {
		errs = append(errs, writeMan(filepath.Join(dir, "tk-"+strings.Join(p.path, "-")+".1"), p.man))
	}
	return errors.Join(errs...)
}

func writeMan(name string, render func(io.Writer)) error {
	var b strings.Builder
	render(&b)
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

// roff makes plain text one of roff: a line must not begin with a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	for _, c := range []string{".", "'"} {
		text = strings.ReplaceAll(text, "\n"+c, "\n\\&"+c)
		if strings.HasPrefix(text, c) {
			text = `\&` + text
		}
	}
	return text
}

func manHead(w io.Writer, name, short string) {
	fmt.Fprintf(w, ".TH %s 1 \"\" psyopsOS\n.SH NAME\n%s \\- %s\n", strings.ToUpper(roff(name)), roff(name), roff(short))
}

func manOfAll(w io.Writer, all []page) {
	manHead(w, "tk", "builds psyopsOS, tries it and brings it to the nodes")
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B tk\n.I COMMAND\n[ARGUMENTS]\n.SH COMMANDS\n")
	for _, task := range tasks() {
		fmt.Fprintf(w, ".SS %s\n", roff(task))
		for _, p := range all {
			if p.task == task {
				fmt.Fprintf(w, ".TP\n.BR tk\\-%s (1)\n%s\n", roff(strings.Join(p.path, "-")), roff(p.command.short))
			}
		}
	}
	fmt.Fprintf(w, ".SH FILES\n.TP\n.I psyops.toml\nsettings, see \n.BR tk\\-showconfig (1).\n")
}

func (p page) man(w io.Writer) {
	manHead(w, "tk-"+strings.Join(p.path, "-"), p.command.short)
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B tk %s\n%s\n", roff(strings.Join(p.path, " ")), roff(p.command.args))
	if p.about != "" {
		fmt.Fprintf(w, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(p.about))
	}
	if len(p.flags()) > 0 {
		fmt.Fprint(w, ".SH OPTIONS\n")
	}
	for _, f := range p.flags() {
		value, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(w, ".TP\n.B \\-\\-%s\n", roff(f.Name))
		if value != "" {
			fmt.Fprintf(w, ".I %s\n.br\n", roff(value))
		}
		fmt.Fprintln(w, roff(usage))
		if s, ok := p.bound[f.Name]; ok {
			fmt.Fprintf(w, ".br\n(%s)\n", roff(strings.Join(setBy(s), "; ")))
		}
	}
	fmt.Fprintf(w, ".SH EXAMPLE\n.nf\n%s\n.fi\n", roff(p.command.example))
}
