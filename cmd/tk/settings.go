package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"psyopsOS/cmd/tk/settings"
	"psyopsOS/image"
	"psyopsOS/step"
)

// imageSettings are what a user decides about an image. Flags, which take
// their defaults from the settings (settings_table.go), fill it.
type imageSettings struct {
	Userland    string
	OCI, Tar    string // what --userland oci and tar are made of
	Kernel      string
	Firmware    []string
	Overlays    []string // folders
	Services    []string // NAME or NAME:LEVEL
	Compression string
	Base        string // the folder that relative repositories are below; empty: the working folder
	Alpine      alpineSettings
}

func (s *imageSettings) addFlags(flags wordsAndFlags) {
	flags.text(&s.Userland, "build.userland")
	flags.text(&s.OCI, "build.oci")
	s.OCI = besideFile(flags.settings, "build.oci")
	flags.text(&s.Tar, "build.tar")
	flags.text(&s.Kernel, "build.kernel")
	flags.list(&s.Firmware, "build.firmware")
	flags.list(&s.Overlays, "build.overlay")
	flags.list(&s.Services, "build.service")
	flags.text(&s.Compression, "build.compression")
	s.Alpine.addFlags(flags)
	if flags.settings.Value("alpine.repository").Source == settings.FromFile {
		s.Base = filepath.Dir(flags.settings.File)
	}
}

// withDefaults fills in what follows from the rest: Alpine's kernels for
// hardware come with its firmware, which the one for virtual machines has no
// use for.
func (s imageSettings) withDefaults() imageSettings {
	kernel, ofAlpine := strings.CutPrefix(s.Kernel, alpineKind+":")
	if ofAlpine && len(s.Firmware) == 0 && !strings.HasSuffix(kernel, "-virt") {
		s.Firmware = []string{alpineKind + ":linux-firmware-*"}
	}
	if slices.Equal(s.Firmware, []string{noFirmware}) {
		s.Firmware = nil
	}
	return s
}

// apart are the patterns of Alpine's packages beside the userland.
func (s imageSettings) apart() (patterns []string) {
	for _, source := range append([]string{s.Kernel}, s.Firmware...) {
		if pattern, ok := strings.CutPrefix(source, alpineKind+":"); ok {
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}

// take makes the project one with these settings.
func (p *project) take(s imageSettings) (err error) {
	s = s.withDefaults()
	if s.Userland == alpineKind || len(s.apart()) > 0 {
		if p.alpine, err = newAlpine(s, p.out); err != nil {
			return err
		}
	}
	if p.userland, err = p.newUserland(s); err != nil {
		return err
	}
	p.kernel = p.newKernel(s)
	for _, source := range s.Firmware {
		p.firmware = append(p.firmware, p.newFirmware(source, p.alpine))
	}
	for _, text := range s.Services {
		service, err := image.ParseService(text)
		if err != nil {
			return usageError{err}
		}
		p.services = append(p.services, service)
	}
	p.overlays = s.Overlays
	if p.compression, err = image.ParseCompression(s.Compression); err != nil {
		return usageError{err}
	}
	return nil
}

// lockPackages sees to it that the lock has what the build wants.
func (p *project) lockPackages(ctx context.Context, runner *step.Runner) error {
	if p.alpine == nil {
		return nil
	}
	return p.alpine.prepare(ctx, runner)
}
