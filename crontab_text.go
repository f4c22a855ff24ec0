// crontab_text.go: a workflow of a crontab's line as a file. The first line of the file is a mark: from which crontab
// it is, and a checksum of all the rest, by which a later import knows whether somebody has edited the file.

package main

import (
	"fmt"
	"strings"
)

const (
	crontabMark    = "# Made by cdktr import crontab from "
	crontabMarkSum = ", checksum "
	crontabMarkEnd = ": once it is edited, import leaves it alone\n"
	crontabWide    = 90   // bytes of a command that stands on the line of its key
	crontabMaxLine = 1000 // bytes of the crontab's line that a file repeats
)

// crontabMarked puts the mark in front of a file.
func crontabMarked(source, text string) string {
	return fmt.Sprintf("%s%s%s%016x%s%s", crontabMark, source, crontabMarkSum, cronHash(text), crontabMarkEnd, text)
}

// crontabOrigin says from which crontab a file was made, "" where import has not made it, and whether it was edited
// since.
func crontabOrigin(text string) (source string, edited bool) {
	mark, rest, _ := strings.Cut(text, "\n")
	of, ok := strings.CutPrefix(mark, crontabMark)
	at := strings.LastIndex(of, crontabMarkSum)
	if !ok || at < 0 {
		return "", true
	}
	return of[:at], crontabMarked(of[:at], rest) != text
}

// file writes the workflow of a job.
func (j *crontabJob) file() string {
	w, task := j.Spec, &j.Spec.Tasks[0]
	var b strings.Builder
	if len(j.Text) <= crontabMaxLine && yamlPrintable(j.Text) {
		b.WriteString("#\n#   " + j.Text + "\n\n")
	}
	jitter, pool := "", ""
	if w.Jitter > 0 {
		jitter = w.Jitter.String()
	}
	if w.Pool != nil {
		pool = "anacron"
	}
	for _, key := range [][2]string{{"description", w.Description}, {"schedule", w.Schedule[0]},
		{"timezone", w.Timezone}, {"catchup", w.Catchup}, {"overlap", w.Overlap}, {"pool", pool}, {"jitter", jitter},
		{"user", w.User}, {"env", ""}, {"shell", w.Shell}, {"working_directory", w.WorkingDirectory}, {"if", w.If}} {
		switch {
		case key[0] == "schedule":
			key[1] = " " + yamlQuoted(key[1])
		case key[0] == "env" && len(w.Env) > 0:
			for _, name := range sortedKeys(w.Env) {
				key[1] += "\n  " + yamlText(name) + ": " + yamlText(w.Env[name])
			}
		case key[1] == "":
			continue
		default:
			key[1] = " " + yamlText(key[1])
		}
		b.WriteString(key[0] + ":" + key[1] + "\n")
	}
	b.WriteString("tasks:\n  " + yamlText(task.ID) + ":\n    run: " + yamlBlock(task.Run, "      ") + "\n")
	if task.Stdin != "" {
		b.WriteString("    stdin: " + yamlBlock(task.Stdin, "      ") + "\n")
	}
	if task.Timeout > 0 {
		b.WriteString("    timeout: " + task.Timeout.String() + "\n")
	}
	return crontabMarked(j.Source, b.String())
}

// yamlPrintable says whether a text of one line may stand in a YAML file as it is.
func yamlPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool {
		return c < ' ' && c != '\t' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffd
	})
}

// yamlText writes a text as a value on the line of its key.
func yamlText(text string) string {
	switch {
	case !yamlPrintable(text):
		return yamlQuoted(text)
	case text == "", strings.EqualFold(text, "null"), strings.Contains("!&*?|>%@`\"'#{}[],-:~= ", text[:1]),
		strings.Contains(text, ": "), strings.Contains(text, " #"), strings.HasSuffix(text, ":"),
		strings.TrimSpace(text) != text, strings.Contains(text, "\t"):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return text
}

// yamlBlock writes a text that may be long or have several lines. indent is that of the lines below its key.
func yamlBlock(text, indent string) string {
	body, style := strings.TrimSuffix(text, "\n"), "|"
	lines := strings.Split(body, "\n")
	if body == text {
		style = "|-"
		if len(lines) == 1 && len(text) <= crontabWide {
			return yamlText(text)
		}
	}
	for i, line := range lines {
		if !yamlPrintable(line) || i == 0 && strings.TrimLeft(line, crontabBlanks) != line ||
			i == len(lines)-1 && line == "" {
			return yamlQuoted(text)
		}
	}
	return style + "\n" + indent + strings.Join(lines, "\n"+indent)
}

// yamlQuoted writes a text in double quotes.
func yamlQuoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case !yamlPrintable(string(c)):
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
