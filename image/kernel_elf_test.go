package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// koFile is a kernel module that does nothing but be indexed by depmod: an
// ELF file with what depmod looks at.
func koFile(alias string, exports, needs []string) []byte {
	strtab, symtab := "\x00", make([]elf.Sym64, 1)
	for _, name := range needs { // undefined symbols
		symtab = append(symtab, elf.Sym64{Name: uint32(len(strtab)), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_NOTYPE)})
		strtab += name + "\x00"
	}
	var symbols bytes.Buffer
	must(binary.Write(&symbols, binary.LittleEndian, symtab))
	return elfFile([]section{
		{".modinfo", elf.SHT_PROGBITS, "alias=" + alias + "\x00license=GPL\x00"},
		{"__ksymtab_strings", elf.SHT_PROGBITS, strings.Join(append(exports, ""), "\x00")},
		{".strtab", elf.SHT_STRTAB, strtab},
		{".symtab", elf.SHT_SYMTAB, symbols.String()},
	})
}

type section struct {
	name    string
	kind    elf.SectionType
	content string
}

// elfFile lays sections out behind the header, the table of sections last.
// The symbol table must come right after the strings of its names.
func elfFile(sections []section) []byte {
	names := "\x00"
	for _, s := range sections {
		names += s.name + "\x00"
	}
	names += ".shstrtab\x00"
	sections = append(sections, section{".shstrtab", elf.SHT_STRTAB, names})
	const headerSize, sectionSize = 64, 64
	body, table := strings.Builder{}, []elf.Section64{{}}
	for i, s := range sections {
		h := elf.Section64{Name: uint32(strings.Index(names, s.name+"\x00")), Type: uint32(s.kind),
			Off: uint64(headerSize + body.Len()), Size: uint64(len(s.content)), Addralign: 1}
		if s.kind == elf.SHT_SYMTAB {
			h.Link, h.Info, h.Entsize = uint32(i), 1, 24
		}
		table = append(table, h)
		body.WriteString(s.content)
	}
	header := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: headerSize,
		Shoff: uint64(headerSize + body.Len()), Shentsize: sectionSize, Shnum: uint16(len(table)), Shstrndx: uint16(len(table) - 1)}
	copy(header.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	var out bytes.Buffer
	must(binary.Write(&out, binary.LittleEndian, header))
	out.WriteString(body.String())
	must(binary.Write(&out, binary.LittleEndian, table))
	return out.Bytes()
}

// must is for what cannot fail: writing fixed-size values to memory.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
