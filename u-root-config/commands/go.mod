// The commands of the emergency shell, one tool line each with its reason, and
// the releases of what they are made of. To add one, in this folder:
//
//	go get -tool github.com/u-root/u-root/cmds/core/wget@v0.16.0
//
// then say why behind its line; to remove one: go get -tool NAME@none. The
// initramfs gets /bbin/NAME for each. This is a module of its own, so that the
// commands' dependencies are not psyopsOS's.
module psyopsOS/u-root-config/commands

go 1.26.0

tool (
	github.com/u-root/u-root/cmds/core/cat // read a file
	github.com/u-root/u-root/cmds/core/chmod // repair a mode
	github.com/u-root/u-root/cmds/core/chroot // work inside a mounted side
	github.com/u-root/u-root/cmds/core/cmp // compare two copies
	github.com/u-root/u-root/cmds/core/cp // save a file
	github.com/u-root/u-root/cmds/core/date // set the clock, which signatures and TLS ask
	github.com/u-root/u-root/cmds/core/dd // copy a disk, look at a sector
	github.com/u-root/u-root/cmds/core/df // is it full?
	github.com/u-root/u-root/cmds/core/dhclient // an address, so that neuralupgrade can fetch
	github.com/u-root/u-root/cmds/core/dmesg // what the kernel saw
	github.com/u-root/u-root/cmds/core/du // what fills it
	github.com/u-root/u-root/cmds/core/find // where is it
	github.com/u-root/u-root/cmds/core/free // is there memory for the copy?
	github.com/u-root/u-root/cmds/core/gpt // read or repair a partition table
	github.com/u-root/u-root/cmds/core/grep // in a long log
	github.com/u-root/u-root/cmds/core/gzip // shrink a log to take away
	github.com/u-root/u-root/cmds/core/head // the start of a file
	github.com/u-root/u-root/cmds/core/hexdump // a superblock, an environment block
	github.com/u-root/u-root/cmds/core/insmod // load one module file
	github.com/u-root/u-root/cmds/core/ip // links, addresses, routes
	github.com/u-root/u-root/cmds/core/kill // end a program
	github.com/u-root/u-root/cmds/core/ln // make a link
	github.com/u-root/u-root/cmds/core/losetup // look into an image
	github.com/u-root/u-root/cmds/core/ls // list a folder
	github.com/u-root/u-root/cmds/core/lsdrivers // which devices have a driver
	github.com/u-root/u-root/cmds/core/lsmod // which modules are loaded
	github.com/u-root/u-root/cmds/core/mkdir // make a mount point
	github.com/u-root/u-root/cmds/core/mknod // a device node that is missing
	github.com/u-root/u-root/cmds/core/more // page by page
	github.com/u-root/u-root/cmds/core/mount // look into a volume
	github.com/u-root/u-root/cmds/core/mv // rename a file
	github.com/u-root/u-root/cmds/core/ping // is there a network
	github.com/u-root/u-root/cmds/core/ps // what runs
	github.com/u-root/u-root/cmds/core/readlink // where does a link lead
	github.com/u-root/u-root/cmds/core/rm // remove a file
	github.com/u-root/u-root/cmds/core/rmmod // unload a module
	github.com/u-root/u-root/cmds/core/shasum // check a file against the manifest or BOOT.SUM
	github.com/u-root/u-root/cmds/core/sleep // wait in a loop
	github.com/u-root/u-root/cmds/core/sort // for lists
	github.com/u-root/u-root/cmds/core/strings // text in a binary
	github.com/u-root/u-root/cmds/core/stty // settings of a serial line
	github.com/u-root/u-root/cmds/core/sync // write to the disks now
	github.com/u-root/u-root/cmds/core/tail // the end of a log
	github.com/u-root/u-root/cmds/core/tar // unpack a release by hand
	github.com/u-root/u-root/cmds/core/tee // keep what is seen
	github.com/u-root/u-root/cmds/core/touch // make an empty file
	github.com/u-root/u-root/cmds/core/umount // let go of a volume
	github.com/u-root/u-root/cmds/core/uname // which kernel
	github.com/u-root/u-root/cmds/core/wc // count
	github.com/u-root/u-root/cmds/core/xargs // for lists of files
	github.com/u-root/u-root/cmds/exp/modprobe // load a module and what it needs
	github.com/u-root/u-root/cmds/exp/partprobe // read a partition table again
	psyopsOS/u-root-config/commands/ed // the editor, for any terminal
	psyopsOS/u-root-config/commands/poweroff // sync and switch off
	psyopsOS/u-root-config/commands/reboot // sync and restart
	psyopsOS/u-root-config/commands/sh // the command line
)

require (
	golang.org/x/sys v0.41.0
	golang.org/x/term v0.37.0
	mvdan.cc/sh/v3 v3.11.0
)

require (
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/insomniacslk/dhcp v0.0.0-20231206064809-8c70d406f6d2 // indirect
	github.com/josharian/native v1.1.0 // indirect
	github.com/klauspost/compress v1.18.0 // indirect
	github.com/klauspost/pgzip v1.2.6 // indirect
	github.com/mdlayher/packet v1.1.2 // indirect
	github.com/mdlayher/socket v0.5.1 // indirect
	github.com/pierrec/lz4/v4 v4.1.22 // indirect
	github.com/rck/unit v0.0.3 // indirect
	github.com/rekby/gpt v0.0.0-20200219180433-a930afbc6edc // indirect
	github.com/u-root/u-root v0.16.0 // indirect
	github.com/u-root/uio v0.0.0-20240224005618-d2acac8f3701 // indirect
	github.com/ulikunitz/xz v0.5.15 // indirect
	github.com/vishvananda/netlink v1.3.0 // indirect
	github.com/vishvananda/netns v0.0.4 // indirect
	golang.org/x/net v0.47.0 // indirect
	golang.org/x/sync v0.18.0 // indirect
)
