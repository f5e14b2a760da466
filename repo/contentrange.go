package repo

import (
	"fmt"
	"strconv"
	"strings"
)

// A contentRange is which bytes of a file an answer brings, both ends
// included.
type contentRange struct {
	First, Last int64
	Total       int64 // of the file; -1 where the server does not know
}

// parseContentRange reads the header of that name: "bytes 100-199/1000".
func parseContentRange(text string) (contentRange, error) {
	wrong := fmt.Errorf("Content-Range %q, want bytes FIRST-LAST/TOTAL", text)
	span, total, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, last, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 || !strings.HasPrefix(text, "bytes ") {
		return contentRange{}, wrong
	}
	r := contentRange{Total: -1}
	var err [3]error
	r.First, err[0] = offset(first)
	r.Last, err[1] = offset(last)
	if total != "*" {
		r.Total, err[2] = offset(total)
	}
	if err != [3]error{} || r.Last < r.First || r.Total >= 0 && r.Last >= r.Total {
		return contentRange{}, wrong
	}
	return r, nil
}

// offset is a number of bytes in digits and nothing else.
func offset(text string) (int64, error) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return strconv.ParseInt(text, 10, 64)
}

func (r contentRange) String() string {
	total := "*"
	if r.Total >= 0 {
		total = strconv.FormatInt(r.Total, 10)
	}
	return fmt.Sprintf("bytes %d-%d/%s", r.First, r.Last, total)
}
