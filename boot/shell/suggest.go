package shell

import (
	"strings"

	"psyopsOS/step"
)

// A Command is one that may help, and why.
type Command struct{ Line, Why string }

// Suggest is the three commands that most likely help after failure, by what
// the step's name says it did; of nil, those for a look around.
func Suggest(failure *step.Error) []Command {
	if failure != nil {
		for _, s := range suggestions() {
			for word := range strings.FieldsSeq(s.steps) {
				if hasWord(failure.Step, word) {
					return s.commands
				}
			}
		}
	}
	return []Command{
		{"dmesg | tail -n 30", "what the kernel saw last"},
		{"blkid", "the volumes and their labels"},
		{"cat /proc/cmdline", "what the boot loader asked for"},
	}
}

func hasWord(name, word string) bool {
	for w := range strings.FieldsSeq(name) {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// A suggestion is for the steps whose name has one of the words. The first one
// that fits counts.
type suggestion struct {
	steps    string
	commands []Command
}

func suggestions() []suggestion {
	return []suggestion{
		{"find", []Command{
			{"blkid", "the volumes and labels: is it there?"},
			{"lsmod", "is its driver there? else: modprobe NAME"},
			{"dmesg | grep -i 'usb|nvme|scsi'", "what the kernel saw of the disks"},
		}},
		{"verify manifest check", []Command{
			{"ls -l /mnt/psyopsOS/*", "is a file missing, or cut short?"},
			{"dmesg | tail -n 30", "does the disk tell of errors?"},
			{"ls /etc/psyopsOS/keys", "the keys that this initramfs trusts"},
		}},
		{"memory", []Command{
			{"free", "the memory there is"},
			{"ls -l /mnt/psyopsOS/*", "what has to fit"},
			{"cat /proc/cmdline", "with psyopsos.toram=no there is no copy"},
		}},
		{"copy", []Command{
			{"dmesg | tail -n 30", "does the disk tell of errors?"},
			{"df", "is the memory for the copy full?"},
			{"free", "the memory there is"},
		}},
		{"drivers modules", []Command{
			{"lsmod", "the modules that are loaded"},
			{"dmesg | tail -n 30", "why the kernel refused one"},
			{"uname -r", "does `ls /lib/modules` say the same?"},
		}},
		{"mount overlay root", []Command{
			{"dmesg | tail -n 30", "why the kernel refused it"},
			{"blkid", "the volumes and their labels"},
			{"cat /proc/mounts", "what is mounted already"},
		}},
		{"network links", []Command{
			{"ip link", "the network links and their addresses"},
			{"lsmod", "is the driver loaded?"},
			{"dmesg | grep -i eth", "what the kernel saw of them"},
		}},
		{"psyops-secret", []Command{
			{"blkid", "is there a volume psyops-secret?"},
			{"dmesg | tail -n 30", "does its disk tell of errors?"},
			{"cat /proc/mounts", "is it mounted?"},
		}},
	}
}
