package main

import (
	"regexp"
	"slices"
	"strings"
)

// topics are those of words.tsv that are reasons by themselves; "role" only serves to read names.
func topics() []string {
	return []string{"urgency", "account", "verify", "prize", "money", "crypto", "parcel", "lure", "threat", "secrecy", "document", "click", "greeting"}
}

// pressing are the topics that ask something of the reader; several of them in one mail are how a deception is built.
func pressing() []string {
	return []string{"urgency", "account", "verify", "prize", "crypto", "parcel", "lure", "threat", "secrecy", "click", "greeting"}
}

// wordReasons looks for what deceivers write about: a phrase in the subject, several in the text.
func (st *state) wordReasons(m *mail, r *reasons) {
	subject := fold(m.subject)
	inSubject := st.lists.phrases.find(subject, words(subject))
	text := fold(m.text)
	list := words(text)
	inText := st.lists.phrases.find(text, list)
	several := 0
	for _, topic := range topics() {
		if found := inSubject[topic]; len(found) > 0 && topic != "click" && topic != "greeting" {
			r.add("subject-"+topic, "the subject speaks of %s: %s", about(topic), quoteAll(found))
		}
		found := inText[topic]
		if len(found) >= enough(topic, len(list)) {
			r.add("text-"+topic, "the text speaks of %s: %s", about(topic), quoteAll(found))
		}
		if slices.Contains(pressing(), topic) && (len(found) > 0 || len(inSubject[topic]) > 0) {
			several++
		}
	}
	if several >= 4 && len(list) <= 400*several/4 {
		r.add("text-several", "%d ways to press or lure its reader come together in %d words", several, len(list))
	}
	if st.lists.is(freeMail, m.author().domain) && len(inText["secrecy"]) > 0 && len(inText["money"]) > 0 {
		r.add("text-advance-fee", "money and secrecy from a mailbox that anybody can have: %s", quoteAll(append(inText["money"], inText["secrecy"]...)))
	}
	if sum := largeSum(m.subject + " " + m.text); sum != "" {
		r.add("text-large-sum", "it speaks of a large sum: %s", quote(sum))
	}
	if len(list) < 4 && (len(m.aims()) > 0 || m.pictured()) {
		r.add("text-none", "the mail shows %d words, and links or pictures", len(list))
	}
	st.bodyBrand(m, list, r)
	st.callReasons(m, inText, r)
}

// enough is how many phrases of a topic make a reason: in a long text a few of them are chance.
func enough(topic string, length int) int {
	switch {
	case topic == "click" || topic == "greeting":
		return 1
	case length > 1500:
		return 6
	case length > 500:
		return 3
	}
	return 2
}

// about says what a topic is.
func about(topic string) string {
	return map[string]string{
		"urgency": "haste", "account": "trouble with an account", "verify": "confirming or signing in", "prize": "a prize or gift",
		"money": "money", "crypto": "crypto money", "parcel": "a parcel or order", "lure": "love, health or a bargain", "threat": "a threat",
		"secrecy": "trust and secrecy", "document": "a document", "click": "clicking", "greeting": "a reader without a name",
	}[topic]
}

func quoteAll(phrases []string) string {
	shown := phrases[:min(4, len(phrases))]
	return `"` + strings.Join(shown, `", "`) + `"`
}

// bodyBrand: a short mail that names a brand which neither sends it nor is linked from it.
func (st *state) bodyBrand(m *mail, list []string, r *reasons) {
	if len(list) > 300 || m.author().domain == "" {
		return
	}
	b := st.brands.in(list, false, st.lists.isRole)
	if b == nil || b.owns(m.author().domain) {
		return
	}
	for _, a := range m.aims() {
		if b.owns(a.host) {
			return
		}
	}
	r.add("text-brand", "the text names %s, for which %s does not write", b.name, quote(m.author().domain))
}

// coin is the form of an address of Bitcoin; phone that of a number to call.
var (
	coin  = regexp.MustCompile(`\b(bc1[a-z0-9]{25,60}|[13][a-km-zA-HJ-NP-Z1-9]{25,34})\b`)
	phone = regexp.MustCompile(`(\+?1[ .-]?)?\(?\b[2-9][0-9]{2}\)?[ .-]{1,3}[0-9]{3}[ .-]{1,2}[0-9]{4}\b`)
)

// callReasons: a number to call or an address to pay to, together with the words that make it a trap.
func (st *state) callReasons(m *mail, found map[string][]string, r *reasons) {
	if len(found["threat"]) > 0 || len(found["crypto"]) > 0 {
		if at := coin.FindString(m.text); at != "" {
			r.add("pay-coin", "it wants money sent to %s", quote(at))
		}
	}
	if len(found["money"])+len(found["account"])+len(found["parcel"]) >= 2 && st.lists.is(freeMail, m.author().domain) {
		if number := phone.FindString(m.text); number != "" {
			r.add("call-number", "an invoice or warning from a mailbox that anybody can have, with a number to call: %s", quote(number))
		}
	}
}
