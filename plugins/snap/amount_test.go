package main

import "testing"

func TestLargeSums(t *testing.T) {
	for text, want := range map[string]bool{
		"You get $3,500,000.00 now": true, "$ 12 000": true, "USD 25.000": true, "25.000,00 €": true, "Euro: 250000": true, "R$ 10.000": true,
		"100000 euros!": true, "12'500 CHF": true,
		"$ 3,500.00": false, "€ 999,99": false, "25.000 Leute": false, "Nr. 1234567": false, "$x 25.000": false, "$ 1234567890123": false,
		"$79.95 4. On": false, "$": false, "": false, "1,": false,
	} {
		if got := largeSum(text); (got != "") != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzLargeSum(f *testing.F) {
	f.Add("$ 12.000,00 EUR")
	f.Add("1, 2.3'4 \xff")
	f.Fuzz(func(_ *testing.T, text string) { largeSum(text) })
}
