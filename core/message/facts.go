package message

import "time"

// Exception names what an `exception` block of the policy is about: something that kept Postern from judging. An exception is a
// fact, never a verdict (promise 3).
type Exception string

// The exceptions, each with a block of its own in the policy.
const (
	ExceptionMalformed         Exception = "malformed_message"
	ExceptionSecuritySettings  Exception = "security_settings"
	ExceptionEncryption        Exception = "encryption"
	ExceptionVirtualAnalyzer   Exception = "virtual_analyzer"
	ExceptionPluginUnavailable Exception = "plugin_unavailable"
)

// Exceptions returns every exception, in the order in which they are shown.
func Exceptions() []Exception {
	return []Exception{
		ExceptionMalformed, ExceptionSecuritySettings, ExceptionEncryption, ExceptionVirtualAnalyzer, ExceptionPluginUnavailable,
	}
}

// Trouble is one typed obstacle.
type Trouble struct {
	Exception Exception `json:"exception"`
	// Reason is a stable lower-case token: "mime_depth", "archive_ratio", "timeout", "crash" and so on.
	Reason string `json:"reason"`
	// Detail says it in words for logs and notifications; it holds no message content but names.
	Detail string `json:"detail,omitempty"`
	// Part is the ID of the part concerned, -1 where it is the whole message.
	Part int `json:"part"`
	// Plugin is who reported it or failed, "" for the core.
	Plugin string `json:"plugin,omitempty"`
}

// AsFinding is the trouble in the form in which a release waives it.
func (t *Trouble) AsFinding() Finding {
	return Finding{Plugin: t.Plugin, Kind: string(t.Exception), Certainty: Sure, Name: t.Reason, Part: t.Part, Evidence: t.Detail}
}

// Certainty tells a sure detection from one that the sandbox has to confirm.
type Certainty string

// The certainties.
const (
	Sure     Certainty = "sure"
	Possible Certainty = "possible"
)

// Finding is one thing a scanner saw.
type Finding struct {
	Plugin string `json:"plugin"`
	// Query is the number of the scan configuration the finding answers (policy.Query.Number).
	Query int `json:"query"`
	// Kind says what sort of thing it is: "virus", "social", "type", "name", "object", or a plugin's own word.
	Kind      string    `json:"kind"`
	Certainty Certainty `json:"certainty"`
	// Name is the malware's or pattern's name ("Eicar-Test-Signature"), a type, or a file name.
	Name string `json:"name"`
	// Part is the ID of the part it was found in, -1 where it is about the message.
	Part int `json:"part"`
	// Evidence is why, in words: offset, pattern, value. It is shown to operators.
	Evidence string `json:"evidence,omitempty"`
	// ObjectAction is the scan action of the suspicious object that matched: none, log, block, quarantine.
	ObjectAction string `json:"object_action,omitempty"`
}

// Report is a plugin's whole answer for one message.
type Report struct {
	Plugin string `json:"plugin"`
	// Digest, Version and Signatures say which plugin build with which data answered.
	Digest     string    `json:"digest"`
	Version    string    `json:"version"`
	Signatures string    `json:"signatures,omitempty"`
	Queries    []int     `json:"queries"` // the queries that were asked
	Findings   []Finding `json:"findings,omitempty"`
	Troubles   []Trouble `json:"troubles,omitempty"`
	// Skipped says that the plugin was not called because the message has none of its declared inputs.
	Skipped bool          `json:"skipped,omitempty"`
	Took    time.Duration `json:"took"`
}

// Answers reports whether the report covers the query: it was asked, or rightly not asked.
func (r *Report) Answers(query int) bool {
	if r.Skipped {
		return true
	}
	for _, q := range r.Queries {
		if q == query {
			return true
		}
	}
	return false
}

// Facts are all that Evaluate may know about one message.
type Facts struct {
	Tree    Tree              `json:"tree"`
	Reports map[string]Report `json:"reports"` // by plugin name
	// Revision is the policy revision whose query numbers the reports use.
	Revision string `json:"revision"`
}

// SampleKey identifies what is given to the sandbox : a file by its digest and the name it is presented under, or a whole message.
type SampleKey struct {
	SHA256    string `json:"sha256"`
	Kind      string `json:"kind"` // file | url | message
	Extension string `json:"extension,omitempty"`
}

// Sample is one thing a rule wants analysed, and where it stands.
type Sample struct {
	Key     SampleKey `json:"key"`
	SHA1    string    `json:"sha1"`
	Part    int       `json:"part"` // -1: the message as it came
	Display string    `json:"display"`
	Size    int64     `json:"size"`
	// Rule is the rule that waits for it first.
	Rule string `json:"rule"`
}

// RiskLevel is the sandbox's answer.
type RiskLevel int

// The risk levels. RiskNone is an answer; a verdict that has no level is a Trouble, not a RiskLevel.
const (
	RiskNone RiskLevel = iota
	RiskLow
	RiskMedium
	RiskHigh
)

func (r RiskLevel) String() string {
	switch r {
	case RiskNone:
		return "no risk"
	case RiskLow:
		return "low"
	case RiskMedium:
		return "medium"
	case RiskHigh:
		return "high"
	}
	return "invalid"
}

// VerdictState says how an analysis ended.
type VerdictState string

// The states a verdict can have.
const (
	VerdictDone        VerdictState = "done"        // Level is valid
	VerdictFailed      VerdictState = "failed"      // the sandbox gave up, or answered without a valid level
	VerdictUnsupported VerdictState = "unsupported" // the sandbox does not take this kind of sample
	VerdictExpired     VerdictState = "expired"     // the deadline passed
)

// Verdict is the end of one sample's analysis.
type Verdict struct {
	State    VerdictState `json:"state"`
	Level    RiskLevel    `json:"level"`
	Analyzer string       `json:"analyzer"`
	Name     string       `json:"name,omitempty"`
	Detail   string       `json:"detail,omitempty"`
	At       time.Time    `json:"at"`
}

// SampleVerdict is a verdict with the sample it is about.
type SampleVerdict struct {
	Key     SampleKey `json:"key"`
	Verdict Verdict   `json:"verdict"`
}

// Waiver is one finding that an operator's release took out of judgement for some recipients.
type Waiver struct {
	Plugin     string    `json:"plugin"`
	Kind       string    `json:"kind"`
	Name       string    `json:"name"`
	Certainty  Certainty `json:"certainty"`
	Recipients []string  `json:"recipients"` // empty: all
	By         string    `json:"by"`
	At         time.Time `json:"at"`
}

// Waives reports whether the waiver covers the finding for the recipient.
func (w *Waiver) Waives(f *Finding, recipient string) bool {
	if w.Plugin != f.Plugin || w.Kind != f.Kind || w.Name != f.Name || w.Certainty != f.Certainty {
		return false
	}
	if len(w.Recipients) == 0 {
		return true
	}
	for _, r := range w.Recipients {
		if r == recipient {
			return true
		}
	}
	return false
}
