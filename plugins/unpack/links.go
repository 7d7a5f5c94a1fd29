package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"strings"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	_ "golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"
)

// maxLink is the length of a link.
const maxLink = 4096

// link reports a link that a document shows; addresses of mail and telephones are none.
func (j *job) link(f file, raw, text string) error {
	raw = strings.TrimSpace(raw)
	if len(raw) > 4 && strings.EqualFold(raw[:4], "www.") {
		raw = "http://" + raw
	}
	if !strings.Contains(raw, "://") || len(raw) > maxLink {
		return nil
	}
	if err := j.out.Link(f.number, raw, text); err != nil {
		return errOutside{err}
	}
	return nil
}

// maxRelations bounds the file of relations that is read.
const maxRelations = 4 << 20

// relations reports the external targets of an Office document's relations (ECMA-376 part 2).
func (j *job) relations(f file, data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	for {
		token, err := d.RawToken()
		if err != nil {
			// Broken relations are the document's own trouble, and scanners see the file.
			return nil
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "Relationship" {
			continue
		}
		target, kind, external := "", "", false
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "Target":
				target = a.Value
			case "Type":
				kind = a.Value[strings.LastIndexByte(a.Value, '/')+1:]
			case "TargetMode":
				external = strings.EqualFold(a.Value, "External")
			}
		}
		if external {
			if err := j.link(f, target, kind); err != nil {
				return err
			}
		}
	}
}

// Bounds of pictures that are looked at for QR codes.
const (
	maxPictures     = 12
	maxPictureBytes = 8 << 20
	maxPixels       = 24 << 20
	minSide         = 40
	maxSide         = 1200 // larger ones are made smaller
)

func isPicture(f file) bool {
	return begins("\x89PNG\r\n", "\xff\xd8\xff", "GIF8")(f) || len(f.data) > 12 && string(f.data[:4]) == "RIFF" && string(f.data[8:12]) == "WEBP" ||
		len(f.data) > 18 && f.data[0] == 'B' && f.data[1] == 'M' && f.data[14] < 128 && f.data[15] == 0 && f.data[16] == 0
}

// picture reports the links in a picture's QR codes. A picture that cannot be read shows nothing to anybody: it is no trouble. What stands
// behind a picture may be an archive.
func (j *job) picture(f file) error {
	if err := j.archivesInside(f); err != nil {
		return err
	}
	if j.pictures++; j.pictures > maxPictures || len(f.data) > maxPictureBytes {
		return nil
	}
	config, _, err := image.DecodeConfig(f.reader())
	if err != nil || config.Width < minSide || config.Height < minSide || config.Width*config.Height > maxPixels {
		return nil
	}
	if err := j.inTime(); err != nil {
		return err
	}
	decoded, _, err := image.Decode(&timed{job: j, r: f.reader()})
	if err != nil {
		return nil
	}
	for _, text := range qrCodes(j.ctx, decoded) {
		for _, link := range linksIn(text) {
			if err := j.link(f, link, "QR code"); err != nil {
				return err
			}
		}
	}
	return nil
}

// linksIn are the links in the text of a code, which is one itself or holds some, as contacts do.
func linksIn(text string) []string {
	lower := strings.ToLower(text)
	if !strings.ContainsAny(text, "\n;") || strings.HasPrefix(lower, "http") && !strings.ContainsAny(text, " \n") {
		return []string{text}
	}
	var out []string
	for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return c <= ' ' || c == ';' }) {
		if i := strings.Index(strings.ToLower(word), "http"); i >= 0 {
			out = append(out, word[i:])
		}
	}
	return out
}

// qrCodes reads one QR code that is dark on light and one that is light on dark.
func qrCodes(ctx context.Context, picture image.Image) []string {
	gray := grayOf(picture)
	var out []string
	for _, inverted := range []bool{false, true} {
		if ctx.Err() != nil {
			return out
		}
		if inverted {
			for i := range gray.Pix {
				gray.Pix[i] = ^gray.Pix[i]
			}
		}
		if text, err := readQR(gray); err == nil {
			out = append(out, text)
		}
	}
	return out
}

// grayOf makes a picture gray, on white where it is transparent, and not larger than is looked at.
func grayOf(picture image.Image) *image.Gray {
	b := picture.Bounds()
	width, height := b.Dx(), b.Dy()
	if side := max(width, height); side > maxSide {
		width, height = max(1, width*maxSide/side), max(1, height*maxSide/side)
	}
	gray := image.NewGray(image.Rect(0, 0, width, height))
	draw.Draw(gray, gray.Bounds(), image.White, image.Point{}, draw.Src)
	if width == b.Dx() && height == b.Dy() {
		draw.Draw(gray, gray.Bounds(), picture, b.Min, draw.Over)
	} else {
		draw.ApproxBiLinear.Scale(gray, gray.Bounds(), picture, b, draw.Over, nil)
	}
	return gray
}

func readQR(gray *image.Gray) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reader of QR codes: %v", p)
		}
	}()
	bitmap, err := gozxing.NewBinaryBitmap(gozxing.NewHybridBinarizer(gozxing.NewLuminanceSourceFromImage(gray)))
	if err != nil {
		return "", err
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		return "", err
	}
	return result.GetText(), nil
}

// readSome reads at most n bytes; a short file is no error.
func readSome(r io.Reader, n int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, n))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return data, err
}
