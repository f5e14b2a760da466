package boot

// Modules is what the boot asks of the kernel about its modules. LinuxModules
// is the real one, boottest.Modules the fake. Lines of the boot ask it side by
// side.
type Modules interface {
	// Insert loads one module from its file, which may be compressed. A module
	// that is there already is no error.
	Insert(file, parameters string) error
	// Loaded lists the modules that are there, but not what is built in.
	Loaded() ([]string, error)
	// Modaliases lists what the devices that the kernel knows say they are, but
	// for those in known, where it notes each: who asks again at once need not
	// hear the same again. Where buses are named ("pci"), only those on them.
	Modaliases(known map[string]bool, buses ...string) ([]string, error)
}
