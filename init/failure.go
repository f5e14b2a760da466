package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"psyopsOS/boot"
	"psyopsOS/boot/shell"
	"psyopsOS/bootstate"
	"psyopsOS/mounts"
	"psyopsOS/step"
	"psyopsOS/trial"
)

// onFailure does what boot.AnswerTo decides. It comes back only to repeat the
// failed step, because somebody left the shell or nobody can do better.
func (b *booting) onFailure(ctx context.Context, failure *step.Error) (again bool) {
	b.warn("write boot.json", b.writeReport())
	b.tellTrial(trial.Progress{Stage: trial.Failing, Detail: failure.Step})
	answer := b.answer(failure)
	b.story.flush()
	fmt.Fprintf(consoles{}, "psyopsOS: %s.\n", answer.Why)
	if answer.Shell {
		outcome, err := b.shell(ctx, shell.Banner(failure, b.facts("repeats "+failure.Step)), answer.Patience, untouched(answer.Ending))
		b.warn("emergency shell", err)
		if outcome == shell.Left {
			return true
		}
		if err != nil {
			time.Sleep(answer.Patience)
		}
	} else {
		fmt.Fprintf(consoles{}, "psyopsOS: %s in %v.\n", untouched(answer.Ending), answer.Patience)
		time.Sleep(answer.Patience)
	}
	if answer.Ending != boot.Stay {
		b.story.flush()
		end(answer.Ending, 0)
	}
	return true // a disk may have come late
}

// answer decides, and records the failure where the boot loader will want to
// know of it. That it cannot be recorded does not change what happens next.
func (b *booting) answer(failure *step.Error) boot.Answer {
	storage := mounts.Linux{Root: "/"}
	state, err := boot.ReadLoaderState(storage, b.c)
	if b.c.Boot != bootstate.Manual {
		b.warn("read the boot loader's state", err)
	}
	answer := boot.AnswerTo(b.c, state.State, state.Tries, state.Fail)
	fail := bootstate.Fail{Side: b.c.Side, Version: b.release(), Stage: failure.Step, Reason: failure.Err.Error(), Seq: state.State.Seq}
	b.warn("record the failure", state.Record(answer, fail, func(path string) (boot.StateDevice, error) {
		return bootstate.OpenDirect(path, true)
	}))
	return answer
}

// release is the version that was booted, where the boot got as far as to know.
func (b *booting) release() string {
	version, _ := boot.NewReport(b.c, commit, b.story.events()).Facts["release"].(string)
	return version
}

// shellAsked is the shell that a word of the command line asks for.
func (b *booting) shellAsked(ctx context.Context, asked string) error {
	b.warn("write boot.json", b.writeReport())
	facts := b.facts("goes on with the boot")
	facts.Asked = asked
	_, err := b.shell(ctx, shell.Banner(nil, facts), b.c.Patience, "the boot goes on")
	return err
}

func (b *booting) shell(ctx context.Context, banner string, offer time.Duration, then string) (shell.Outcome, error) {
	b.warn("look for keyboards", b.loadKeyboards(ctx))
	b.story.flush()
	return shell.Run(ctx, shell.Options{Sysfs: os.DirFS("/sys"), Open: shell.OpenTerminal, Clock: time.After,
		Banner: banner, Patience: offer, Then: then, Idle: b.c.Patience})
}

// loadKeyboards loads drivers once more: a keyboard on USB may have come after
// the storage drivers were loaded, and nothing has asked since.
func (b *booting) loadKeyboards(ctx context.Context) error {
	drivers, err := boot.OpenDrivers("/lib/modules/"+b.machine.Kernel, boot.LinuxModules{Root: "/"}, b.c)
	if err != nil {
		return err
	}
	drivers.Coldplug(ctx, nil)
	return nil
}

// untouched says what an ending means to somebody who reads the offer.
func untouched(e boot.Ending) string {
	switch e {
	case boot.PowerOff:
		return "the machine powers off"
	case boot.Stay:
		return "the failed step is repeated"
	}
	return "the machine restarts"
}

func (b *booting) facts(next string) shell.Facts {
	f := shell.Facts{Program: "psyopsOS " + commit, Side: string(b.c.Side), Why: string(b.c.Boot), Next: next}
	for _, e := range b.story.events() {
		if e.Kind == step.Finished {
			f.Done = append(f.Done, e.Step)
		}
	}
	volumes, err := mounts.FindLabels(mounts.Linux{Root: "/"})
	if err != nil {
		return f
	}
	for _, v := range volumes {
		f.Seen = append(f.Seen, strings.TrimSpace(fmt.Sprintf("%s %s %s", v.Name, v.Type, v.Label)))
	}
	return f
}

// warn tells of something that went wrong while a failure was handled.
func (b *booting) warn(doing string, err error) {
	if err != nil {
		b.story.tell(step.Event{Time: sinceBoot(), Step: doing, Kind: step.Warning, Message: err.Error(), Hint: step.HintOf(err)})
	}
}

// syncFor writes to the disks what somebody wrote from the shell. A disk that
// does not answer must not keep the machine from restarting.
func syncFor(most time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		unix.Sync()
	}()
	select {
	case <-done:
	case <-time.After(most):
	}
}

// end restarts or powers off, after a time in which a person can read why.
func end(how boot.Ending, after time.Duration) {
	time.Sleep(after)
	command := unix.LINUX_REBOOT_CMD_RESTART
	if how == boot.PowerOff {
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	syncFor(10 * time.Second)
	err := unix.Reboot(command)
	fmt.Fprintf(consoles{}, "psyopsOS: %s: %v; switch the machine off and on\n", how, err)
	for {
		time.Sleep(time.Hour)
	}
}
