package efi

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// A LoadOption is a boot entry: a program in a file of a partition.
type LoadOption struct {
	Title     string
	Partition Partition
	File      string // "EFI/BOOT/BOOTX64.EFI"
}

// A Partition of a GPT, as firmware finds it again.
type Partition struct {
	Number         uint32
	Start, Sectors uint64 // in logical sectors of the disk
	UUID           string // lower case
}

// From the UEFI specification: the option's flag, and types and lengths of the
// nodes of its device path.
const (
	active       = 1
	headBytes    = 6
	media        = 4
	hardDrive    = 1
	filePath     = 4
	endOfPath    = 0x7f
	endOfAll     = 0xff
	driveBytes   = 42
	nodeBytes    = 4
	formatGPT    = 2
	signatureGPT = 2
)

// Render is the content of a variable Boot####.
func (o LoadOption) Render() ([]byte, error) {
	id, err := parseUUID(o.Partition.UUID)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	drive := le.AppendUint32(nil, o.Partition.Number)
	drive = le.AppendUint64(drive, o.Partition.Start)
	drive = le.AppendUint64(drive, o.Partition.Sectors)
	drive = append(append(drive, id...), formatGPT, signatureGPT)
	path := node(media, hardDrive, drive)
	path = append(path, node(media, filePath, text(`\`+strings.ReplaceAll(o.File, "/", `\`)))...)
	path = append(path, node(endOfPath, endOfAll, nil)...)
	option := le.AppendUint32(nil, active)
	option = le.AppendUint16(option, uint16(len(path)))
	return append(append(option, text(o.Title)...), path...), nil
}

func node(kind, sub byte, data []byte) []byte {
	return append(binary.LittleEndian.AppendUint16([]byte{kind, sub}, uint16(nodeBytes+len(data))), data...)
}

// ParseLoadOption reads one. Of an entry that is not of a file on a partition,
// as firmware makes many, only the title is told.
func ParseLoadOption(data []byte) (LoadOption, error) {
	if len(data) < headBytes {
		return LoadOption{}, errors.New("a boot entry without a head")
	}
	size := int(binary.LittleEndian.Uint16(data[4:]))
	title, n, ok := parseText(data[headBytes:])
	path := data[min(headBytes+n, len(data)):]
	if !ok || size > len(path) {
		return LoadOption{}, errors.New("a boot entry that is cut off")
	}
	o := LoadOption{Title: title}
	drive, path, ok := parseNode(path[:size], hardDrive)
	if !ok || len(drive) != driveBytes-nodeBytes || drive[36] != formatGPT || drive[37] != signatureGPT {
		return o, nil
	}
	file, _, ok := parseNode(path, filePath)
	name, _, whole := parseText(file)
	if !ok || !whole {
		return o, nil
	}
	le := binary.LittleEndian
	o.Partition = Partition{le.Uint32(drive), le.Uint64(drive[4:]), le.Uint64(drive[12:]), formatUUID(drive[20:36])}
	o.File = strings.ReplaceAll(strings.TrimPrefix(name, `\`), `\`, "/")
	return o, nil
}

// parseNode is the content of the first node of a path, of a kind of medium.
func parseNode(path []byte, sub byte) (data, rest []byte, ok bool) {
	if len(path) < nodeBytes || path[0] != media || path[1] != sub {
		return nil, nil, false
	}
	size := int(binary.LittleEndian.Uint16(path[2:]))
	if size < nodeBytes || size > len(path) {
		return nil, nil, false
	}
	return path[nodeBytes:size], path[size:], true
}

// text is UCS-2 with a zero at its end.
func text(s string) (data []byte) {
	for _, unit := range append(utf16.Encode([]rune(s)), 0) {
		data = binary.LittleEndian.AppendUint16(data, unit)
	}
	return data
}

func parseText(data []byte) (s string, bytes int, ok bool) {
	var units []uint16
	for i := 0; i+1 < len(data); i += 2 {
		unit := binary.LittleEndian.Uint16(data[i:])
		if unit == 0 {
			return string(utf16.Decode(units)), i + 2, true
		}
		units = append(units, unit)
	}
	return "", len(data), false
}

// A GUID's first three fields are little-endian on the disk and in a device
// path.
func parseUUID(s string) ([]byte, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(id) != 16 {
		return nil, fmt.Errorf("%q is no UUID of a partition", s)
	}
	swapUUID(id)
	return id, nil
}

func formatUUID(id []byte) string {
	id = slices.Clone(id)
	swapUUID(id)
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func swapUUID(id []byte) {
	slices.Reverse(id[:4])
	slices.Reverse(id[4:6])
	slices.Reverse(id[6:8])
}
