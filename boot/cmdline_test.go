package boot

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"psyopsOS/layout"
	"psyopsOS/netif"
	"psyopsOS/step"
)

// settings is c without what only tells about the line.
func settings(c Cmdline) Cmdline {
	c.Line, c.Parameters, c.Ignored, c.Problems = "", nil, nil, nil
	return c
}

func TestParseCmdline(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       func(*Cmdline) // the difference from the defaults
	}{
		{"a side is a label", "psyopsos=psyopsOS-B", func(c *Cmdline) { c.Side = layout.SideB }},
		{"the last wins", "psyopsos=psyopsOS-A psyopsos.toram=yes psyopsos=psyopsOS-B psyopsos.toram=no",
			func(c *Cmdline) { c.Side, c.ToRAM = layout.SideB, ToRAMNo }},
		{"a bare word means yes", "overlaytmpfs quiet debug_init single psyopsos.toram",
			func(c *Cmdline) {
				c.OverlayTmpfs, c.Quiet, c.DebugInit, c.Single, c.ToRAM = true, true, true, true, ToRAMYes
			}},
		{"no before a word means no", "quiet noquiet psyopsos.toram=yes nopsyopsos.toram modules=a nomodules usbdelay=9 nousbdelay noinit",
			func(c *Cmdline) { c.ToRAM = ToRAMNo }},
		{"a word wins over its no when it is last", "noquiet quiet", func(c *Cmdline) { c.Quiet = true }},
		{"a flag may be spelled out", "quiet=yes debug_init=1 overlaytmpfs=no", func(c *Cmdline) { c.Quiet, c.DebugInit = true, true }},
		{"s and 1 are single", "s", func(c *Cmdline) { c.Single = true }},
		{"1 is single", "ro 1", func(c *Cmdline) { c.Single = true }},
		{"root= with its options", "root=/dev/vda rootfstype=squashfs rootflags=ro,x=y",
			func(c *Cmdline) { c.Root, c.RootFSType, c.RootFlags = "/dev/vda", "squashfs", "ro,x=y" }},
		{"a value may hold =", "root=PARTUUID=1234-01", func(c *Cmdline) { c.Root = "PARTUUID=1234-01" }},
		{"a quoted value holds blanks", `init_args="single  --x=y" init=/bin/busybox`,
			func(c *Cmdline) { c.Init, c.InitArgs = "/bin/busybox", []string{"single", "--x=y"} }},
		{"a wholly quoted word holds blanks", `"overlaytmpfsflags=size=1m nr=2" quiet`,
			func(c *Cmdline) { c.OverlayTmpfsFlags, c.Quiet = "size=1m nr=2", true }},
		{"an open quote reaches to the end", `quiet rootflags="a b quiet`, func(c *Cmdline) { c.Quiet, c.RootFlags = true, "a b quiet" }},
		{"tabs and newlines separate", "quiet\tsingle\n", func(c *Cmdline) { c.Quiet, c.Single = true, true }},
		{"what follows -- is for the new init", `init_args="a b" quiet -- single "c d" e="f g" --`,
			func(c *Cmdline) { c.Quiet, c.InitArgs = true, []string{"a", "b", "single", "c d", "e=f g", "--"} }},
		{"lists have commas", "modules=loop,squashfs,,ext4 blacklist=pcspkr modprobe.blacklist=a,b modprobe.blacklist=c",
			func(c *Cmdline) {
				c.Modules, c.Blacklist = []string{"loop", "squashfs", "ext4"}, []string{"pcspkr", "a", "b", "c"}
			}},
		{"consoles add up", "console=tty0 console=ttyS0,115200n8", func(c *Cmdline) { c.Consoles = []string{"tty0", "ttyS0,115200n8"} }},
		{"times are seconds or have a unit", "psyopsos.wait=2m usbdelay=1.5 panic=-1",
			func(c *Cmdline) {
				c.Wait, c.USBDelay, c.Panic = 2*time.Minute, 1500*time.Millisecond, -time.Second
			}},
		{"usbdelay= lengthens the wait", "usbdelay=45", func(c *Cmdline) { c.Wait, c.USBDelay = 45*time.Second, 45*time.Second }},
		{"our words have types", "psyopsos.boot=trial2 psyopsos.disk=PARTUUID=ABCD-01 psyopsos.loader=7 psyopsos.verify=warn " +
			"psyopsos.shell=before-handover psyopsos.onfail=poweroff psyopsos.events=ttyS1",
			func(c *Cmdline) {
				c.Boot, c.Disk, c.Loader, c.Verify = "trial2", "abcd-01", "7", VerifyWarn
				c.Shell, c.OnFail, c.Events = ShellBeforeHandover, OnFailPowerOff, "ttyS1"
			}},
		{"events may be turned off", "psyopsos.events=ttyS1 psyopsos.events=none", func(c *Cmdline) {}},
		{"the running system's words are kept", "modloop=none", func(c *Cmdline) { c.Modloop = "none" }},
		{"an address", "ip=dhcp", func(c *Cmdline) { c.IP.Method = netif.DHCP }},
		{"an address of a link", "ip=:::::psy0:dhcp", func(c *Cmdline) { c.IP = netif.IP{Method: netif.DHCP, Device: "psy0"} }},
		{"no address after all", "ip=none noip", func(c *Cmdline) {}},
		{"the kernel's own words are nobody's business here", "BOOT_IMAGE=/kernel ro nomodeset panic=10 oops=panic init.x splash.y=1 =x noapic acpi_osi=!",
			func(c *Cmdline) { c.Panic = 10 * time.Second }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, _ := ParseCmdline("")
			c.want(&want)
			got, _ := ParseCmdline(c.line)
			if !reflect.DeepEqual(settings(got), settings(want)) {
				t.Errorf("got  %+v\nwant %+v", settings(got), settings(want))
			}
			if got.Line != c.line || len(got.Problems) > 0 || len(got.Ignored) > 0 {
				t.Errorf("line %q, problems %v, ignored %v; want the line and nothing else", got.Line, got.Problems, got.Ignored)
			}
		})
	}
}

func TestABadValueIsAProblemAndItsDefaultApplies(t *testing.T) {
	for _, c := range []struct{ line, problem, hint string }{
		{"psyopsos.toram=ys", "psyopsos.toram=ys on the kernel command line: want one of auto, yes, no (yes is nearest); auto is used instead", "psyopsos.toram= takes auto, yes, no"},
		{"psyopsos.verify=off psyopsos.verify=Of", "(off is nearest); require is used", "psyopsos.verify= takes"},
		{"psyopsos.verify", "psyopsos.verify on the kernel command line: want one of", "psyopsos.verify= takes"},
		{"nopsyopsos.shell", "want one of on-error, first, before-handover, never", "psyopsos.shell= takes"},
		{"psyopsos.boot=trial3", "(trial2 is nearest); manual is used", "psyopsos.boot= takes"},
		{"psyopsos.boot=trial999", "manual is used", "psyopsos.boot= takes"},
		{"psyopsos.wait=soon", "want a number of seconds from 0 to 86400; 30 is used", "psyopsos.wait= takes 30, seconds"},
		{"psyopsos.wait=-1", "psyopsos.wait=-1 on", "psyopsos.wait= takes"},
		{"psyopsos.wait", "psyopsos.wait on", "psyopsos.wait= takes"},
		{"quiet=perhaps", "want yes or no; no is used", "quiet= takes yes or no"},
		{"init=sh", "want an absolute path; /sbin/init is used", "init= takes"},
		{"ip=10.0.2", `ip=10.0.2 on the kernel command line: address "10.0.2" is no IPv4 address; DHCP on the first`, "ip= takes dhcp, none"},
		{"rootfstype", "want a value", "rootfstype= takes"},
		{"psyopsos.torm=no", "unknown word psyopsos.torm=no", "the nearest known word is psyopsos.toram"},
		{"nopsyopsos.even", "unknown word nopsyopsos.even", "the nearest known word is psyopsos."},
	} {
		t.Run(c.line, func(t *testing.T) {
			want, _ := ParseCmdline("")
			got, _ := ParseCmdline(c.line)
			if !reflect.DeepEqual(settings(got), settings(want)) {
				t.Errorf("got %+v, want the defaults", settings(got))
			}
			if len(got.Problems) != 1 {
				t.Fatalf("got problems %v, want one", got.Problems)
			}
			if text := got.Problems[0].Error(); !strings.Contains(text, c.problem) {
				t.Errorf("got problem %q, want %q", text, c.problem)
			}
			if hint := step.HintOf(got.Problems[0]); !strings.Contains(hint, c.hint) {
				t.Errorf("got hint %q, want %q", hint, c.hint)
			}
		})
	}
}

func TestALineThatSaysNothingToBootIsAnErrorWithAHint(t *testing.T) {
	for line, want := range map[string]string{
		"":                                  "neither psyopsos= nor root=",
		"quiet psyopsos=":                   "neither psyopsos= nor root=",
		"psyopsos=psyopsOS-C quiet":         "psyopsos=psyopsOS-C on the kernel command line is not the label of a side",
		"psyopsos=PSYOPSOSEFI":              "is not the label of a side",
		"psyopsos=psyopsOS-a root=/dev/sda": "is not the label of a side",
	} {
		c, err := ParseCmdline(line)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
		if hint := step.HintOf(err); !strings.Contains(hint, "psyopsos=psyopsOS-A or psyopsos=psyopsOS-B") {
			t.Errorf("%q: got hint %q, want both sides", line, hint)
		}
		if c.Init != layout.DefaultInit || c.Quiet != strings.Contains(line, "quiet") {
			t.Errorf("%q: got %+v, want a complete value beside the error", line, c)
		}
	}
	for _, line := range []string{"psyopsos=psyopsOS-A", "root=/dev/vda", "psyopsos=psyopsOS-A root=/dev/vda"} {
		if _, err := ParseCmdline(line); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestModuleParametersAreFoundByTheModulesName(t *testing.T) {
	c, _ := ParseCmdline(`usb-storage.quirks=1234:5678:u usb_storage.delay_use=0 dyndbg.x="a b" snd-hda-intel.on psyopsos.wait=3`)
	want := map[string]string{"usb_storage": "quirks=1234:5678:u delay_use=0", "dyndbg": `x="a b"`, "snd_hda_intel": "on"}
	if !reflect.DeepEqual(c.Parameters, want) {
		t.Errorf("got %v, want %v", c.Parameters, want)
	}
}

func TestWordsOfAlpinesInitAreNamedOnce(t *testing.T) {
	c, _ := ParseCmdline("alpine_dev=usbdisk:vfat apkovl=x pkgs=a,b apkovl=y nosplash chart keep_apk_new zfs_force=1 noresume quiet")
	want := strings.Fields("alpine_dev apkovl pkgs nosplash chart keep_apk_new zfs_force noresume")
	if !reflect.DeepEqual(c.Ignored, want) || len(c.Problems) > 0 {
		t.Errorf("got %v with problems %v, want %v", c.Ignored, c.Problems, want)
	}
}

func TestTheLastConsoleIsTheNewInits(t *testing.T) {
	for line, want := range map[string]string{"": "console", "console=tty0 console=ttyS0,115200": "ttyS0"} {
		if c, _ := ParseCmdline(line); c.Console() != want {
			t.Errorf("%q: got %s, want %s", line, c.Console(), want)
		}
	}
}

func TestEveryWordHasANameAndAMeaningOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range Words() {
		if w.Name == "" || w.Meaning == "" || seen[w.Name] || isAlpineWord(w.Name) {
			t.Errorf("%+v is empty, repeated or also ignored", w)
		}
		seen[w.Name] = true
	}
}

func FuzzParseCmdline(f *testing.F) {
	f.Add(`BOOT_IMAGE=/kernel ro psyopsos=psyopsOS-A psyopsos.boot=trial2 console=tty0 console=ttyS0,115200 -- "a b" c=d`)
	f.Add(`init_args="x y" "rootflags=a b" ip=10.0.2.20::10.0.2.2::x:eth0:none psyopsos.wait=1.5 modules=a,b usb-storage.quirks=1 psyopsos.torm s`)
	f.Add(`a="b"c d" "e" f"=g noquiet "" =x==y --`)
	f.Fuzz(func(t *testing.T, line string) {
		c, _ := ParseCmdline(line)
		again, _ := ParseCmdline(c.String())
		if !strings.Contains(fmt.Sprintf("%q", settings(c)), `\"`) && !reflect.DeepEqual(settings(c), settings(again)) {
			t.Errorf("%q became %q:\ngot  %+v\nwant %+v", line, c.String(), settings(again), settings(c))
		}
		words, _ := splitCmdline(line)
		for _, w := range words {
			if strings.Contains(w.plain(), `"`) {
				continue // the kernel has no way to write every such word
			}
			if again, _ := splitCmdline(w.String()); len(again) != 1 || again[0] != w {
				t.Errorf("word %q became %s and then %q", w.plain(), w, again)
			}
		}
	})
}
