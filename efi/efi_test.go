package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const id = "0fc63daf-8483-4772-8e79-3d69d8477de4"

func option(title string) LoadOption {
	return LoadOption{title, Partition{1, 2048, 614400, id}, "EFI/BOOT/SPARE.EFI"}
}

// As the UEFI specification draws it, byte by byte: EFI_LOAD_OPTION, and the
// device path of a hard drive and a file.
func TestABootEntryIsAsTheSpecificationDrawsIt(t *testing.T) {
	got, err := LoadOption{"hi", Partition{1, 0x800, 0x96000, id}, "A/B"}.Render()
	if err != nil {
		t.Fatal(err)
	}
	want := "01000000" + "3c00" + // active; the path's length
		"680069000000" + // "hi"
		"04012a00" + "01000000" + "0008000000000000" + "0060090000000000" + // a partition of a disk
		"af3dc60f838472478e793d69d8477de4" + "02" + "02" + // the GUID, of a GPT
		"04040e00" + "5c0041005c0042000000" + // \A\B
		"7fff0400"
	if fmt.Sprintf("%x", got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestWhatIsRenderedIsRead(t *testing.T) {
	for _, o := range []LoadOption{option("psyopsOS loader 20261121-100000"), option("ein Wort: schön 🎈"), option("")} {
		data, err := o.Render()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseLoadOption(data); err != nil || got != o {
			t.Errorf("got %+v, %v, want %+v", got, err, o)
		}
	}
	if _, err := (LoadOption{Partition: Partition{UUID: "part1"}}).Render(); err == nil {
		t.Error("a partition without a UUID is rendered")
	}
}

// What firmware makes itself leads over PCI to a disk: the title is told.
func TestOfAForeignEntryTheTitleIsTold(t *testing.T) {
	path := node(2, 1, make([]byte, 8))
	path = append(append(path, node(1, 1, []byte{0, 1})...), node(endOfPath, endOfAll, nil)...)
	data := binary.LittleEndian.AppendUint16([]byte{1, 0, 0, 0}, uint16(len(path)))
	data = append(append(data, text("UEFI Misc Device")...), path...)
	if got, err := ParseLoadOption(data); err != nil || got != (LoadOption{Title: "UEFI Misc Device"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for n := range data {
		if o, err := ParseLoadOption(data[:n]); err == nil {
			t.Errorf("cut off after %d bytes it is %+v", n, o)
		}
	}
}

// counted are the variables of a folder, and how often they were written.
type counted struct {
	Dir
	sets  []string
	fails string
}

func (c *counted) Set(name string, data []byte) error {
	if c.sets = append(c.sets, name); name == c.fails {
		return errors.New("no space left on device")
	}
	return c.Dir.Set(name, data)
}

func TestTheFirmwareIsAskedByOneEntryForAllTimes(t *testing.T) {
	vars := &counted{Dir: Dir(t.TempDir())}
	foreign, _ := LoadOption{"UEFI Shell", Partition{UUID: id}, "shell.efi"}.Render()
	for _, name := range []string{"Boot0000", "Boot0002", "BootOrder", "Bootxyz"} {
		if err := vars.Dir.Set(name, foreign); err != nil {
			t.Fatal(err)
		}
	}
	once := Once{vars, "psyopsOS "}
	if asked, err := once.Asked(); err != nil || asked != (Asked{}) {
		t.Errorf("before anybody asked: %+v, %v", asked, err)
	}
	first, second := option("psyopsOS loader 1"), option("psyopsOS loader 2")
	asks := func(o LoadOption, want ...string) {
		t.Helper()
		vars.sets = nil
		if err := once.Ask(o); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(vars.sets) != fmt.Sprint(want) {
			t.Errorf("written were %q, want %q", vars.sets, want)
		}
		if asked, err := once.Asked(); err != nil || asked != (Asked{o, true}) {
			t.Errorf("asked is %+v, %v", asked, err)
		}
		if next, err := vars.Get(bootNext); err != nil || !bytes.Equal(next, []byte{1, 0}) {
			t.Errorf("BootNext is %x, %v", next, err)
		}
	}
	asks(first, "Boot0001", bootNext)
	asks(first)
	if err := vars.Remove(bootNext); err != nil { // the firmware does that
		t.Fatal(err)
	}
	if asked, err := once.Asked(); err != nil || asked != (Asked{first, false}) {
		t.Errorf("after the start: %+v, %v", asked, err)
	}
	if err := once.TakeBack(); err != nil {
		t.Error(err)
	}
	asks(second, "Boot0001", bootNext)
	if err := once.TakeBack(); err != nil {
		t.Error(err)
	}
	if asked, err := once.Asked(); err != nil || asked.Next {
		t.Errorf("after it was taken back: %+v, %v", asked, err)
	}
	if data, err := vars.Get("Boot0002"); err != nil || !bytes.Equal(data, foreign) {
		t.Error("a foreign entry was changed")
	}
	// Whoever chose another program for the next start has that.
	if err := vars.Dir.Set(bootNext, numberBytes(2)); err != nil {
		t.Fatal(err)
	}
	if err := once.TakeBack(); err != nil {
		t.Error(err)
	}
	if next, err := vars.Get(bootNext); err != nil || !bytes.Equal(next, numberBytes(2)) {
		t.Errorf("the owner's BootNext is %x, %v", next, err)
	}
	vars.fails = bootNext
	if err := once.Ask(first); err == nil || !strings.Contains(err.Error(), "write the EFI variable BootNext: no space") {
		t.Errorf("got %v", err)
	}
	if err := once.Ask(option("another")); err == nil {
		t.Error("an entry that would not be found again is written")
	}
}

// A write that the firmware refused leaves an empty file behind in efivarfs.
func TestAnEmptyVariableIsNone(t *testing.T) {
	dir := Dir(t.TempDir())
	if err := os.WriteFile(filepath.Join(string(dir), "Boot0000"+global), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	once := Once{dir, "psyopsOS "}
	if asked, err := once.Asked(); err != nil || asked != (Asked{}) {
		t.Errorf("%+v, %v", asked, err)
	}
	if err := once.Ask(option("psyopsOS loader 1")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(string(dir), "Boot0000"+global), []byte("xy"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := once.Asked(); err == nil || !strings.Contains(err.Error(), "Boot0000 has 2 bytes") {
		t.Errorf("got %v", err)
	}
}

func FuzzLoadOption(f *testing.F) {
	data, err := option("psyopsOS loader 20261121-100000").Render()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseLoadOption(data)
		if err != nil || o.File == "" {
			return
		}
		again, err := o.Render()
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if back, err := ParseLoadOption(again); err != nil || back.Partition != o.Partition {
			t.Errorf("got %+v, %v, want %+v", back, err, o)
		}
	})
}
