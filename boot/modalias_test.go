package boot

import (
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"
)

func TestMatchPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"*", "", true},
		{"*", "a/b", true},
		{"a*c", "abbc", true},
		{"a*c", "abbcd", false},
		{"a*b*c", "aXbYbZc", true},
		{"*a*b", "ab_ab", true},
		{"?", "", false},
		{"a?c", "abc", true},
		{"[a-c]x", "bx", true},
		{"[a-c]x", "dx", false},
		{"[!a-c]x", "dx", true},
		{"[^a-c]x", "ax", false},
		{"[]]", "]", true},
		{"[a-]", "-", true},
		{"[", "[", true},
		{"[a", "[a", true},
		{"[a", "a", false},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`\`, `\`, true},
		{"*[0-9]*e", "a1b2e", true},
	} {
		if got := matchPattern(c.pattern, c.s); got != c.want {
			t.Errorf("%q with %q: got %t, want %t", c.pattern, c.s, got, c.want)
		}
	}
}

const aliasTable = `# Aliases extracted from modules themselves.
alias virtio:d00000002v* virtio_blk
alias virtio:d00000001v* virtio_net
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias pci:v00008086d00002922sv*sd*bc*sc*i* ahci
alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb-storage
alias usb:v0781p558[0-2]d0[0-5]*dc*dsc*dp*ic*isc*ip*in* ums-realtek
alias input:b*v*p*e*-e*0,*k*r*a*m*l*s*f*w* evbug
alias fs-ext4 ext4
alias broken
alias of:N*T*Cvendor,x-y vendor_xy
`

func TestTheDriversOfADeviceAreFound(t *testing.T) {
	a := ParseAliases(aliasTable)
	for _, c := range []struct {
		name, modalias string
		want           []string
	}{
		{"by vendor", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", []string{"virtio_pci"}},
		{"by class and by device, once", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", []string{"ahci"}},
		{"on a bus that a driver showed", "virtio:d00000002v00001AF4", []string{"virtio_blk"}},
		{"two drivers, the vaguer pattern first", "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00", []string{"usb_storage", "ums_realtek"}},
		{"a dash equals an underscore outside brackets", "input:b0019v0000p0001e0000-e0,1,k74,ramlsfw", []string{"evbug"}},
		{"a file system by its alias", "fs_ext4", []string{"ext4"}},
		{"a pattern with dashes", "of:NxTyCvendor,x_y", []string{"vendor_xy"}},
		{"nobody drives it", "acpi:PNP0C0A:", nil},
		{"an empty modalias", "", nil},
	} {
		if got := a.Match(c.modalias); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// The index must find what trying every pattern finds.
func FuzzAliases(f *testing.F) {
	f.Add(aliasTable, "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01")
	f.Add("alias "+strings.Repeat("long", 99)+"* x", strings.Repeat("long", 100))
	f.Add("alias a[-b]*c- x\nalias *-?\\[ y", "a-_c_")
	f.Fuzz(func(t *testing.T, table, modalias string) {
		a := ParseAliases(table)
		want := map[string]bool{}
		for _, e := range a.entries {
			if matchPattern(e.pattern, underscores(modalias)) {
				want[moduleName(e.module)] = true
			}
		}
		got := map[string]bool{}
		for _, m := range a.Match(modalias) {
			got[m] = true
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// Where no slash and no set is involved, path.Match means the same.
func FuzzMatchPattern(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add(`*a\*?*`, "ba*c")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := matchPattern(pattern, s)
		if strings.ContainsAny(pattern+s, "/[") || strings.HasSuffix(pattern, `\`) || !ascii(pattern+s) {
			return
		}
		if want, err := path.Match(pattern, s); err == nil && got != want {
			t.Errorf("%q with %q: got %t, want %t", pattern, s, got, want)
		}
	})
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 126 }) < 0
}

// syntheticAliases is as big as a generic kernel's table, and alike.
func syntheticAliases() string {
	var b strings.Builder
	for i := range 18000 {
		fmt.Fprintf(&b, "alias pci:v%08Xd%08Xsv*sd*bc*sc*i* driver_%d\n", 0x1000+i%150, i, i%900)
	}
	for i := range 6000 {
		fmt.Fprintf(&b, "alias usb:v%04Xp%04Xd*dc*dsc*dp*ic*isc*ip*in* usb_%d\n", i%700, i, i%400)
	}
	for i := range 60 {
		fmt.Fprintf(&b, "alias pci:v*d*sv*sd*bc%02Xsc%02Xi* class_%d\n", i%20, i, i)
	}
	return b.String()
}

func BenchmarkParseAliases(b *testing.B) {
	table := syntheticAliases()
	b.SetBytes(int64(len(table)))
	for b.Loop() {
		ParseAliases(table)
	}
}

// A machine's 200 devices against a generic kernel's 24,060 patterns.
func BenchmarkMatchDevices(b *testing.B) {
	a := ParseAliases(syntheticAliases())
	for b.Loop() {
		for i := range 200 {
			a.Match(fmt.Sprintf("pci:v%08Xd%08Xsv00001AF4sd00001100bc01sc06i01", 0x1000+i%150, i))
		}
	}
}
