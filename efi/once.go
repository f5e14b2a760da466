package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

const bootNext = "BootNext"

// An Asked is what the firmware was last asked to start once.
type Asked struct {
	LoadOption      // the zero one: nothing, ever
	Next       bool // it starts it with the next restart; else it has, or could not
}

// A Once asks by a boot entry of its own, which is known by how its title
// begins.
type Once struct {
	Variables
	Prefix string
}

// Asked looks at what was asked.
func (v Once) Asked() (Asked, error) {
	number, data, err := v.entry()
	if err != nil || data == nil {
		return Asked{}, err
	}
	o, err := ParseLoadOption(data)
	if err != nil {
		return Asked{}, err
	}
	next, err := v.next()
	return Asked{o, err == nil && bytes.Equal(next, numberBytes(number))}, err
}

// Ask has the firmware start a program with the next restart, and never again.
// The title must begin with the prefix. What is there already is not written:
// such memory wears.
func (v Once) Ask(o LoadOption) error {
	want, err := o.Render()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(o.Title, v.Prefix) {
		return fmt.Errorf("the boot entry %q does not begin with %q", o.Title, v.Prefix)
	}
	number, have, err := v.entry()
	if err != nil {
		return err
	}
	// The entry first: what BootNext names must be there.
	if err := v.write(entryName(number), have, want); err != nil {
		return err
	}
	next, err := v.next()
	if err != nil {
		return err
	}
	return v.write(bootNext, next, numberBytes(number))
}

// TakeBack takes back what was asked, if the firmware has not done it yet.
func (v Once) TakeBack() error {
	asked, err := v.Asked()
	if err != nil || !asked.Next {
		return err
	}
	return v.Remove(bootNext)
}

// write writes a variable, where it is not so already, and reads it back.
func (v Once) write(name string, have, want []byte) error {
	if bytes.Equal(have, want) {
		return nil
	}
	if err := v.Set(name, want); err != nil {
		return fmt.Errorf("write the EFI variable %s: %w", name, err)
	}
	back, err := v.Get(name)
	if err == nil && !bytes.Equal(back, want) {
		err = errors.New("what comes back is not what was written")
	}
	if err != nil {
		return fmt.Errorf("read the EFI variable %s back: %w", name, err)
	}
	return nil
}

// next is BootNext; nil where it is not set.
func (v Once) next() ([]byte, error) {
	data, err := v.Get(bootNext)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// entry is our own one, or the first number that nothing has.
func (v Once) entry() (number uint16, data []byte, err error) {
	names, err := v.Names()
	if err != nil {
		return 0, nil, fmt.Errorf("list the EFI variables: %w", err)
	}
	var used []uint16
	for _, n := range names {
		digits, ok := strings.CutPrefix(n, "Boot")
		value, err := strconv.ParseUint(digits, 16, 16)
		if !ok || len(digits) != 4 || err != nil {
			continue
		}
		used = append(used, uint16(value))
		data, err := v.Get(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if o, err := ParseLoadOption(data); err == nil && strings.HasPrefix(o.Title, v.Prefix) {
			return uint16(value), data, nil
		}
	}
	for slices.Contains(used, number) {
		number++
	}
	return number, nil, nil
}

func entryName(number uint16) string { return fmt.Sprintf("Boot%04X", number) }

func numberBytes(number uint16) []byte { return binary.LittleEndian.AppendUint16(nil, number) }
