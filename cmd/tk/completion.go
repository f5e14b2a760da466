package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

func completionCommand() command {
	return command{
		name: "completion", args: "bash|zsh|fish",
		short:   "print the shell's completion of tk",
		example: "source <(tk completion bash)",
		words:   []string{"bash", "zsh", "fish"}, withoutSettings: true,
	}.does(completion)
}

func completion(_ context.Context, e env, c command, args []string) error {
	flags := newFlags(e, c, `
bash:  source <(tk completion bash)                      in ~/.bashrc
zsh:   tk completion zsh > DIR/_tk                       DIR in $fpath
fish:  tk completion fish > ~/.config/fish/completions/tk.fish`)
	words, err := flags.parse(e, args, 1, 1)
	if err != nil {
		return err
	}
	if !slices.Contains(c.words, words[0]) {
		return usagef("%q: want one of %s", words[0], strings.Join(c.words, ", "))
	}
	switch words[0] {
	case "bash":
		bashCompletion(e.stdout, "_tk", pages())
		fmt.Fprint(e.stdout, "complete -o default -F _tk tk\n")
	case "zsh":
		// zsh runs bash's completions by itself. This file is the function _tk, which
		// zsh calls each time; whoever reads it as a script gets the same.
		fmt.Fprint(e.stdout, "#compdef tk\nautoload -U +X bashcompinit && bashcompinit\n")
		bashCompletion(e.stdout, "_tk_words", pages())
		fmt.Fprint(e.stdout, `if [ "${funcstack[1]}" = _tk ]; then
  _bash_complete -o default -F _tk_words
else
  complete -o default -F _tk_words tk
fi
`)
	case "fish":
		fishCompletion(e.stdout, pages())
	}
	return nil
}

// firstWords are the commands, and groups the second words of those that have
// them.
func firstWords(all []page) (first []string, groups map[string][]string) {
	groups = map[string][]string{}
	for _, p := range all {
		if !slices.Contains(first, p.path[0]) {
			first = append(first, p.path[0])
		}
		if len(p.path) > 1 {
			groups[p.path[0]] = append(groups[p.path[0]], p.path[1])
		}
	}
	return first, groups
}

// completionWords are what may follow a command, beside files.
func (p page) completionWords() []string {
	words := slices.Clone(p.command.words)
	for _, f := range p.flags() {
		words = append(words, "--"+f.Name)
	}
	return words
}

// bashCompletion prints a function. Where it offers nothing, the shell offers
// files.
func bashCompletion(w io.Writer, name string, all []page) {
	first, groups := firstWords(all)
	fmt.Fprintf(w, `%s() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} one=${COMP_WORDS[1]} two=${COMP_WORDS[2]} words=
  COMPREPLY=()
  [ "$COMP_CWORD" -gt 1 ] || one=
  [ "$COMP_CWORD" -gt 2 ] || two=
  case "$one $two" in
`, name)
	for _, p := range all {
		pattern := `"` + p.path[0] + ` "*`
		if len(p.path) > 1 {
			pattern = `"` + strings.Join(p.path, " ") + `"`
		}
		fmt.Fprintf(w, "    %s) case \"$prev\" in\n", pattern)
		var values []string
		for _, f := range p.flags() {
			if list := choices(f); list != nil {
				fmt.Fprintf(w, "      --%s) words='%s' ;;\n", f.Name, strings.Join(list, " "))
			} else if takesValue(f) {
				values = append(values, "--"+f.Name)
			}
		}
		if values != nil {
			fmt.Fprintf(w, "      %s) ;;\n", strings.Join(values, "|"))
		}
		fmt.Fprintf(w, "      *) words='%s' ;;\n      esac ;;\n", strings.Join(p.completionWords(), " "))
	}
	for _, name := range first {
		if subs := groups[name]; subs != nil {
			fmt.Fprintf(w, "    \"%s \"*) words='%s' ;;\n", name, strings.Join(subs, " "))
		}
	}
	fmt.Fprintf(w, "    \"help \"*) words='%s' ;;\n", strings.Join(first, " "))
	fmt.Fprintf(w, "    *) words='%s' ;;\n  esac\n", strings.Join(append(first, "help"), " "))
	fmt.Fprint(w, `  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
`)
}

func fishCompletion(w io.Writer, all []page) {
	quote := strings.NewReplacer(`\`, `\\`, "'", `\'`, "`", "")
	first, groups := firstWords(all)
	shorts := map[string]string{}
	for _, c := range commands() {
		shorts[c.name] = c.short
	}
	for _, name := range first {
		fmt.Fprintf(w, "complete -c tk -n __fish_use_subcommand -f -a %s -d '%s'\n", name, quote.Replace(shorts[name]))
	}
	fmt.Fprintf(w, "complete -c tk -n __fish_use_subcommand -f -a help -d 'tell of a command'\n")
	fmt.Fprintf(w, "complete -c tk -n '__fish_seen_subcommand_from help' -f -a '%s'\n", strings.Join(first, " "))
	for _, p := range all {
		seen := "__fish_seen_subcommand_from " + p.path[0]
		if len(p.path) > 1 {
			fmt.Fprintf(w, "complete -c tk -n '%s; and not __fish_seen_subcommand_from %s' -f -a %s -d '%s'\n",
				seen, strings.Join(groups[p.path[0]], " "), p.path[1], quote.Replace(p.command.short))
			seen += "; and __fish_seen_subcommand_from " + p.path[1]
		}
		if p.command.words != nil {
			fmt.Fprintf(w, "complete -c tk -n '%s' -f -a '%s'\n", seen, strings.Join(p.command.words, " "))
		}
		for _, f := range p.flags() {
			_, usage := flag.UnquoteUsage(f)
			value := ""
			if takesValue(f) {
				value = " -r"
			}
			if list := choices(f); list != nil {
				value = " -x -a '" + strings.Join(list, " ") + "'"
			}
			fmt.Fprintf(w, "complete -c tk -n '%s' -l %s%s -d '%s'\n", seen, f.Name, value, quote.Replace(usage))
		}
	}
}
