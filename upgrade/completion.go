package upgrade

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

// completion prints a shell's completion. It is made from the commands and
// their flags, so that it knows what there is and nothing else.
func completion(_ context.Context, c *call) (int, error) {
	if len(c.args) != 1 {
		return exitUsage, usagef("completion wants one shell: bash, zsh or fish")
	}
	switch c.args[0] {
	case "bash":
		fmt.Fprint(c.env.Stdout, bashCompletion())
	case "zsh":
		// zsh runs bash's completions by itself.
		fmt.Fprint(c.env.Stdout, "#compdef neuralupgrade\nautoload -U +X bashcompinit && bashcompinit\n", bashCompletion())
	case "fish":
		fmt.Fprint(c.env.Stdout, fishCompletion())
	default:
		return exitUsage, usagef("no completion for %q: bash, zsh or fish", c.args[0])
	}
	return exitDone, nil
}

// words are what may follow a command apart from flags and files.
func (cmd command) words() []string {
	switch cmd.name {
	case "show":
		return []string{"system", "latest"}
	case "apply":
		return []string{"a", "b", "booted", "nonbooted", "efisys"}
	case "set-default":
		return []string{"psyopsOS-A", "psyopsOS-B"}
	case "completion":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}

// flagsOf are all flags that a command takes, and what they are for.
func flagsOf(cmd command) (flags []*flag.Flag) {
	c := &call{Settings: defaults(architecture())}
	set := c.newFlags(cmd.name)
	c.Settings.flags(set)
	cmd.flags(c, set)
	set.VisitAll(func(f *flag.Flag) { flags = append(flags, f) })
	return flags
}

func bashCompletion() string {
	var b strings.Builder
	var names []string
	b.WriteString("_neuralupgrade() {\n  local cur=${COMP_WORDS[COMP_CWORD]} word cmd=\n  COMPREPLY=()\n" +
		"  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case $word in -*) ;; *) cmd=$word; break ;; esac\n  done\n  case $cmd in\n")
	for _, cmd := range commands() {
		names = append(names, cmd.name)
		words := cmd.words()
		for _, f := range flagsOf(cmd) {
			words = append(words, "--"+f.Name)
		}
		fmt.Fprintf(&b, "    %s) word='%s' ;;\n", cmd.name, strings.Join(words, " "))
	}
	fmt.Fprintf(&b, "    *) word='%s' ;;\n  esac\n", strings.Join(names, " "))
	b.WriteString("  COMPREPLY=($(compgen -W \"$word\" -- \"$cur\"))\n}\ncomplete -o default -F _neuralupgrade neuralupgrade\n")
	return b.String()
}

func fishCompletion() string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	for _, cmd := range commands() {
		fmt.Fprintf(&b, "complete -c neuralupgrade -n __fish_use_subcommand -f -a %s -d '%s'\n", cmd.name, quote.Replace(cmd.short))
		seen := "'__fish_seen_subcommand_from " + cmd.name + "'"
		if words := cmd.words(); words != nil {
			fmt.Fprintf(&b, "complete -c neuralupgrade -n %s -a '%s'\n", seen, strings.Join(words, " "))
		}
		for _, f := range flagsOf(cmd) {
			_, usage := flag.UnquoteUsage(f)
			fmt.Fprintf(&b, "complete -c neuralupgrade -n %s -l %s -d '%s'\n", seen, f.Name, quote.Replace(usage))
		}
	}
	return b.String()
}
