package boot_test

import (
	"testing"
	"time"

	"psyopsOS/boot"
	"psyopsOS/bootstate"
	"psyopsOS/layout"
)

func TestWhatFollowsAFailure(t *testing.T) {
	proven := bootstate.State{Seq: 7, Good: layout.SideA, Alt: layout.SideB}
	alone := bootstate.State{Seq: 7, Good: layout.SideA}
	const min = time.Minute
	for _, c := range []struct {
		name  string
		line  string
		state bootstate.State
		run   int
		last  bootstate.Fail
		want  boot.Answer
	}{
		{"a trial is blamed and ends by itself", "psyopsos=psyopsOS-B psyopsos.boot=trial0", proven, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * time.Second, Ending: boot.Restart, Blame: true}},
		{"a good side gives up where the other is proven", "psyopsos=psyopsOS-A psyopsos.boot=good", proven, 1, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * time.Second, Ending: boot.Restart, Blame: true, GiveUp: true}},
		{"a good side alone is tried again at once", "psyopsos=psyopsOS-A psyopsos.boot=good", alone, 1, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * time.Second, Ending: boot.Restart, Blame: true}},
		{"and later with pauses", "psyopsos=psyopsOS-A psyopsos.boot=good", alone, 3, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 6 * min, Ending: boot.Restart, Blame: true}},
		{"a fallback restarts once", "psyopsos=psyopsOS-B psyopsos.boot=fallback", proven, 3, bootstate.Fail{Side: layout.SideA, Seq: 7},
			boot.Answer{Shell: true, Patience: 10 * time.Second, Ending: boot.Restart, Blame: true}},
		{"and stays the second time", "psyopsos=psyopsOS-B psyopsos.boot=fallback", proven, 3, bootstate.Fail{Side: layout.SideB, Seq: 7},
			boot.Answer{Shell: true, Patience: 10 * min, Ending: boot.Stay, Blame: true}},
		{"the last resort never restarts by itself", "psyopsos=psyopsOS-B psyopsos.boot=lastresort", proven, 3, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * min, Ending: boot.Stay}},
		{"a side chosen by hand waits for the hand", "psyopsos=psyopsOS-B", proven, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * min, Ending: boot.Restart}},
		{"the wait can be set", "psyopsos=psyopsOS-B psyopsos.patience=20", proven, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 20 * time.Second, Ending: boot.Restart}},
		{"never no shell", "psyopsos=psyopsOS-B psyopsos.shell=never", proven, 0, bootstate.Fail{},
			boot.Answer{Patience: 10 * time.Second, Ending: boot.Restart}},
		{"onfail=poweroff", "psyopsos=psyopsOS-A psyopsos.boot=lastresort psyopsos.onfail=poweroff", proven, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * time.Second, Ending: boot.PowerOff}},
		{"onfail=reboot pauses too", "psyopsos=psyopsOS-A psyopsos.boot=lastresort psyopsos.onfail=reboot", proven, 2, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: min, Ending: boot.Restart}},
		{"onfail=shell waits for ever", "psyopsos=psyopsOS-A psyopsos.boot=trial1 psyopsos.onfail=shell", proven, 2, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * min, Ending: boot.Stay, Blame: true}},
		{"onfail=shell is stronger than shell=never", "psyopsos=psyopsOS-A psyopsos.shell=never psyopsos.onfail=shell", proven, 2, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * min, Ending: boot.Stay}},
		{"a good side whose state cannot be read restarts with a pause", "psyopsos=psyopsOS-A psyopsos.boot=good", bootstate.State{}, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: min, Ending: boot.Restart}},
		{"a fallback whose state cannot be read could restart for ever, and stays", "psyopsos=psyopsOS-B psyopsos.boot=fallback", bootstate.State{}, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * min, Ending: boot.Stay}},
		{"panic= is how long a message can be read", "psyopsos=psyopsOS-B psyopsos.boot=trial0 panic=3", proven, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 3 * time.Second, Ending: boot.Restart, Blame: true}},
		{"root= has no state", "root=/dev/vda", bootstate.State{}, 0, bootstate.Fail{},
			boot.Answer{Shell: true, Patience: 10 * min, Ending: boot.Restart}},
	} {
		t.Run(c.name, func(t *testing.T) {
			line, err := boot.ParseCmdline(c.line)
			if err != nil {
				t.Fatal(err)
			}
			got := boot.AnswerTo(line, c.state, bootstate.Tries{Run: c.run}, c.last)
			if got.Why == "" {
				t.Error("no reason is told")
			}
			got.Why = ""
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
