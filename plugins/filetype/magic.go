package main

// magic is a format that is known by bytes at a place.
type magic struct {
	offset int
	bytes  string
	name   string
}

// magics are the formats that the library does not know or names wrongly, and those whose mark is far from the start.
func magics() []magic {
	return []magic{
		{0, "\x7fELF", "elf"}, {0, "dex\n03", "dex"}, {0, "\x00asm\x01\x00\x00\x00", "wasm"}, {0, "Cr24", "crx"},
		{0, "\xfe\xed\xfa\xce", "macho"}, {0, "\xfe\xed\xfa\xcf", "macho"}, {0, "\xce\xfa\xed\xfe", "macho"}, {0, "\xcf\xfa\xed\xfe", "macho"},
		{0, "\x4c\x00\x00\x00\x01\x14\x02\x00", "lnk"},
		{0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "one"}, {0, "\xa1\x2f\xff\x43\xd9\xef\x76\x4c", "one"},
		{0, "{\\rt", "rtf"}, {0, "%!PS", "ps"}, {0, "\x04%!PS", "ps"}, {0, "\xc5\xd0\xd3\xc6", "eps"},
		{0, "ITSF", "chm"}, {0, "?_\x03\x00", "hlp"}, {0, "\x31\xbe\x00\x00\x00\xab", "wri"}, {0, "\x32\xbe\x00\x00\x00\xab", "wri"},
		{0, "\x00\x01\x00\x00Standard Jet DB", "mdb"}, {0, "\x00\x01\x00\x00Standard ACE DB", "accdb"}, {0, "\x78\x9f\x3e\x22", "tnef"},
		{0, "8BPS", "psd"}, {0, "AC10", "dwg"}, {0, "\xd7\xcd\xc6\x9a", "wmf"}, {0, "\x01\x00\x09\x00\x00\x03", "wmf"},
		{40, " EMF", "emf"},
		{0, "ID3", "mp3"}, {0, ".RMF", "rm"}, {0, "FWS", "swf"}, {0, "CWS", "swf"}, {0, "ZWS", "swf"},
		{0, "\x60\xea", "arj"}, {7, "**ACE**", "ace"}, {2, "-lh", "lha"}, {2, "-lz", "lha"}, {2, "-pm", "lha"},
		{0, "SZDD\x88\xf0\x27\x33", "szdd"}, {0, "SZ \x88\xf0\x27\x33\xd1", "szdd"}, {0, "KWAJ\x88\xf0\x27\xd1", "szdd"}, {0, "\x1f\x9d", "z"},
		{0, "\x1f\xa0", "z"}, {0, "070707", "cpio"}, {0, "070701", "cpio"}, {0, "070702", "cpio"}, {0, "\xc7\x71", "cpio"},
		{0, "\x71\xc7", "cpio"}, {0, "RE\x7e\x5e", "rar"}, {0, "Rar!\x1a\x07", "rar"}, {0, "\x04\x22\x4d\x18", "lz4"}, {0, "LZIP", "lz"},
		{0, "\x89LZO\x00\r\n\x1a\n", "lzo"}, {20, "\xdc\xa7\xc4\xfd", "zoo"}, {0, "xar!", "xar"}, {0, "MSWIM\x00\x00\x00", "wim"},
		{0, "hsqs", "squashfs"}, {0, "sqsh", "squashfs"}, {0, "StuffIt (c)", "sit"}, {0, "SIT!", "sit"}, {0, "QFI\xfb", "qcow2"},
		{0, "LRZI", "lrz"}, {0, "\x02\x21\x4c\x18", "lz4"}, {0, "\x5d\x00\x00", "lzma"}, {0, "\x5e\x00\x00", "lzma"},
		{0, "KDMV", "vmdk"}, {0, "# Disk DescriptorFile", "vmdk"}, {0, "conectix", "vhd"}, {0, "vhdxfile", "vhdx"},
		{0, "(This file must be converted with BinHex", "binhex"},
		{0x8001, "CD001", "iso"}, {0x8001, "BEA01", "udf"}, {0x8801, "BEA01", "udf"}, {0x9001, "BEA01", "udf"}, {0x9801, "BEA01", "udf"},
		{257, "ustar", "tar"},
	}
}

// short magics are believed only where more of the file fits.
func (m *magic) holds(head []byte) bool {
	le16 := func(at int) int { return int(head[at]) | int(head[at+1])<<8 }
	switch m.name {
	case "arj": // the size of the basic header, and of the first one in it
		return len(head) > 34 && le16(2) >= 30 && le16(2) <= 2600 && head[4] >= 30 && int(head[4]) <= le16(2)
	case "lha": // -lh5-: a sign, a method, a sign, and a level of the header
		return len(head) > 21 && head[6] == '-' && head[20] <= 3
	case "swf":
		return len(head) > 8 && head[3] < 64
	case "z":
		return len(head) > 3 && (head[1] == 0xa0 || head[2]&0x1f >= 9 && head[2]&0x1f <= 16)
	case "cpio":
		if head[0] == '0' {
			return len(head) >= 76
		}
		return len(head) >= 26
	case "lzma": // a dictionary of a whole power of two, and the size unknown or below a TiB
		return len(head) > 13 && head[13] == 0 && (head[12] == 0 && head[11] == 0 && head[10] == 0 || string(head[5:13]) == "\xff\xff\xff\xff\xff\xff\xff\xff")
	case "wmf":
		return len(head) > 18
	case "tnef":
		return len(head) > 6
	}
	return true
}

// tailMagics are formats whose mark is at a distance from the end.
func tailMagics() []magic {
	return []magic{{512, "koly", "dmg"}, {512, "conectix", "vhd"}}
}
