package upgrade

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"psyopsOS/layout"
)

// man prints neuralupgrade(8), from the same commands and flags as help.
func man(_ context.Context, c *call) (int, error) {
	if err := c.noArgs(); err != nil {
		return exitUsage, err
	}
	_, err := fmt.Fprint(c.env.Stdout, manPage())
	return exitOf(err), err
}

func manPage() string {
	var b strings.Builder
	b.WriteString(".TH NEURALUPGRADE 8 \"\" psyopsOS\n.SH NAME\nneuralupgrade \\- show what a node runs, and update it\n" +
		".SH SYNOPSIS\n.B neuralupgrade\n[\\fIFLAGS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n" +
		roff("It shows both sides of a psyopsOS disk and the boot loader's state, checks for releases, brings one onto the side that is not booted, "+
			"verified while it is written, and puts that side on trial. A trial that is not committed ends on the side that worked. "+
			"No power cut, at any write, leaves a machine that does not boot either the old release or the new one.") + "\n.SH COMMANDS\n")
	for _, cmd := range commands() {
		fmt.Fprintf(&b, ".SS %s %s\n%s\n", cmd.name, roff(cmd.args), roff(cmd.short)+".")
		c := &call{Settings: defaults("x86_64")}
		set := c.newFlags(cmd.name)
		cmd.flags(c, set)
		manFlags(&b, set)
	}
	b.WriteString(".SH FLAGS OF ALL COMMANDS\n" +
		roff("They also stand in the configuration file, without the dashes, and in the environment. "+
			"The command line wins over the environment, that over the file, that over the default. "+
			"The devices may be files: the image of a disk, or of a volume.") + "\n")
	c := &call{Settings: defaults("x86_64")}
	set := c.newFlags("all")
	c.Settings.flags(set)
	manFlags(&b, set)
	for _, s := range []struct{ title, text string }{
		{"EXIT STATUS", "0 done, or up to date; 10 an update is available; 1 error; 2 mistake on the command line."},
		{"ENVIRONMENT", envPrefix + "NAME sets the flag \\-\\-name: " + envPrefix + "A_MOCK is \\-\\-a\\-mock. HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured."},
	} {
		fmt.Fprintf(&b, ".SH %s\n%s\n", s.title, s.text)
	}
	b.WriteString(".SH FILES\n")
	for _, f := range []struct{ name, what string }{
		{ConfigFile, "settings"},
		{layout.KeysDir + "/*.pub, " + layout.PublicKey, "the trusted keys; the file threshold beside them says how many must have signed"},
		{layout.HealthDir, "the programs that judge a boot"},
		{layout.BootJSON, "how this boot went, as init tells it"},
	} {
		fmt.Fprintf(&b, ".TP\n.I %s\n%s\n", roff(f.name), roff(f.what))
	}
	return b.String()
}

func manFlags(b *strings.Builder, set *flag.FlagSet) {
	set.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if value != "" {
			value = " \\fI" + roff(value) + "\\fR"
		}
		if f.DefValue != "" && f.DefValue != "false" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR%s\n%s\n", roff("--"+f.Name), value, roff(usage))
	})
}

// roff makes plain text of one line a line of roff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
