package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// timeFormat is how times are shown, in local time.
const timeFormat = "2006-01-02 15:04:05"

// format is how a listing is printed.
type format struct{ json, csv bool }

func (f *format) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, one object per line")
	cmd.Flags().BoolVar(&f.csv, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
}

// column is one column of a listing. Its value is text, texts, a number or a time.
type column[T any] struct {
	name  string
	value func(*T) any
	// detail columns are in CSV only: a terminal is not wide enough.
	detail bool
}

// table prints rows: objects as they are where JSON is asked for, their columns otherwise.
func table[T any](a *app, f format, rows []T, columns []column[T]) error {
	switch {
	case f.json:
		encoder := json.NewEncoder(a.out)
		for i := range rows {
			if err := encoder.Encode(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	case f.csv:
		return writeCSV(a, rows, columns)
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	shown := slices.DeleteFunc(slices.Clone(columns), func(c column[T]) bool { return c.detail })
	for n, c := range shown {
		fmt.Fprint(w, strings.ToUpper(c.name), ending(n, len(shown)))
	}
	for i := range rows {
		for n, c := range shown {
			fmt.Fprint(w, shorten(printable(text(c.value(&rows[i]), timeFormat))), ending(n, len(shown)))
		}
	}
	return w.Flush()
}

func ending(n, of int) string {
	if n == of-1 {
		return "\n"
	}
	return "\t"
}

func writeCSV[T any](a *app, rows []T, columns []column[T]) error {
	w := csv.NewWriter(a.out)
	cells := make([]string, len(columns))
	for n, c := range columns {
		cells[n] = c.name
	}
	if err := w.Write(cells); err != nil {
		return err
	}
	for i := range rows {
		for n, c := range columns {
			cells[n] = harmless(text(c.value(&rows[i]), time.RFC3339))
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// text is a cell.
func text(value any, layout string) string {
	switch v := value.(type) {
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.Local().Format(layout)
	case []string:
		return strings.Join(v, "; ")
	}
	return fmt.Sprint(value)
}

// harmless keeps a spreadsheet from taking what a sender wrote for a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// printable keeps what a sender wrote from steering the terminal.
func printable(cell string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, cell)
}

// widest is the most characters of a cell.
const widest = 60

func shorten(cell string) string {
	runes := []rune(cell)
	if len(runes) <= widest {
		return cell
	}
	return string(runes[:widest-1]) + "…"
}
