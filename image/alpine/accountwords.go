package alpine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

type accountOptions struct {
	names []string
	flag  map[byte]bool
	value map[byte]string
	id    int // -1: the next that is free
}

func parseAccount(words []string) (o accountOptions, err error) {
	o = accountOptions{flag: map[byte]bool{}, value: map[byte]string{}, id: -1}
	withValue, without := "hgsGuk", "SDH"
	if words[0] == "addgroup" {
		withValue, without = "g", "S"
	}
	for rest := words[1:]; len(rest) > 0; {
		word := rest[0]
		rest = rest[1:]
		if !strings.HasPrefix(word, "-") {
			o.names = append(o.names, word)
			continue
		}
		for i := 1; i < len(word); i++ {
			letter := word[i]
			switch {
			case strings.IndexByte(without, letter) >= 0:
				o.flag[letter] = true
			case strings.IndexByte(withValue, letter) >= 0:
				value := word[i+1:]
				if value == "" && len(rest) > 0 {
					value, rest = rest[0], rest[1:]
				}
				o.value[letter] = value
				i = len(word)
			default:
				return o, fmt.Errorf("option -%c", letter)
			}
		}
	}
	number := o.value['u']
	if words[0] == "addgroup" {
		number = o.value['g']
	}
	if number != "" {
		if o.id, err = strconv.Atoi(number); err == nil && (o.id < 0 || o.id > maxID) {
			err = fmt.Errorf("number %d", o.id)
		}
	}
	bad := func(s string) bool { return strings.ContainsAny(s, ":\n\r\x00") }
	if err == nil && (len(o.names) < 1 || len(o.names) > 2 || slices.ContainsFunc(o.names, func(n string) bool { return !isWord(n) }) ||
		slices.ContainsFunc(slices.Collect(maps.Values(o.value)), bad)) {
		err = fmt.Errorf("names or values")
	}
	return o, err
}
