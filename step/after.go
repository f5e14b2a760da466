package step

import "fmt"

// ends are those of the steps that steps of other lines wait for, by name.
type ends map[string]*end

// An end comes for each such step, whether it is reached or its line ends
// before: nobody waits for ever.
type end struct {
	came    chan struct{}
	reached bool // the step has ended, and its line goes on
}

// newEnds refuses what nobody could wait for.
func newEnds(lines []Line) (ends, error) {
	times := map[string]int{}
	for _, line := range lines {
		for _, s := range line {
			times[s.Name]++
		}
	}
	awaited := ends{}
	for _, line := range lines {
		for _, s := range line {
			for _, name := range s.After {
				if times[name] != 1 {
					return nil, fmt.Errorf("%s waits for %s, which is %d times in the lines beside it", s.Name, name, times[name])
				}
				awaited[name] = &end{came: make(chan struct{})}
			}
		}
	}
	return awaited, nil
}

// await waits for what s comes after, and reports whether all of it was
// reached. Where it was not, the other line tells why.
func (e ends) await(s Step) bool {
	for _, name := range s.After {
		<-e[name].came
		if !e[name].reached {
			return false
		}
	}
	return true
}

func (e ends) reach(s Step) {
	if end := e[s.Name]; end != nil {
		end.reached = true
		close(end.came)
	}
}

// leave is of steps that will not be run.
func (e ends) leave(line Line) {
	for _, s := range line {
		if end := e[s.Name]; end != nil {
			close(end.came)
		}
	}
}
