package upgrade

import (
	"psyopsOS/bootstate"
	"psyopsOS/layout"
	"psyopsOS/mounts"
	"psyopsOS/release"
)

// A State is a photograph of a node: what lies on its disk, and what runs.
type State struct {
	Booted        layout.Label // empty off a node
	BootedVersion string       // as init has verified it; empty where nobody said
	BootedDisk    string       // the disk that was booted: "vda"
	BootedMissing bool         // boot.json names a disk that is not there
	Why           bootstate.Why
	InRAM         bool   // what runs needs no disk
	Unhealthy     string // what the health checks found on this boot; empty of a healthy one
	Unjudged      bool   // they have not judged this boot yet
	A, B          Side
	Firmware      Firmware
	Loader        Loader
}

// Side is the side with a label.
func (s State) Side(label layout.Label) Side {
	if label == layout.SideB {
		return s.B
	}
	return s.A
}

// NextBoot is the side that the boot loader will take; empty where nobody
// knows.
func (s State) NextBoot() layout.Label {
	switch {
	case s.Loader.Legacy != nil:
		return s.Loader.Legacy.DefaultLabel
	case s.Loader.Picked == 0:
		return ""
	case s.Loader.onTrial():
		return s.Loader.State.Try
	}
	return s.Loader.State.Good
}

// A Volume is one volume of the disk, as far as it could be looked at.
type Volume struct {
	Label      string
	Device     mounts.Device // none of a mock
	MountPoint string
	Mock       bool
	Duplicates []string // other devices with the label
	Users      []string // what keeps it in use: mounts, loop devices
	Err        error    // why it could not be looked at
	free       int64    // room in an image
}

// A Side is an OS side.
type Side struct {
	Volume
	Info       release.Info // as the signature's comment says
	Incomplete string       // why it is no whole release; empty of one
	Recovery   bool         // its journal is not written back: GRUB may not be able to read it
	Damaged    string       // why GRUB would not load it; only where that was asked for
	Legacy     bool         // written by the first psyopsOS: cannot be checked
	Unsummed   bool         // a manifest, but no BOOT.SUM: the first psyopsOS's updater wrote it, or a cut was in between
	Room       int64        // bytes that a release could have here
}

// Firmware is the EFI system partition.
type Firmware struct {
	Volume
	Info     release.Info // of its tar's signature; the zero Info where there is none
	Unsigned string       // why there is none
	Waiting  release.Info // of the one whose loader is not the default yet
}

// A Loader is the boot loader's state.
type Loader struct {
	Copies  bootstate.Copies
	State   bootstate.State
	Picked  int // the copy that GRUB goes by; 0: none is valid
	Same    bool
	Tries   bootstate.Tries
	Fail    bootstate.Fail
	First   string      // path of the first EFI system partition
	Second  string      // path of the second; empty where there is none
	Legacy  *LegacyMenu // of the first psyopsOS's disks
	Missing error       // why there is no state at all

	On1, On2   LoaderFile // the loaders themselves; On2 of a disk with a second one
	Running    string     // the version of the loader through which this machine was booted
	ChangedNow bool       // the first one was replaced in this boot, or is to be
	Once       Once       // a new one that is not the default yet
}

// onTrial reports whether GRUB will boot a trial the next time.
func (l Loader) onTrial() bool {
	return l.State.Try == l.State.Good.Other() && l.Tries.For == l.State.Seq && l.Tries.Left > 0
}
