// crontab_name.go: an id for each line of a crontab, made of its command, so that people know it again.

package main

import (
	"path"
	"strconv"
	"strings"
)

// crontabMaxName is how many bytes an id has at most.
const crontabMaxName = 50

// crontabCarriers are words that stand before the program that matters.
const crontabCarriers = " sudo nice ionice chronic cronic nocache timeout flock exec env bash sh dash ksh zsh " +
	"python python3 perl php ruby node time nohup setsid run-one if then ! { ( run-parts invoke-rc.d service " +
	"systemctl restart reload try-restart uv "

// crontabNames gives each workflow an id that no other has: what it runs, with as many of its arguments as tell it from
// the others; at last with the name of its crontab, or a number.
func crontabNames(jobs []*crontabJob) {
	taken := map[string]bool{"defaults": true}
	count := map[string]int{}
	names := make([][]string, len(jobs))
	for i, j := range jobs {
		if j.Spec != nil {
			names[i] = j.names()
		}
		for _, name := range names[i] {
			count[name]++
		}
	}
	for i, j := range jobs {
		if j.Spec == nil {
			continue
		}
		id, last := "", ""
		for _, last = range names[i] {
			if id == "" && count[last] == 1 {
				id = last
			}
		}
		id = orDefault(id, last)
		if of := crontabName(path.Base(j.Source)); taken[id] && of != id {
			id += "-" + of
		}
		for n := 2; taken[id]; n++ {
			id = last + "-" + strconv.Itoa(n)
		}
		taken[id] = true
		j.Spec.ID, j.Spec.Tasks[0].ID = id, id
	}
}

// names gives what a line may be called, the shortest first.
func (j *crontabJob) names() (names []string) {
	words := []string{j.label}
	if j.label == "" {
		words = crontabNaming(j.Spec.Tasks[0].Run)
	}
	name := ""
	for _, word := range words {
		name = strings.Trim(name+"-"+crontabName(word), "-")
		if len(name) > crontabMaxName {
			break
		}
		if name != "" && (names == nil || name != names[len(names)-1]) {
			names = append(names, name)
		}
	}
	if names == nil {
		return []string{"job"}
	}
	return names
}

// crontabNaming gives the words of a command that tell what it does: the program, and arguments that are no options.
func crontabNaming(run string) (words []string) {
	parts, _, _ := shellSplit(run)
	for i, p := range parts {
		_, test := crontabTest(p.text)
		if i == len(parts)-1 || !test && crontabMatch(`^(cd|\.|sleep) |^\w+=`, p.text) == nil {
			run = p.text
			break
		}
	}
	if condition, body, is := shellIf(run); is {
		if _, test := crontabCondition(condition); test {
			run = body
		}
	}
	before := ""
	for _, word := range strings.Fields(run) {
		base := path.Base(strings.Trim(word, `'"();{}`))
		switch {
		case strings.ContainsAny(word, "<>|&"):
			return words
		case strings.HasPrefix(word, "-"), len(words) == 0 && (before == "-u" || before == "-n"),
			crontabMatch(`^(\d+[smhd]?$|\w+=)`, word) != nil,
			strings.Contains(crontabCarriers, " "+base+" "),
			len(words) > 0 && strings.ContainsAny(word, "$`*\\"):
		default:
			words = append(words, base)
		}
		if len(words) == 4 {
			break
		}
		before = word
	}
	return words
}

// crontabName makes a word fit for an id: small letters, digits and dashes.
func crontabName(word string) string {
	for _, ending := range []string{".sh", ".py", ".pl", ".php", ".rb", ".js", ".bash"} {
		if name, ok := strings.CutSuffix(word, ending); ok && name != "" {
			word = name
		}
	}
	name := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
			return c
		case c >= 'A' && c <= 'Z':
			return c - 'A' + 'a'
		}
		return '-'
	}, word)
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	name = strings.Trim(name, "-_")
	return strings.TrimRight(name[:min(len(name), crontabMaxName)], "-_")
}
