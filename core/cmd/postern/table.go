package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

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

// table prints rows: objects as they are where JSON is asked for, their columns otherwise.
func table[T any](a *app, f format, rows []T, head []string, columns func(*T) []string) error {
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
		w := csv.NewWriter(a.out)
		if err := w.Write(head); err != nil {
			return err
		}
		for i := range rows {
			cells := columns(&rows[i])
			for n := range cells {
				cells[n] = harmless(cells[n])
			}
			if err := w.Write(cells); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(head, "\t")))
	for i := range rows {
		cells := columns(&rows[i])
		for n := range cells {
			cells[n] = shorten(printable(cells[n]))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
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
