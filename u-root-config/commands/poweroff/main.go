// Command poweroff writes what is cached to the disks and switches the machine off.
// u-root's poweroff does not write it.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	unix.Sync()
	fmt.Fprintln(os.Stderr, "poweroff:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
	os.Exit(1)
}
