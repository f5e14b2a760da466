package boot

// ToRAM says whether the image is copied to RAM: psyopsos.toram=.
type ToRAM string

// The values of psyopsos.toram=.
const (
	ToRAMAuto ToRAM = "auto" // where it fits
	ToRAMYes  ToRAM = "yes"  // or fail
	ToRAMNo   ToRAM = "no"   // run from the disk
)

// Verify says what an unverified file means: psyopsos.verify=.
type Verify string

// The values of psyopsos.verify=.
const (
	VerifyRequire Verify = "require"
	VerifyWarn    Verify = "warn"
	VerifyOff     Verify = "off"
)

// Shell says when the emergency shell is offered: psyopsos.shell=.
type Shell string

// The values of psyopsos.shell=.
const (
	ShellOnError        Shell = "on-error"
	ShellFirst          Shell = "first"
	ShellBeforeHandover Shell = "before-handover"
	ShellNever          Shell = "never"
)

// OnFail says what follows a failure: psyopsos.onfail=.
type OnFail string

// The values of psyopsos.onfail=.
const (
	OnFailAuto     OnFail = "auto"
	OnFailReboot   OnFail = "reboot"
	OnFailShell    OnFail = "shell"
	OnFailPowerOff OnFail = "poweroff"
)
