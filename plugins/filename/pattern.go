package main

import "strings"

// pattern is what a policy's word asks for.
type pattern struct {
	written string // as the policy has it
	folded  []rune
	// extension: the word has no dot. "doc" is the extension, as "*.doc" is, and "doc*" every extension that begins so.
	extension bool
	// path: the word has a slash, and is matched over the whole path of a member.
	path bool
}

func parseAll(words []string) []pattern {
	out := make([]pattern, 0, len(words))
	for _, written := range words {
		word := strings.TrimSpace(written)
		if strings.Trim(word, "*") == "" { // "*" is every name, and one without a dot too
			out = append(out, pattern{written: written, folded: []rune(word)})
			continue
		}
		word = strings.ReplaceAll(word, `\`, "/")
		p := pattern{written: written, path: strings.Contains(word, "/")}
		p.extension = !p.path && !strings.Contains(word, ".") && !strings.HasPrefix(word, "*")
		p.folded = []rune(fold(word))
		if p.extension {
			p.folded = append([]rune("*."), p.folded...)
		}
		out = append(out, p)
	}
	return out
}

// matches compares with a name in its folded form; path is the whole path, where there is one.
func (p *pattern) matches(name, path []rune) bool {
	if p.path {
		return len(path) > 0 && wildcard(p.folded, path)
	}
	return wildcard(p.folded, name)
}

// preset is a list of extensions (product behaviour: "recommended extensions to block", "commonly exchanged").
func preset(name string) []string {
	switch name {
	case "recommended":
		return strings.Fields("386 acm ade adp asp avb bas bat bin chm cla class cmd cnv com cpl cs* dll drv exe gms hlp hta htm html htt " +
			"inf ini ins isp jar js* jse lib lnk mde mht* mpd msc msi msp mst ocx ov* pcd pif ps1 reg scr sct shb shs sys tlb tsp url vb vbe vbs " +
			"vxd wbt wiz wsc wsf wsh iso img vhd vhdx one appref-ms xll library-ms search-ms settingcontent-ms")
	case "exchanged":
		return strings.Fields("doc docx docm xls xlsx xlsm ppt pptx pptm pdf rtf txt csv zip rar 7z gif jpg jpeg png bmp htm html")
	}
	return nil
}
