package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"image/png"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// objectCells are all combinations, and the guide's scenarios.
func objectCells() ([]*objectCell, error) {
	var cells []*objectCell
	for list, fixed := range servedLists() {
		actions := []string{"none", "log", "block", "quarantine"}
		if fixed != "" {
			actions = []string{fixed}
		}
		for _, action := range actions {
			for _, kind := range []string{"sha1", "sha256"} {
				for depth := range 4 {
					c, err := fileCell(list, kind, action, depth)
					if err != nil {
						return nil, err
					}
					cells = append(cells, c)
				}
			}
			for _, kind := range []string{"exact", "prefix", "domain", "ip"} {
				for _, place := range []string{"text", "html", "pdf", "office", "qr"} {
					c, err := urlCell(list, kind, action, place, len(cells))
					if err != nil {
						return nil, err
					}
					cells = append(cells, c)
				}
			}
		}
	}
	more, err := scenarios()
	return append(cells, more...), err
}

func listLine(list, kind, value, action string, more ...string) string {
	line := kind + "," + value + "," + action
	for _, cell := range more {
		line += "," + cell
	}
	return line
}

func strict(action string) bool { return action == "block" || action == "quarantine" }

func fileCell(list, kind, action string, depth int) (*objectCell, error) {
	c := &objectCell{id: fmt.Sprintf("%s.%s.%s.%d", list, kind, action, depth), rule: fileRule, kept: strict(action)}
	c.place = []string{"file, attached", "file in a zip", "file in a zip in a zip", "file in a zip in a mail"}[depth]
	content := []byte("content of " + c.id)
	value := hex.EncodeToString(sum256(content))
	if kind == "sha1" {
		value = hex.EncodeToString(sumOne(content))
	}
	c.listed = map[string]string{list: listLine(list, kind, value, action)}
	name, wrapped := c.id+".dat", content
	c.attached = name
	var err error
	for level := range min(depth, 2) {
		if depth == 3 && level == 1 {
			break
		}
		if wrapped, err = zipped(name, wrapped); err != nil {
			return nil, err
		}
		name = fmt.Sprintf("%s.%d.zip", c.id, level)
		c.attached = name + "/" + c.attached
	}
	if depth == 3 {
		c.mail = forwarded(c.id, harness.Document("inner", name, wrapped))
	} else {
		c.mail = harness.Document(c.id, name, wrapped)
	}
	return c, nil
}

func sum256(content []byte) []byte { sum := sha256.Sum256(content); return sum[:] }
func sumOne(content []byte) []byte { sum := sha1.Sum(content); return sum[:] }

func forwarded(id string, inner []byte) []byte {
	return fmt.Appendf(nil, "From: alice@outside.example\r\nTo: bob@example.org\r\nSubject: %s\r\nMessage-ID: <%s@outside.example>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/mixed; boundary=\"=-o\"\r\n\r\n--=-o\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n--=-o\r\nContent-Type: message/rfc822\r\n\r\n"+
		"%s\r\n--=-o--\r\n", id, id, inner)
}

// urlCell is a mail with a link that is listed as it stands, by its beginning, by its domain, or by the address it leads to; written as
// senders do who do not want it to be recognised.
func urlCell(list, kind, action, place string, number int) (*objectCell, error) {
	c := &objectCell{id: fmt.Sprintf("%s.%s.%s.%s", list, kind, action, place), place: kind + " in " + place, rule: urlRule, kept: strict(action)}
	host := fmt.Sprintf("h%d.example", number)
	var objectType, value, link string
	switch kind {
	case "exact":
		objectType, value, link = "url", "http://"+host+"/a/b?c=1", "HTTPS://"+strings.ToUpper(host)+":443/x/../%61/b?c=1#part"
	case "prefix":
		objectType, value, link = "url", "http://"+host+"/kit/*", "http://"+host+"/kit/login.php?id=7"
	case "domain":
		objectType, value, link = "domain", host, "https://www.login."+host+"./any"
	case "ip":
		objectType, value = "ip", fmt.Sprintf("198.51.%d.%d", number/200, number%200+1)
		link = fmt.Sprintf("http://0xc6.0x33.%d.%d/any", number/200, number%200+1)
	}
	c.listed = map[string]string{list: listLine(list, objectType, value, action)}
	name, content := "", []byte(nil)
	var err error
	switch place {
	case "text":
		c.mail = fmt.Appendf(nil, "From: alice@outside.example\r\nTo: bob@example.org\r\nSubject: %s\r\nMessage-ID: <%s@outside.example>\r\n\r\nLook at %s now.\r\n",
			c.id, c.id, link)
		return c, nil
	case "html":
		c.mail = fmt.Appendf(nil, "From: alice@outside.example\r\nTo: bob@example.org\r\nSubject: %s\r\nMessage-ID: <%s@outside.example>\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: text/html\r\n\r\n<p><a href=\"%s\">look</a></p>\r\n", c.id, c.id, link)
		return c, nil
	case "pdf":
		name = c.id + ".pdf"
		content = fmt.Appendf(nil, "%%PDF-1.4\n1 0 obj\n<< /Type /Annot /Subtype /Link /A << /S /URI /URI (%s) >> >>\nendobj\ntrailer\n<< >>\n%%%%EOF\n", link)
	case "office":
		name = c.id + ".docx"
		content, err = zipOfTexts(map[string]string{
			"[Content_Types].xml": `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`,
			"word/document.xml":   `<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"/>`,
			"word/_rels/document.xml.rels": `<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
				`<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink" Target="` + link + `" TargetMode="External"/></Relationships>`,
		})
	case "qr":
		name = c.id + ".png"
		content, err = qrPicture(link)
	}
	if err != nil {
		return nil, err
	}
	c.attached = name
	c.mail = harness.Document(c.id, name, content)
	return c, nil
}

func qrPicture(text string) ([]byte, error) {
	matrix, err := qrcode.NewQRCodeWriter().Encode(text, gozxing.BarcodeFormat_QR_CODE, 300, 300, nil)
	if err != nil {
		return nil, fmt.Errorf("make QR code: %w", err)
	}
	var b bytes.Buffer
	err = png.Encode(&b, matrix)
	return b.Bytes(), err
}

// eicar is the test file, put together so that this source is none.
func eicar() []byte {
	text, _ := base64.StdEncoding.DecodeString("WDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJELUFOVElWSVJVUy1URVNULUZJTEUhJEgrSCo=") // it is what it is
	return text
}

// scenarios are the guide's two, an exception, the strictest of several lists, what has expired, and a mail with nothing.
func scenarios() ([]*objectCell, error) {
	digest := func(content []byte) string { return hex.EncodeToString(sum256(content)) }
	document := func(id string, content []byte, name string) []byte { return harness.Document(id, name, content) }
	known := &objectCell{id: "known.virus", place: "a known virus that is listed", rule: "Virus", kept: true, attached: "known.dat"}
	known.mail = document(known.id, eicar(), "known.dat")
	known.listed = map[string]string{"control_manager": listLine("", "sha256", digest(eicar()), "log")}
	packed, err := zipped("D44F.exe_name", []byte("an unknown program"))
	if err != nil {
		return nil, err
	}
	unknown := &objectCell{
		id: "unknown.file", place: "an unknown file that is listed", rule: fileRule, kept: true, attached: "Sample_Virus2.zip/D44F.exe_name",
		mail:   document("unknown.file", packed, "Sample_Virus2.zip"),
		listed: map[string]string{"control_manager": listLine("", "sha1", hex.EncodeToString(sumOne([]byte("an unknown program"))), "quarantine")},
	}
	several := &objectCell{
		id: "several.lists", place: "in several lists", rule: fileRule, kept: true, mail: document("several.lists", []byte("in several"), "s.dat"),
		listed: map[string]string{
			"control_manager": listLine("", "sha256", digest([]byte("in several")), "none"), "taxii": listLine("", "sha256", digest([]byte("in several")), ""),
			"misp": listLine("", "sha256", digest([]byte("in several")), ""),
		},
	}
	excepted := &objectCell{
		id: "excepted.file", place: "listed, and excepted", mail: document("excepted.file", []byte("excepted"), "x.dat"),
		listed: map[string]string{
			"taxii": listLine("", "sha256", digest([]byte("excepted")), ""),
			"file":  listLine("", "sha1", hex.EncodeToString(sumOne([]byte("excepted"))), "none", "", "our own tool", "yes"),
		},
	}
	exceptedLink := &objectCell{
		id: "excepted.link", place: "listed, and excepted", listed: map[string]string{
			"misp_feed": listLine("", "url", "http://good.partner.example/page", ""), "file": listLine("", "domain", "partner.example", "none", "", "", "yes"),
		},
		mail: []byte("From: a@outside.example\r\nTo: b@example.org\r\nSubject: excepted.link\r\nMessage-ID: <excepted.link@outside.example>\r\n\r\nhttp://good.partner.example/page\r\n"),
	}
	lasting := &objectCell{
		id: "lasting.file", place: "listed until later", rule: fileRule, kept: true, mail: document("lasting.file", []byte("lasting"), "l.dat"),
		listed: map[string]string{"misp_feed": listLine("", "sha256", digest([]byte("lasting")), "", time.Now().AddDate(1, 0, 0).Format(time.DateOnly))},
	}
	clean := &objectCell{id: "clean.mail", place: "nothing that is listed", mail: document("clean.mail", []byte("clean, https://www.example.org/"), "c.dat")}
	return []*objectCell{known, unknown, several, excepted, exceptedLink, lasting, clean}, nil
}

func zipOfTexts(files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(files[name]))
		}
		if err != nil {
			return nil, fmt.Errorf("make zip: %w", err)
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
