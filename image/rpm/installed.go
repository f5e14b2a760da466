package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	rpmutils "github.com/sassoftware/go-rpmutils"
)

// A package's file has two headers behind a lead; rpm's database has the second
// one alone, without the eight bytes that it begins with.
var (
	headerMagic = []byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0}
	leadMagic   = []byte{0xed, 0xab, 0xee, 0xdb}
)

// ParseInstalled reads what rpm's database holds of one package. What is no
// package has no version.
func ParseInstalled(header []byte) (info Info, err error) {
	// The library panics on some damaged headers.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the header is damaged: %v", p)
		}
	}()
	if len(header) < 8 {
		return Info{}, errors.New("the header is cut off")
	}
	entries, size := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[4:])
	if 8+int64(entries)*16+int64(size) > int64(len(header)) {
		return Info{}, errors.New("the header is cut off")
	}
	lead := make([]byte, leadSize)
	copy(lead, leadMagic)
	unsigned := append(bytes.Clone(headerMagic), make([]byte, 8)...)
	h, err := rpmutils.ReadHeader(bytes.NewReader(bytes.Join([][]byte{lead, unsigned, headerMagic, header}, nil)))
	if err != nil {
		return Info{}, err
	}
	// An imported key is noted as a package that has no architecture.
	if !h.HasTag(rpmutils.ARCH) {
		if info.Name, err = h.GetString(rpmutils.NAME); err == nil && info.Name == "" {
			err = errors.New("the header has no name")
		}
		return info, err
	}
	if info, err = infoOf(h); err == nil && (info.Name == "" || strings.HasPrefix(info.Version, "-")) {
		err = errors.New("the header names no package")
	}
	return info, err
}
