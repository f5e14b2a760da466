package alpine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"psyopsOS/image/tree"
)

// accounts are the users and groups of a tree.
type accounts struct {
	users, groups map[string]int // name → number
	primary       map[string]int // user → number of its group
	passwd        []string
	shadow        []string
	group         []string
}

const passwdFile, shadowFile, groupFile = "etc/passwd", "etc/shadow", "etc/group"

func readAccounts(t *tree.Tree) (a accounts, err error) {
	a = accounts{users: map[string]int{}, groups: map[string]int{}, primary: map[string]int{}}
	for name, lines := range map[string]*[]string{passwdFile: &a.passwd, shadowFile: &a.shadow, groupFile: &a.group} {
		if *lines, err = linesOf(t, name); err != nil {
			return a, err
		}
	}
	for _, line := range a.passwd {
		if f := strings.Split(line, ":"); len(f) == 7 {
			if a.users[f[0]], err = strconv.Atoi(f[2]); err == nil {
				a.primary[f[0]], err = strconv.Atoi(f[3])
			}
		}
	}
	for _, line := range a.group {
		if f := strings.Split(line, ":"); len(f) == 4 && err == nil {
			a.groups[f[0]], err = strconv.Atoi(f[2])
		}
	}
	if err != nil {
		err = fmt.Errorf("%s, %s: %w", passwdFile, groupFile, err)
	}
	return a, err
}

func linesOf(t *tree.Tree, name string) ([]string, error) {
	at, err := t.Follow(name)
	if err != nil {
		return nil, err
	}
	n, ok := t.Get(at)
	if !ok {
		return nil, nil
	}
	content, err := n.Content()
	return slices.DeleteFunc(strings.Split(string(content), "\n"), func(l string) bool { return l == "" }), err
}

// write puts the accounts into t.
func (a accounts) write(t *tree.Tree) error {
	for _, file := range []struct {
		name  string
		lines []string
		node  *tree.Node
	}{{passwdFile, a.passwd, nil}, {groupFile, a.group, nil}, {shadowFile, a.shadow, nil}} {
		if len(file.lines) == 0 {
			continue
		}
		n := tree.File(0o644, []byte(strings.Join(file.lines, "\n")+"\n"))
		if file.name == shadowFile {
			// Alpine's group of shadow, where there is one, may read it.
			n = n.With(0o640, 0, a.groups["shadow"])
		}
		if err := t.Add(file.name, n); err != nil {
			return err
		}
	}
	return nil
}

// run does what adduser and addgroup of busybox do. What is there already
// stays.
func (a *accounts) run(words []string) error {
	o, err := parseAccount(words)
	if err != nil {
		return err
	}
	switch {
	case len(o.names) == 2:
		return a.join(o.names[0], o.names[1])
	case words[0] == "addgroup":
		return a.addGroup(o.names[0], o.id, o.flag['S'])
	}
	return a.addUser(o)
}

const (
	maxID       = 256000 // busybox's
	noGroup     = 65533  // Alpine's nogroup
	firstSystem = 100
	firstPerson = 1000
)

func free(used map[string]int, system bool) int {
	id := firstPerson
	if system {
		id = firstSystem
	}
	taken := map[int]bool{}
	for _, n := range used {
		taken[n] = true
	}
	for taken[id] {
		id++
	}
	return id
}

func (a *accounts) addGroup(name string, id int, system bool) error {
	if _, there := a.groups[name]; there {
		return nil
	}
	if id < 0 {
		id = free(a.groups, system)
	}
	a.groups[name] = id
	a.group = append(a.group, fmt.Sprintf("%s:x:%d:", name, id))
	return nil
}

func (a *accounts) addUser(o accountOptions) error {
	name := o.names[0]
	if _, there := a.users[name]; there {
		return nil
	}
	if !o.flag['D'] && !o.flag['S'] {
		return fmt.Errorf("it would ask for a password")
	}
	id := o.id
	if id < 0 {
		id = free(a.users, o.flag['S'])
	}
	if id == 0 {
		return fmt.Errorf("it would be another root")
	}
	gid := noGroup
	if group := o.value['G']; group != "" {
		var there bool
		if gid, there = a.groups[group]; !there {
			return fmt.Errorf("there is no group %s", group)
		}
	} else if !o.flag['S'] {
		if err := a.addGroup(name, id, false); err != nil {
			return err
		}
		gid = a.groups[name]
	}
	home, shell, gecos := o.value['h'], o.value['s'], o.value['g']
	if home == "" {
		home = "/home/" + name
	}
	if shell == "" {
		shell = "/bin/sh"
		if o.flag['S'] {
			shell = "/bin/false"
		}
	}
	if gecos == "" {
		gecos = "Linux User,,,"
	}
	a.users[name], a.primary[name] = id, gid
	a.passwd = append(a.passwd, fmt.Sprintf("%s:x:%d:%d:%s:%s:%s", name, id, gid, gecos, home, shell))
	a.shadow = append(a.shadow, name+":!::0:::::") // no day of change: images are the same twice
	return nil
}

// join puts a user into a group.
func (a *accounts) join(user, group string) error {
	if _, there := a.users[user]; !there {
		return fmt.Errorf("there is no user %s", user)
	}
	for i, line := range a.group {
		f := strings.Split(line, ":")
		if len(f) != 4 || f[0] != group {
			continue
		}
		members := slices.DeleteFunc(strings.Split(f[3], ","), func(m string) bool { return m == "" })
		if !slices.Contains(members, user) {
			f[3] = strings.Join(append(members, user), ",")
			a.group[i] = strings.Join(f, ":")
		}
		return nil
	}
	return fmt.Errorf("there is no group %s", group)
}
