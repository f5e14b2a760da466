// Command reboot writes what is cached to the disks and restarts the machine.
// u-root's shutdown does not write it.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	unix.Sync()
	fmt.Fprintln(os.Stderr, "reboot:", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
	os.Exit(1)
}
