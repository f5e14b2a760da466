// Package layout is the on-disk contract of psyopsOS: the names of volumes,
// files and mount points that the boot, the updater, the image builder and the
// boot loader's script must agree on. It reads and writes nothing, and it
// imports nothing but the standard library's strings.
package layout

import "strings"

// A Label is a filesystem label, the name by which psyopsOS knows a volume.
type Label string

// The five volumes of a psyopsOS disk.
const (
	EFISystem  Label = "PSYOPSOSEFI"
	Secret     Label = "psyops-secret"
	SideA      Label = "psyopsOS-A"
	SideB      Label = "psyopsOS-B"
	EFISystem2 Label = "PSYOPSESP2"
)

// IsSide reports whether l names one of the two sides.
func (l Label) IsSide() bool { return l == SideA || l == SideB }

// Other is the opposite side; of a label that is no side, the empty label.
func (l Label) Other() Label {
	switch l {
	case SideA:
		return SideB
	case SideB:
		return SideA
	}
	return ""
}

// Letter is "A" or "B", as the boot loader's state names a side; of a label
// that is no side, the empty string.
func (l Label) Letter() string {
	if !l.IsSide() {
		return ""
	}
	return strings.TrimPrefix(string(l), "psyopsOS-")
}

// SideOf is the side that the boot loader's state calls letter ("A" or "B").
func SideOf(letter string) (Label, bool) {
	l := Label("psyopsOS-" + letter)
	return l, l.IsSide()
}

// A Volume is one partition of a psyopsOS disk.
type Volume struct {
	Number     int // GPT partition number, from 1
	Label      Label
	Filesystem string // "vfat" or "ext4"
	MountPoint string // in the running system; empty where it is never mounted
	DefaultMiB int64
}

// Volumes lists the partitions in disk order, with the sizes a new disk gets
// when nothing else is asked for.
func Volumes() []Volume {
	return []Volume{
		{1, EFISystem, "vfat", MountEFISystem, 300},
		{2, Secret, "ext4", MountSecret, 128},
		{3, SideA, "ext4", MountSideA, 1536},
		{4, SideB, "ext4", MountSideB, 1536},
		{5, EFISystem2, "vfat", "", 64},
	}
}

// Mount points in the running system.
const (
	MountEFISystem    = "/mnt/psyopsOS/efisys"
	MountSideA        = "/mnt/psyopsOS/a"
	MountSideB        = "/mnt/psyopsOS/b"
	MountSecretParent = "/mnt/psyops-secret" // 0700 root
	MountSecret       = MountSecretParent + "/mount"

	// MediaRAM is the tmpfs that holds the copies of squashfs and modloop.
	// It lies under /media because Alpine's modloop service looks there and
	// not under /run.
	MediaRAM    = "/media/psyopsOS"
	MediaRootRO = "/media/root-ro" // the squashfs
	MediaRootRW = "/media/root-rw" // the tmpfs behind the overlay
	ModloopDir  = "/.modloop"      // where the modloop is mounted
	RunDir      = "/run/psyopsOS"  // hand-over data: kept by OpenRC
	BootJSON    = RunDir + "/boot.json"

	// ModloopTables is the folder below the initramfs's /lib/modules/VERSION
	// with copies of depmod's tables in the modloop.
	ModloopTables = "modloop"

	UpgradeLock   = RunDir + "/neuralupgrade.lock" // held by whoever changes a side or the boot loader's state
	TrialProgress = RunDir + "/trial"              // how a boot on trial goes
	KexecMark     = RunDir + "/kexec"              // a kernel is loaded, to be started at the end of the shutdown
	StatusLine    = RunDir + "/status"             // `neuralupgrade status --line`, for the shell's profile
	StatusPrompt  = RunDir + "/prompt"             // a word in the prompt while what runs is not committed
	RestartPID    = RunDir + "/restart.pid"
	DeadlinePID   = RunDir + "/deadline.pid" // spared by the shutdown's killprocs, as every *.pid there
)

// Files of a side.
const (
	Kernel             = "kernel"
	KernelVersion      = "kernel.version"
	Initramfs          = "initramfs"
	Modloop            = "modloop"
	Squashfs           = "squashfs"
	UserlandVersion    = "squashfs.alpine_version"
	SystemMap          = "System.map"
	KernelConfig       = "config"
	DeviceTrees        = "dtbs" // optional folder
	Manifest           = "manifest.json"
	ManifestSignature  = "manifest.json.minisig"
	BootSum            = "BOOT.SUM" // written by whoever writes the side; not a member of the tar
	OSTarSignature     = "psyopsOS.tar.minisig"
	ESPTarSignature    = "psyopsESP.tar.minisig"
	ESPTarWaiting      = "psyopsESP.tar.waiting" // the same, while the loader is not the default yet
	LoaderDir          = "EFI/BOOT"
	Loader             = "EFI/BOOT/BOOTX64.EFI"
	LoaderSpare        = "EFI/BOOT/SPARE.EFI"
	StateDir           = "grub"
	State1             = "grub/STATE1.ENV"
	State2             = "grub/STATE2.ENV"
	Tries              = "grub/TRIES.ENV"
	Fail               = "grub/FAIL.ENV"
	Menu               = "grub/MENU.ENV"
	LegacyGrubCfg      = "grub/grub.cfg" // only on the first psyopsOS's disks
	EnvironmentBlock   = 512             // bytes of one state file
	PaddingAroundState = 256 << 10       // bytes of padding beside each state file
)

// Files in the image.
const (
	KeysDir      = "/etc/psyopsOS/keys"            // *.pub, also in the initramfs
	PublicKey    = "/etc/psyopsOS/minisign.pubkey" // also in the initramfs
	IsoJSON      = "/etc/psyopsOS/iso.json"        // when and from what the image was made
	SecretEnv    = "/etc/psyopsOS/psyops-secret.env"
	StatusDir    = "/etc/psyopsOS/status"
	HealthDir    = "/etc/psyopsOS/health.d"   // programs that judge a boot
	PostbootDir  = "/etc/psyopsOS/postboot.d" // programs that configure a node after its boot
	UpgradeBin   = "/usr/sbin/neuralupgrade"  // the same binary as /init
	DefaultInit  = "/sbin/init"
	Unconfigured = "psyopsOS-unconfigured" // the node name where the secret volume gives none
)

// OSMembers lists the regular files that a psyopsOS tar and a side may hold,
// apart from those under dtbs/.
func OSMembers() []string {
	return []string{
		Manifest, ManifestSignature, SystemMap, KernelConfig, Initramfs, Kernel,
		KernelVersion, Modloop, Squashfs, UserlandVersion,
	}
}
