package release

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// prove gives a proof the contents as a copy does.
func prove(p *Proof, content []byte) error {
	if w := p.Whole(); w != nil {
		_, _ = w.Write(content)
		return p.Err()
	}
	for offset := 0; offset < len(content); offset += PieceBytes {
		if err := p.Piece()(int64(offset), content[offset:min(offset+PieceBytes, len(content))]); err != nil {
			return err
		}
	}
	return p.Err()
}

func TestAFileIsVouchedForMiBByMiB(t *testing.T) {
	const mib = 1 << 20
	for size, pieces := range map[int]int{0: 0, 1: 0, mib - 1: 0, mib: 0, mib + 1: 2, 2 * mib: 2, 3*mib + 77: 4} {
		content := random(size)
		f, err := NewFile("squashfs", iotest.HalfReader(bytes.NewReader(content)))
		if err != nil || f.Size != int64(size) || f.SHA256 != sumOf(content) || len(f.Pieces) != pieces || f.check() != nil {
			t.Fatalf("%d bytes: got %d, %s, %d pieces, %v", size, f.Size, f.SHA256, len(f.Pieces), err)
		}
		m, err := NewManifest(Manifest{Release: "20261121-101500", Architecture: "x86_64", Kernel: "6.1.0", Userland: "alpine 3.20", Files: []File{f}})
		if err != nil {
			t.Fatal(err)
		}
		if m, err = ParseManifest(m.JSON()); err != nil {
			t.Fatal(err)
		}
		f, _ = m.File("squashfs")
		if err := prove(f.Proof(), content); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		for _, at := range []int{0, size / 2, size - 1} {
			if size == 0 {
				break
			}
			content[at] ^= 1
			var wrong *MismatchError
			err := prove(f.Proof(), content)
			if !errors.As(err, &wrong) || pieces > 0 && (wrong.Offset != int64(at/mib*mib) || !strings.Contains(err.Error(), "from byte ")) {
				t.Errorf("%d bytes, byte %d flipped: %v", size, at, err)
			}
			content[at] ^= 1
		}
	}
	broken := errors.New("broken")
	if _, err := NewFile("squashfs", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// Manifests without pieces are those of today's nodes.
func TestAFileOfAManifestWithoutPiecesIsVerifiedAsAWhole(t *testing.T) {
	content := random(3 << 20)
	f, err := NewFile("squashfs", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	f.Pieces = nil
	if p := f.Proof(); p.Piece() != nil || prove(p, content) != nil {
		t.Error("it is not verified as a whole")
	}
	content[1<<20] ^= 1
	if err := prove(f.Proof(), content); err == nil || !strings.Contains(err.Error(), "its SHA-256 is ") {
		t.Errorf("got %v", err)
	}
}

func TestAProofWantsEveryPieceOfItsOwnSize(t *testing.T) {
	content := random(3<<20 + 5)
	f, err := NewFile("squashfs", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	p := f.Proof()
	for _, bad := range []struct{ offset, size int }{{1, 1 << 20}, {0, 1<<20 - 1}, {3 << 20, 4}, {4 << 20, 0}, {3 << 20, 1 << 20}} {
		if err := p.Piece()(int64(bad.offset), make([]byte, bad.size)); err == nil || !strings.Contains(err.Error(), "no piece") {
			t.Errorf("%d bytes from %d: %v", bad.size, bad.offset, err)
		}
	}
	if err := p.Piece()(0, content[:1<<20]); err != nil {
		t.Fatal(err)
	}
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "1048576 of its 3145733 bytes were verified") {
		t.Errorf("with one of four pieces: %v", err)
	}
}
