// Package bootstate is the boot loader's state as Go values: GRUB environment
// blocks, the two copies of the state, the counts of tries, and the choice
// that the loader's script makes of them (package image/loader has the script,
// and a test that both choose alike).
//
// It reads the five state files of the two EFI system partitions, by its own
// reading of FAT, and writes one of them at a time as POWERCUT.md asks: the
// one sector, past the page cache, read back. It never mounts anything.
package bootstate

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"psyopsOS/layout"
)

// header begins an environment block.
const header = "# GRUB Environment Block\n"

// ErrNoBlock is data that GRUB does not take for an environment block.
var ErrNoBlock = errors.New("not a GRUB environment block")

// A Var is one variable of an environment block.
type Var struct{ Name, Value string }

// A Block is the variables of an environment block, in their order.
type Block []Var

// Get is the value that GRUB would give name: the last one, empty where there
// is none.
func (b Block) Get(name string) string {
	value := ""
	for _, v := range b {
		if v.Name == name {
			value = v.Value
		}
	}
	return value
}

// ParseBlock reads an environment block exactly as GRUB 2.06's load_env does.
// That is lenient: a truncated block gives the variables before the cut, and
// a line without = becomes part of the next name. A nil error only says that
// the header is there.
func ParseBlock(data []byte) (Block, error) {
	// GRUB wants one byte more than the header.
	if len(data) <= len(header) || string(data[:len(header)]) != header {
		return nil, ErrNoBlock
	}
	var b Block
	for p := len(header); p < len(data); {
		if data[p] == '#' {
			p = endOfLine(data, p) + 1
			continue
		}
		equals := bytes.IndexByte(data[p:], '=')
		if equals < 0 {
			return b, nil
		}
		value := p + equals + 1
		end := endOfLine(data, value)
		if end >= len(data) {
			return b, nil
		}
		b = append(b, Var{untilNUL(string(data[p : value-1])), untilNUL(unescape(data[value:end]))})
		p = end + 1
	}
	return b, nil
}

// endOfLine is the index of the next newline that no backslash escapes, or an
// index at or beyond the end.
func endOfLine(data []byte, p int) int {
	for p < len(data) && data[p] != '\n' {
		if data[p] == '\\' {
			p++
		}
		p++
	}
	return p
}

func unescape(value []byte) string {
	var s strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' {
			i++
		}
		s.WriteByte(value[i])
	}
	return s.String()
}

// untilNUL ends s where a C string does.
func untilNUL(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// Render is the block in the 512 bytes of a state file.
func (b Block) Render() ([]byte, error) {
	out := []byte(header)
	for _, v := range b {
		if v.Name == "" || strings.ContainsAny(v.Name, "#=\\\n\x00") || strings.Contains(v.Value, "\x00") {
			return nil, fmt.Errorf("environment block: %q=%q cannot be written", v.Name, v.Value)
		}
		out = append(out, v.Name+"="+escape(v.Value)+"\n"...)
	}
	// At least one # must be left, or GRUB's save_env finds no free space.
	if len(out) >= layout.EnvironmentBlock {
		return nil, fmt.Errorf("environment block: %d bytes, fewer than %d wanted", len(out), layout.EnvironmentBlock)
	}
	return append(out, bytes.Repeat([]byte("#"), layout.EnvironmentBlock-len(out))...), nil
}

func escape(value string) string {
	return strings.ReplaceAll(strings.ReplaceAll(value, `\`, `\\`), "\n", "\\\n")
}

// SetVar is data after GRUB's save_env has set name to value in it, in place:
// the length does not change. It is false where save_env gives up.
func SetVar(data []byte, name, value string) ([]byte, bool) {
	if _, err := ParseBlock(data); err != nil {
		return nil, false
	}
	free := len(bytes.TrimRight(data, "#"))
	if data[free-1] != '\n' {
		return nil, false
	}
	text := escape(value)
	for p := len(header); p+len(name)+1 < free; p = endOfLine(data, p) + 1 {
		if !bytes.HasPrefix(data[p:], []byte(name+"=")) {
			continue
		}
		start := p + len(name) + 1
		end := endOfLine(data, start)
		if end >= len(data) {
			return nil, false
		}
		return replace(data, start, end, free, text)
	}
	return replace(data, free, free, free, name+"="+text+"\n")
}

// replace puts text in place of data[start:end] and keeps the length by
// taking from, or adding to, the padding that begins at free.
func replace(data []byte, start, end, free int, text string) ([]byte, bool) {
	if len(data)-free < len(text)-(end-start) {
		return nil, false
	}
	out := append(bytes.Clone(data[:start]), text...)
	out = append(out, data[end:free]...)
	return append(out, bytes.Repeat([]byte("#"), len(data)-len(out))...), true
}
