package boot

import "strings"

// String renders what differs from the defaults as a command line that
// ParseCmdline reads to the same settings.
func (c Cmdline) String() string {
	defaults, _ := ParseCmdline("")
	var words []string
	add := func(key, value string) {
		words = append(words, word{key: key, value: value, hasValue: true}.String())
	}
	for _, k := range knownWords() {
		value := k.in(&c).value()
		if k.Name != "init_args" && value != k.in(&defaults).value() {
			add(k.Name, value)
		}
	}
	for _, console := range c.Consoles {
		add("console", console)
	}
	if len(c.InitArgs) > 0 {
		words = append(words, "--")
	}
	for _, arg := range c.InitArgs {
		words = append(words, argument(arg).String())
	}
	return strings.Join(words, " ")
}

// argument is the word that plain renders as arg.
func argument(arg string) word {
	if len(arg) > 1 {
		if i := strings.IndexByte(arg[1:], '='); i >= 0 {
			return word{key: arg[:i+1], value: arg[i+2:], hasValue: true}
		}
	}
	return word{key: arg}
}

// String renders w as a word that the kernel and splitCmdline read as w: as it
// is where that will do, else in quotes around the value or the whole. A word
// that holds quotes itself may lose them: the kernel has no way to escape one.
func (w word) String() string {
	for _, s := range []string{w.plain(), w.key + `="` + w.value + `"`, `"` + w.plain() + `"`} {
		if words, _ := splitCmdline("x " + s + " x"); len(words) == 3 && words[1] == w {
			return s
		}
	}
	return `"` + strings.ReplaceAll(w.plain(), `"`, "") + `"`
}

// plain is w without quoting, as a program gets it for an argument.
func (w word) plain() string {
	if w.hasValue {
		return w.key + "=" + w.value
	}
	return w.key
}
