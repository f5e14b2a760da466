package boot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/netif"
	"psyopsOS/step"
)

// A Cmdline is the kernel command line as the boot understands it: FORMATS.md
// section 7. Words lists what it obeys.
type Cmdline struct {
	Line string // as it was read

	Side              layout.Label // psyopsos=
	Root              string       // root=, where there is no psyopsos=
	RootFSType        string
	RootFlags         string
	Init              string
	InitArgs          []string // init_args=, then what follows " -- "
	Modules           []string
	Blacklist         []string
	OverlayTmpfs      bool
	OverlayTmpfsFlags string
	Single            bool
	Panic             time.Duration // 0: the kernel waits for ever; below 0: not at all
	USBDelay          time.Duration
	Modloop           string
	IP                netif.IP
	Quiet             bool
	DebugInit         bool
	Consoles          []string // in order, with their options: ttyS0,115200

	Boot   bootstate.Why
	Disk   string // PARTUUID, lower case
	Loader string
	Wait   time.Duration // for the side: the longer of psyopsos.wait= and usbdelay=
	ToRAM  ToRAM
	Verify Verify
	Shell  Shell
	OnFail OnFail
	// Patience is how long the emergency shell waits for a key.
	Patience time.Duration
	Events   string // a device; empty for none
	// Deadline is how long after the kernel's start a trial must be committed.
	Deadline time.Duration

	// Parameters are the words of the form module.parameter=value, joined for
	// the kernel, by module name with underscores.
	Parameters map[string]string
	// Ignored are words of Alpine's init that mean nothing here.
	Ignored []string
	// Problems are what is wrong with the line and does not stop the boot.
	// Each says what is done instead, and has a hint.
	Problems []error
}

// Console is the device name of the last console= without its options, or
// "console" where there is none.
func (c Cmdline) Console() string {
	if len(c.Consoles) == 0 {
		return "console"
	}
	name, _, _ := strings.Cut(c.Consoles[len(c.Consoles)-1], ",")
	return name
}

// ParseCmdline reads a kernel command line. A value that cannot be understood
// is one of the Problems and its default applies, because a typing error must
// not cost a boot. The error is for a line that says nothing to boot; the
// Cmdline beside it is complete, so that a failure is still handled as the
// line asks for.
func ParseCmdline(line string) (Cmdline, error) {
	c := Cmdline{Line: line, Init: layout.DefaultInit, Wait: 30 * time.Second,
		Boot: bootstate.Manual, ToRAM: ToRAMAuto, Verify: VerifyRequire, Shell: ShellOnError, OnFail: OnFailAuto,
		Patience: 10 * time.Minute, Deadline: 10 * time.Minute}
	words, forInit := splitCmdline(line)
	known := knownWords()
	last := map[string]word{}
	for _, w := range words {
		if name, w := known.find(w); name != "" {
			last[name] = w
			continue
		}
		c.other(w)
	}
	for _, k := range known {
		if w, ok := last[k.Name]; ok {
			c.set(k, w)
		}
	}
	c.Wait = max(c.Wait, c.USBDelay)
	for _, w := range forInit {
		c.InitArgs = append(c.InitArgs, w.plain())
	}
	return c, c.bootable()
}

// set gives k the value of w, the last of its kind.
func (c *Cmdline) set(k knownWord, w word) {
	if err := k.in(c).set(w); err != nil {
		c.problem(err, "%s= takes %s: %s", k.Name, cmp.Or(k.Values, "yes or no"), k.Meaning)
	}
}

func (c *Cmdline) problem(err error, hint string, a ...any) {
	c.Problems = append(c.Problems, step.WithHint(err, hint, a...))
}

// other takes a word that knownWords does not hold.
func (c *Cmdline) other(w word) {
	head, tail, dotted := strings.Cut(w.key, ".")
	switch {
	case w.key == "console" && w.hasValue:
		c.Consoles = append(c.Consoles, w.value)
	case w.key == "modprobe.blacklist":
		c.Blacklist = append(c.Blacklist, splitList(w.value)...)
	case w == word{key: "s"}, w == word{key: "1"}:
		c.Single = true
	case dotted && (head == "psyopsos" || head == "nopsyopsos"):
		c.unknown(w)
	case dotted && head != "" && tail != "":
		c.parameter(head, word{key: tail, value: w.value, hasValue: w.hasValue})
	case isAlpineWord(w.key) && !slices.Contains(c.Ignored, w.key):
		c.Ignored = append(c.Ignored, w.key)
	}
}

// unknown reports a word in our name space with the one that was meant.
func (c *Cmdline) unknown(w word) {
	var names []string
	for _, k := range knownWords() {
		names = append(names, k.Name)
	}
	c.problem(fmt.Errorf("unknown word %s on the kernel command line: nothing is done for it", w),
		"the nearest known word is %s", step.Nearest(w.key, names))
}

func (c *Cmdline) parameter(module string, w word) {
	if c.Parameters == nil {
		c.Parameters = map[string]string{}
	}
	module = moduleName(module)
	c.Parameters[module] = strings.TrimLeft(c.Parameters[module]+" "+w.String(), " ")
}

// bootable is nil where the line says what to boot.
func (c Cmdline) bootable() error {
	const sides = "psyopsos=" + string(layout.SideA) + " or psyopsos=" + string(layout.SideB)
	switch {
	case c.Side == "" && c.Root == "":
		return step.WithHint(errors.New("neither psyopsos= nor root= on the kernel command line: nothing to boot"),
			"add %s at the boot loader's prompt", sides)
	case c.Side != "" && !c.Side.IsSide():
		return step.WithHint(fmt.Errorf("psyopsos=%s on the kernel command line is not the label of a side", c.Side),
			"change it to %s at the boot loader's prompt", sides)
	}
	return nil
}
