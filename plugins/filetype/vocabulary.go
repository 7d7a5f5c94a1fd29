package main

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// kind is one type that content fits.
type kind struct {
	name     string // by its usual extension
	category string
	media    string
}

// macro is the second type of an Office file of whatever format that carries VBA.
const macro = "macro"

// other is the category of what is in none.
const other = "other"

func categories() []string {
	return []string{"executable", "document", "image", "media", "compressed", "script"}
}

// members are the types of each category. Words that detection never gives by itself (sys beside exe) are here because a policy may say them
// where the content cannot tell the two apart: see aliases.
func members() map[string]string {
	return map[string]string{
		"executable": "exe dll sys scr msi msp elf so macho com class lnk url dex wasm ne le crx appx",
		"document": "doc docx docm dot dotx dotm xls xlsx xlsm xlsb xlt xltx xltm xlam ppt pptx pptm pot potx potm pps ppsx ppsm rtf pdf wri " +
			"vsd vsdx vsdm odt ods odp odg odf ott ots otp fodt ps eps chm hlp pub mpp one onepkg epub xps oxps msg eml mbox mht html " +
			"tnef mdb accdb iwork hwp ooxml-encrypted ole macro",
		"image": "jpg jpeg gif png bmp tiff tif ico cur psd wmf emf svg webp jp2 heic heif avif djvu pcx dwg jxl",
		"media": "mp3 wav mid midi wma ogg oga ogv opus aac avi mpeg mpg mov wmv asf flv swf mp4 m4a m4v mkv webm flac aiff au amr 3gp rm",
		"compressed": "zip rar 7z gz bz2 xz tar arj ace cab lzh lha iso img jar war zst lz4 lz lzma lzo lzw cpio ar deb rpm z dmg vhd vhdx " +
			"vmdk qcow2 udf szdd arc zoo apk xar wim squashfs sit lrz kmz uue binhex",
		"script": "js jse vbs vbe vba ps1 bat cmd sh py pl rb php hta wsf sct lua tcl",
	}
}

// aliases are other words for what detection names.
func aliases() map[string]string {
	return map[string]string{
		"jpeg": "jpg", "tif": "tiff", "mpg": "mpeg", "midi": "mid", "opus": "ogg", "oga": "ogg", "ogv": "ogg", "oxps": "xps", "htm": "html",
		"mhtml": "mht", "dot": "doc", "xlt": "xls", "pot": "ppt", "pps": "ppt", "scr": "exe", "sys": "exe", "le": "exe", "so": "elf",
		"cmd": "bat", "lzw": "z", "lzh": "lha", "img": "iso",
		"pages": "iwork", "numbers": "iwork", "key": "iwork",
	}
}

// detector tells types; its index is made once.
type detector struct {
	categories map[string]string // by type
	aliases    map[string]string
	magics     [256][]magic // by the first byte, which is what keeps the look short
	distant    []magic      // those that do not begin at the start
	readers    *readers
}

func newDetector() *detector {
	d := &detector{categories: map[string]string{}, aliases: aliases(), readers: newReaders()}
	for category, list := range members() {
		for member := range strings.FieldsSeq(list) {
			d.categories[member] = category
		}
	}
	for _, m := range magics() {
		if m.offset == 0 {
			d.magics[m.bytes[0]] = append(d.magics[m.bytes[0]], m)
		} else {
			d.distant = append(d.distant, m)
		}
	}
	return d
}

// word is the policy's word as detection has it, or false where it means nothing.
func (d *detector) word(given string) (string, bool) {
	w := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(given), "."))
	if same, found := d.aliases[w]; found {
		w = same
	}
	return w, slices.Contains(categories(), w) || d.categories[w] != ""
}

// nearest is the known word that is most like the given one, or "".
func (d *detector) nearest(given string) string {
	const near = 3
	best, distance := "", near
	consider := func(w string) {
		far := levenshtein.Distance(strings.ToLower(given), w, nil)
		if far < distance || far == distance && best != "" && w < best {
			best, distance = w, far
		}
	}
	for _, c := range categories() {
		consider(c)
	}
	for w := range d.categories {
		consider(w)
	}
	if distance >= len(given) {
		return ""
	}
	return best
}

// category is that of the type; where the type is in no list, its media type may still say it.
func (d *detector) category(name, media string) string {
	if category, known := d.categories[name]; known {
		return category
	}
	switch top, _, _ := strings.Cut(media, "/"); top {
	case "image":
		return "image"
	case "audio", "video":
		return "media"
	}
	return other
}
