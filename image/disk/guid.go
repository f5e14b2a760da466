package disk

import (
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
)

var guidForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// DerivedGUID is a GUID that follows from the seed (a release's version) and
// the name of what bears it, so that an image is the same however often it is
// made. It is a UUID of version 8, the one for rules of one's own (RFC 9562).
func DerivedGUID(seed, name string) string {
	sum := sha256.Sum256([]byte("psyopsOS GUID\n" + seed + "\n" + name))
	return guid([16]byte(sum[:16]), 8)
}

// DerivedVolumeID is the like for FAT's volume ID.
func DerivedVolumeID(seed, name string) uint32 {
	sum := sha256.Sum256([]byte("psyopsOS volume ID\n" + seed + "\n" + name))
	return uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3])
}

func randomGUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read 16 random bytes for a GUID: %w", err)
	}
	return guid(b, 4), nil
}

func guid(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
