package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
)

// PieceBytes is the size of what the manifest vouches for piece by piece: one
// SHA-256 is one processor's work, and where no instruction helps it, it takes
// longer than the disk. Pieces are verified on all processors at once.
const PieceBytes = 1 << 20

// pieces is how many of them a file has. One that is a single piece needs no
// list: its own hash says it all.
func pieces(size int64) int {
	if size <= PieceBytes {
		return 0
	}
	return int((size + PieceBytes - 1) / PieceBytes)
}

// NewFile reads a member to its end.
func NewFile(path string, r io.Reader) (File, error) {
	f := File{Path: path}
	whole := sha256.New()
	var piece bytes.Buffer
	for {
		piece.Reset()
		n, err := io.Copy(io.MultiWriter(whole, &piece), io.LimitReader(r, PieceBytes))
		if err != nil {
			return File{}, err
		}
		if n > 0 {
			f.Pieces = append(f.Pieces, sumOf(piece.Bytes()))
		}
		if f.Size += n; n < PieceBytes {
			break
		}
	}
	f.SHA256 = hex.EncodeToString(whole.Sum(nil))
	if pieces(f.Size) == 0 {
		f.Pieces = nil
	}
	return f, nil
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A Proof compares a file's contents, while they are read, with what a manifest
// says of them: piece by piece where it does that, as a whole otherwise.
type Proof struct {
	file   File
	whole  hash.Hash
	proven atomic.Int64
}

// Proof begins one.
func (f File) Proof() *Proof { return &Proof{file: f, whole: sha256.New()} }

// Whole wants all bytes in order. It is nil where Piece wants them.
func (p *Proof) Whole() io.Writer {
	if p.file.Pieces != nil {
		return nil
	}
	return p.whole
}

// Piece wants each piece of the file, in any order and several at once, with
// where it begins. It is nil where Whole wants them.
func (p *Proof) Piece() func(offset int64, piece []byte) error {
	if p.file.Pieces == nil {
		return nil
	}
	return p.piece
}

func (p *Proof) piece(offset int64, piece []byte) error {
	i := offset / PieceBytes
	if offset%PieceBytes != 0 || i >= int64(len(p.file.Pieces)) || int64(len(piece)) != min(PieceBytes, p.file.Size-offset) {
		return fmt.Errorf("%d bytes from byte %d are no piece of it", len(piece), offset)
	}
	p.proven.Add(int64(len(piece)))
	if sum := sumOf(piece); sum != p.file.Pieces[i] {
		return &MismatchError{offset, int64(len(piece)), sum, p.file.Pieces[i]}
	}
	return nil
}

// Err is what is wrong when all has been read.
func (p *Proof) Err() error {
	if p.file.Pieces != nil {
		if proven := p.proven.Load(); proven != p.file.Size {
			return fmt.Errorf("%d of its %d bytes were verified", proven, p.file.Size)
		}
		return nil
	}
	if sum := hex.EncodeToString(p.whole.Sum(nil)); sum != p.file.SHA256 {
		return &MismatchError{Got: sum, Want: p.file.SHA256}
	}
	return nil
}

// A MismatchError says which bytes are not those that were signed.
type MismatchError struct {
	Offset, Size int64  // of the piece; a size of 0 means the whole file
	Got, Want    string // SHA-256
}

func (e *MismatchError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("its SHA-256 is %s, the manifest says %s", e.Got, e.Want)
	}
	return fmt.Sprintf("the SHA-256 of its %d bytes from byte %d is %s, the manifest says %s", e.Size, e.Offset, e.Got, e.Want)
}
