// Package boottest has complete fakes of what the boot touches.
package boottest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Modules is a kernel that takes modules. It implements boot.Modules.
type Modules struct {
	Devices []string            // modaliases that are there from the start
	Reveals map[string][]string // modaliases that a module shows once it is loaded
	Present []string            // modules loaded by somebody else
	Refuses map[string]error    // by module
	Broken  error               // of Loaded and Modaliases

	Inserted   []string          // modules, in order
	Parameters map[string]string // of those inserted with any

	mu sync.Mutex // lines of the boot ask side by side
}

// Insert takes a file's module.
func (m *Modules) Insert(file, parameters string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, extension, _ := strings.Cut(filepath.Base(file), ".")
	if !strings.HasPrefix(extension, "ko") {
		return fmt.Errorf("%s is not a module", file)
	}
	name = strings.ReplaceAll(name, "-", "_")
	if err := m.Refuses[name]; err != nil {
		return err
	}
	if slices.Contains(m.Inserted, name) {
		return nil
	}
	m.Inserted = append(m.Inserted, name)
	if parameters != "" {
		if m.Parameters == nil {
			m.Parameters = map[string]string{}
		}
		m.Parameters[name] = parameters
	}
	return nil
}

// Loaded lists what is present and what was inserted.
func (m *Modules) Loaded() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Concat(m.Present, m.Inserted), m.Broken
}

// Modaliases lists the devices that the loaded modules show, on which bus
// stands at the beginning of what they ask for: those that are not known yet,
// which they are from then on.
func (m *Modules) Modaliases(known map[string]bool, buses ...string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.Devices)
	for _, name := range m.Inserted {
		all = append(all, m.Reveals[name]...)
	}
	all = slices.DeleteFunc(all, func(modalias string) bool {
		bus, _, _ := strings.Cut(modalias, ":")
		return len(buses) > 0 && !slices.Contains(buses, bus) || known[modalias]
	})
	for _, modalias := range all {
		known[modalias] = true
	}
	return all, m.Broken
}
