package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestPagesAreReadAsTheyAreSeen(t *testing.T) {
	tests := []struct{ html, seen, hidden string }{
		{`<p>a</p><p>b</p>`, "a b", ""},
		{`a<b>b</b>c<br>d`, "abc d", ""},
		{`a<div style="display:none">b<p>c</p></div>d`, "a d", "bc"},
		{`a<div style="DISPLAY : None !important">b</div>d`, "a d", "b"},
		{`a<span style="visibility:hidden">b</span>`, "a", "b"},
		{`a<span style="font-size:0px">b</span><span style="font-size:1pt">c</span><span style="font-size:0.9em">d</span>`, "ad", "bc"},
		{`a<span style="opacity:0">b</span>`, "a", "b"},
		{`a<div style="max-height:0;overflow:hidden">b</div><div style="max-height:0">c</div>`, "a c", "b"},
		{`a<span style="text-indent:-9999px">b</span>`, "a", "b"},
		{`a<span hidden>b</span>c`, "ac", "b"},
		{`a<font color=white>b</font>`, "a", "b"},
		{`<body bgcolor="#000"><font color=white>b</font>`, "b", ""},
		{`<body bgcolor="#000"><font color="#000000">b</font>`, "", "b"},
		{`<td background="x.png"><font color=white>b</font></td>`, "b", ""},
		{`<td style="background:url(x)" bgcolor=white><span style="color:#fff;background-image:url(y)">b</span></td>`, "b", ""},
		{`<div style="background-color:#0a0a0a;color:#0A0A0A">b</div>`, "", "b"},
		{`a<style>b{}</style><script>c</script><title>t</title>d`, "ad", ""},
		{`a<!-- b -->c`, "ac", ""},
		{`a<img src=x><input type=hidden value=b>c`, "ac", ""},
		{`a</div></p>b`, "a b", ""},
		{`a<div style="display:none">b`, "a", "b"},
		{`&lt;a&gt; &#228;`, "<a> ä", ""},
		{strings.Repeat("<div>", 2000) + "a", "a", ""},
	}
	for _, test := range tests {
		p := readPage(test.html)
		seen, hidden := strings.Join(strings.Fields(p.text), " "), strings.Join(strings.Fields(p.hidden), " ")
		if seen != test.seen || hidden != test.hidden {
			t.Errorf("%.80q: seen %q, hidden %q; want %q, %q", test.html, seen, hidden, test.seen, test.hidden)
		}
	}
}

func TestLinksOfPages(t *testing.T) {
	tests := []struct{ html, want string }{
		{`<a href="x">a <b>b</b></a>`, "x=a b"},
		{`<a href=x>a<a href=y>b</a>`, "x=a y=b"},
		{`<a href=x>a`, "x=a"},
		{`<a href=x><img src=i></a>`, "x=(image)"},
		{`<a name=x>a</a>`, ""},
		{`<map><area href=x></map>`, "x=(image)"},
		{`<a href=x>a<span style="display:none">b</span></a>`, "x=a"},
		{`<a href="a&amp;b" HREF=y>c</a>`, "a&b=c"},
	}
	for _, test := range tests {
		var got []string
		for _, l := range readPage(test.html).links {
			label := l.text
			if l.image {
				label += "(image)"
			}
			got = append(got, fmt.Sprintf("%s=%s", l.href, label))
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%q: %q, want %q", test.html, text, test.want)
		}
	}
}

func TestColours(t *testing.T) {
	for value, want := range map[string]string{
		"#FFF": "#ffffff", "ffffff": "#ffffff", "White": "#ffffff", "#abcdeg": "", "rgb(1,2,3)": "", "": "", "#ffffff none": "#ffffff", "#ffff": "",
	} {
		if got := colour(value); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
}
