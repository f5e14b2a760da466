package main

import (
	"strings"
	"testing"
)

// Every setting can be looked up in one place: no key, flag or variable has
// two meanings, and all say what they mean.
func TestSettingsDoNotCollide(t *testing.T) {
	seen := map[string]string{}
	for _, s := range settingsTable(func(string) string { return "" }) {
		if s.Meaning == "" || strings.Count(s.Key, ".") != 1 {
			t.Errorf("%s: %q", s.Key, s.Meaning)
		}
		names := append([]string{s.Key}, s.Env...)
		if s.Flag != "" {
			names = append(names, "--"+s.Flag)
		}
		for _, name := range names {
			if other, twice := seen[name]; twice {
				t.Errorf("%s is %s and %s", name, other, s.Key)
			}
			seen[name] = s.Key
		}
		if words := s.Default; len(words) > 0 && words[0] != "" {
			if err := s.Validate(words); err != nil {
				t.Errorf("the default of %s: %v", s.Key, err)
			}
		}
		if err := s.Validate(strings.Split(s.Sample, ",")); s.Sample != "" && s.List && err != nil {
			t.Errorf("the sample of %s: %v", s.Key, err)
		}
	}
}
