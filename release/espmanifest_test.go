package release

import (
	"reflect"
	"strings"
	"testing"
)

func FuzzParseESPManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"extra_programs":{"/memtest64.efi":"MemTest86 EFI (64-bit)","/tcshell.efi":"TianoCore EFI shell"}}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":2,"extra_programs":{"../x":"a"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseESPManifest(text)
		if err != nil {
			return
		}
		again, err := ParseESPManifest(m.JSON())
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%q: got %+v, %v, want %+v", text, again, err, m)
		}
	})
}

func TestAnESPManifestThatGRUBCouldMisreadIsRefused(t *testing.T) {
	for _, text := range []string{`{"version":2}`, `{`, `{"version":1,"extra_programs":{"a.efi":"A"}}`, `{"version":1,"extra_programs":{"/../a.efi":"A"}}`,
		`{"version":1,"extra_programs":{"/a b.efi":"A"}}`, `{"version":1,"extra_programs":{"/a.efi":""}}`, `{"version":1,"extra_programs":{"/a.efi":"A'"}}`,
		`{"version":1,"extra_programs":{"/a.efi":"` + strings.Repeat("A", 65) + `"}}`, strings.Repeat(" ", MaxESPManifest+1)} {
		if m, err := ParseESPManifest([]byte(text)); err == nil {
			t.Errorf("%.80s gave %+v", text, m)
		}
	}
}
