package main

import (
	"fmt"
	"io"

	"psyopsOS/mounts"
)

// blkid is the emergency shell's command of that name: it shows the volumes
// with their labels, as the boot itself sees them.
func blkid(stdout, stderr io.Writer, storage mounts.System, args []string) int {
	if len(args) > 0 {
		fmt.Fprintln(stderr, "usage: blkid\nhint: it shows every volume; grep picks")
		return 2
	}
	volumes, err := mounts.FindLabels(storage)
	if err != nil {
		fmt.Fprintln(stderr, "blkid:", err)
		return 1
	}
	for _, v := range volumes {
		if v.Err != nil {
			fmt.Fprintf(stdout, "%s: %v\n", v.Path(), v.Err)
			continue
		}
		fmt.Fprintf(stdout, "%s: LABEL=%q UUID=%q TYPE=%q PARTUUID=%q\n", v.Path(), v.Label, v.UUID, v.Type, v.PartUUID)
	}
	return 0
}
