package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// The sizes beyond which no report is read.
const (
	largestBrief  = 4 << 20
	largestReport = 32 << 20
	deepestXML    = 64
)

// status is where the appliance is with a sample.
type status int

const (
	unknownStatus status = iota
	notFound
	arrived
	processing
	done
	failed
	timedOut
)

// statusOf reads a status, by its name or by its place among the names. What it does not know is no end of the analysis.
func statusOf(text string) status {
	text = strings.TrimSpace(text)
	for i, name := range []string{"NotFound", "Arrived", "Processing", "Done", "Error", "Timeout"} {
		if strings.EqualFold(text, name) || text == strconv.Itoa(i) {
			return notFound + status(i)
		}
	}
	return unknownStatus
}

// rating is a level as the appliance writes it.
type rating struct {
	risk        analyzer.Risk // NoLevel where it is none
	unsupported bool
}

// ratingOf reads a level. Everything but 0 to 3 is none.
func ratingOf(text string, unsupported int) rating {
	text = strings.TrimSpace(text)
	number, err := strconv.Atoi(text)
	switch {
	case strings.EqualFold(text, "unsupported") || err == nil && number == unsupported:
		return rating{unsupported: true}
	case err != nil || number < 0 || number > 3:
		return rating{}
	}
	return rating{risk: analyzer.NoRisk + analyzer.Risk(number)}
}

// brief is what a brief report says of one sample.
type brief struct {
	SHA1       string `xml:"SHA1"`
	SampleSHA1 string `xml:"SampleSHA1"`
	FileSHA1   string `xml:"FileSHA1"`
	Status     string `xml:"STATUS"`
	RiskLevel  string `xml:"RiskLevel"`
}

// hash is the sample that the report is about, or "" where it does not say: builds name it differently.
func (b *brief) hash() string {
	for _, hash := range []string{b.SHA1, b.SampleSHA1, b.FileSHA1} {
		if hash = strings.ToLower(strings.TrimSpace(hash)); hash != "" {
			return hash
		}
	}
	return ""
}

func parseBrief(raw []byte) ([]brief, error) {
	var answer struct {
		XMLName xml.Name
		Reports []brief `xml:"BRIEF_REPORT"`
		Nested  []brief `xml:"REPORT>BRIEF_REPORT"`
	}
	if err := parseXML(raw, &answer); err != nil {
		return nil, fmt.Errorf("read brief report: %w", err)
	}
	if name := answer.XMLName.Local; name != "REPORT" && name != "REPORTS" {
		return nil, errors.New("read brief report: it is something else")
	}
	return append(answer.Reports, answer.Nested...), nil
}

// full is what a full report says of its sample.
type full struct {
	hash       string
	level      string
	names      []string
	violations []string
}

func parseFull(raw []byte) (*full, error) {
	var answer struct {
		XMLName xml.Name
		Files   []struct {
			FileSHA1   string   `xml:"FileSHA1"`
			VirusName  []string `xml:"VirusName"`
			Violations []struct {
				Attributes []xml.Attr `xml:",any,attr"`
				Events     []struct {
					Event   string `xml:"Event"`
					Details string `xml:"Details"`
				} `xml:"AnalysisViolatedEvent"`
			} `xml:"AnalysisViolation"`
		} `xml:"FILE_ANALYZE_REPORT"`
		Overall string `xml:"OVERALL_RISK_LEVEL"`
	}
	if err := parseXML(raw, &answer); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if answer.XMLName.Local != "REPORTS" || len(answer.Files) == 0 {
		return nil, errors.New("read report: it is about no file")
	}
	r := &full{hash: strings.ToLower(strings.TrimSpace(answer.Files[0].FileSHA1)), level: answer.Overall}
	for _, file := range answer.Files {
		for _, name := range file.VirusName {
			r.names = addText(r.names, name)
		}
		for _, violation := range file.Violations {
			for _, attribute := range violation.Attributes {
				r.violations = addText(r.violations, attribute.Value)
			}
			for _, event := range violation.Events {
				r.violations = addText(r.violations, strings.TrimSpace(event.Event+" "+event.Details))
			}
		}
	}
	return r, nil
}

// mostTexts bounds what of a report is told.
const mostTexts = 20

func addText(list []string, text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	for _, known := range list {
		if known == text {
			return list
		}
	}
	if text == "" || len(list) == mostTexts {
		return list
	}
	return append(list, text)
}

// parseXML reads one whole document. Types and entities of its own, which reports have none of, are refused.
func parseXML(raw []byte, into any) error {
	inner := &plain{decoder: xml.NewDecoder(bytes.NewReader(raw))}
	decoder := xml.NewTokenDecoder(inner)
	if err := decoder.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	for {
		token, err := inner.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, begins := token.(xml.StartElement); begins {
			return errors.New("a second document follows")
		}
	}
}

// plain passes tokens on as long as they are those of a plain document.
type plain struct {
	decoder *xml.Decoder
	depth   int
}

func (p *plain) Token() (xml.Token, error) {
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token.(type) {
	case xml.Directive:
		return nil, errors.New("it declares types or entities")
	case xml.StartElement:
		if p.depth++; p.depth > deepestXML {
			return nil, errors.New("it is nested too deeply")
		}
	case xml.EndElement:
		p.depth--
	}
	return token, nil
}
