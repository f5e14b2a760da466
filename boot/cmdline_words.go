package boot

import (
	"slices"
	"strings"
	"time"

	"psyopsOS/layout"
)

// A Word is a word of the kernel command line that the boot obeys.
type Word struct {
	Name    string // without =
	Values  string // the default first
	Meaning string
}

// Words lists the words that the boot obeys, for its documentation.
func Words() []Word {
	var all []Word
	for _, k := range knownWords() {
		all = append(all, k.Word)
	}
	return append(all,
		Word{"console", "a device", "as the kernel's; the last one is the new init's console"},
		Word{"s, 1", "", "the same as single"},
		Word{"modprobe.blacklist", "names", "adds to blacklist="},
		Word{"MODULE.PARAMETER", "a value", "is given to the module when it is loaded here"},
		Word{"--", "", "what follows it is appended to the new init's arguments"})
}

// A knownWord is a Word with its field.
type knownWord struct {
	Word
	in func(*Cmdline) setting
}

type knownTable []knownWord

// find is the known word that w is, and w as it sets it.
func (t knownTable) find(w word) (string, word) {
	for _, k := range t {
		switch {
		case k.Name == w.key:
			return k.Name, w
		case !w.hasValue && "no"+k.Name == w.key:
			return k.Name, word{key: w.key, negated: true}
		}
	}
	return "", w
}

const (
	day    = 24 * time.Hour
	decade = 3650 * day
)

// knownWords is the one table behind parsing, rendering, documentation and
// the search for the word that was meant.
func knownWords() knownTable {
	return knownTable{
		{Word{"psyopsos", "a label", "the side to boot"}, func(c *Cmdline) setting { return text[layout.Label]{&c.Side} }},
		{Word{"root", "a device", "what to boot where there is no psyopsos="}, func(c *Cmdline) setting { return text[string]{&c.Root} }},
		{Word{"rootfstype", "a type", "of root="}, func(c *Cmdline) setting { return text[string]{&c.RootFSType} }},
		{Word{"rootflags", "options", "for mounting root= or the side"}, func(c *Cmdline) setting { return text[string]{&c.RootFlags} }},
		{Word{"init", "/sbin/init, a path", "the program to hand over to"}, func(c *Cmdline) setting { return program{&c.Init} }},
		{Word{"init_args", "words", "its arguments"}, func(c *Cmdline) setting { return list{&c.InitArgs, strings.Fields, " "} }},
		{Word{"modules", "names with commas", "kernel modules to load first"}, func(c *Cmdline) setting { return list{&c.Modules, splitList, ","} }},
		{Word{"blacklist", "names with commas", "kernel modules not to load for a device"}, func(c *Cmdline) setting { return list{&c.Blacklist, splitList, ","} }},
		{Word{"overlaytmpfs", "", "a writable root in RAM: there always is one"}, func(c *Cmdline) setting { return flagged{&c.OverlayTmpfs} }},
		{Word{"overlaytmpfsflags", "options", "for the tmpfs behind the root"}, func(c *Cmdline) setting { return text[string]{&c.OverlayTmpfsFlags} }},
		{Word{"single", "", "a shell before the root is mounted"}, func(c *Cmdline) setting { return flagged{&c.Single} }},
		{Word{"panic", "0, seconds", "the kernel's, and how long a failure that ends by itself can be read; 0: 10"}, func(c *Cmdline) setting { return seconds{&c.Panic, -decade, decade} }},
		{Word{"usbdelay", "0, seconds", "how long to wait for the side at least"}, func(c *Cmdline) setting { return seconds{&c.USBDelay, 0, day} }},
		{Word{"modloop", "a path, none", "for the modloop service of the running system"}, func(c *Cmdline) setting { return text[string]{&c.Modloop} }},
		{Word{"ip", "dhcp, none, the kernel's form", "the address of the first wired link, or of the one it names, where psyops-secret has no network.interfaces"}, func(c *Cmdline) setting { return addresses{&c.IP} }},
		{Word{"quiet", "", "show only warnings and failures"}, func(c *Cmdline) setting { return flagged{&c.Quiet} }},
		{Word{"debug_init", "", "show every event"}, func(c *Cmdline) setting { return flagged{&c.DebugInit} }},
		{Word{"psyopsos.boot", "manual, good, trialN, fallback, lastresort", "why the boot loader chose this side; N is the number of tries left"}, func(c *Cmdline) setting { return reason(&c.Boot) }},
		{Word{"psyopsos.disk", "a PARTUUID", "the side's partition on the booted disk"}, func(c *Cmdline) setting { return partUUID{&c.Disk} }},
		{Word{"psyopsos.loader", "a version", "the loader that runs"}, func(c *Cmdline) setting { return text[string]{&c.Loader} }},
		{Word{"psyopsos.wait", "30, seconds", "how long to wait for the side"}, func(c *Cmdline) setting { return seconds{&c.Wait, 0, day} }},
		{Word{"psyopsos.toram", "auto, yes, no", "copy the image to RAM"}, func(c *Cmdline) setting { return choice[ToRAM]{&c.ToRAM, []ToRAM{ToRAMAuto, ToRAMYes, ToRAMNo}} }},
		{Word{"psyopsos.verify", "require, warn, off", "what to do with a file that no accepted key vouches for"}, func(c *Cmdline) setting {
			return choice[Verify]{&c.Verify, []Verify{VerifyRequire, VerifyWarn, VerifyOff}}
		}},
		{Word{"psyopsos.shell", "on-error, first, before-handover, never", "when to offer the emergency shell"}, func(c *Cmdline) setting {
			return choice[Shell]{&c.Shell, []Shell{ShellOnError, ShellFirst, ShellBeforeHandover, ShellNever}}
		}},
		{Word{"psyopsos.onfail", "auto, reboot, shell, poweroff", "what to do after a failure"}, func(c *Cmdline) setting {
			return choice[OnFail]{&c.OnFail, []OnFail{OnFailAuto, OnFailReboot, OnFailShell, OnFailPowerOff}}
		}},
		{Word{"psyopsos.patience", "600, seconds", "how long the emergency shell waits for a key"}, func(c *Cmdline) setting { return seconds{&c.Patience, 1, day} }},
		{Word{"psyopsos.deadline", "600, seconds", "how long after the kernel's start a trial must be committed, or the machine restarts"}, func(c *Cmdline) setting { return seconds{&c.Deadline, 10 * time.Second, day} }},
		{Word{"psyopsos.events", "none, a device", "where events go as lines of JSON"}, func(c *Cmdline) setting { return device{&c.Events} }},
	}
}

// isAlpineWord reports whether Alpine's init obeys key, or once did, and this
// one has no use for it: the names are those of mkinitfs's option list.
func isAlpineWord(key string) bool {
	names := strings.Fields(`
		BOOTIF alpine_dev alpine_repo alpine_start aoe aoe_iflist aoe_mtu apkovl
		autodetect autodetect_serial autoraid bootstrap_usr_merged chart
		cryptdiscards cryptdm cryptheader cryptkey cryptoffset cryptroot dasd dma
		ds keep_apk_new memdisk nbd ovl_dev pkgs resume resume_offset root_size
		rootfsfile s390x_net splash ssh_key tinycloud uevent_buf_size usrflags
		wireguard zfcp zfs_force`)
	return slices.Contains(names, key) || slices.Contains(names, strings.TrimPrefix(key, "no"))
}
