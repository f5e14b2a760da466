package main

import "flag"

// imageSettings are what a user decides about an image. Flags fill it.
type imageSettings struct {
	Userland string
	Kernel   string
}

func (s *imageSettings) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&s.Userland, "userland", defaultUserland, userlandHelp)
	flags.StringVar(&s.Kernel, "kernel", defaultKernel, kernelHelp)
}

// take makes the project one with these settings.
func (p *project) take(s imageSettings) (err error) {
	p.kernel = p.newKernel(s)
	p.userland, err = p.newUserland(s)
	return err
}
