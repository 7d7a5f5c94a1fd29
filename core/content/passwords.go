package content

import (
	"bytes"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/postern-mail/postern/core/message"
)

// Password is a word of the message that may open what is encrypted, with where it stood: "subject", "body", "file name".
type Password struct{ Text, Source string }

// Bounds of the search for passwords. Every word costs an attempt at every encrypted container, which makers of archives have made
// slow on purpose; the likely ones come first.
const (
	maxPasswords    = 120
	maxPasswordText = 64 << 10 // of one body
	maxPasswordWord = 64
	announcedWords  = 5 // behind a word such as "password" in which the password itself is looked for
)

// passwords collects words that may be passwords: those that stand behind a word such as "password" first, then those of the subject
// and of file names, then those with digits or signs in them, then all others.
func (r *reader) passwords() ([]Password, error) {
	var near, named, odd, other []Password
	collect := func(text, source string) {
		announced := 0 // words from here on that may be the password
		for word := range strings.FieldsSeq(text) {
			expected := announced > 0
			if announced--; isPasswordWord(strings.Trim(strings.ToLower(word), ".,;:!?()[]\"'*=-")) {
				announced = announcedWords
			}
			if expected && !isFiller(word) || announcesItself(word) {
				near = appendWord(near, word, source)
			} else if source == "subject" || strings.IndexFunc(strings.Trim(word, ".,;:!?()"), isOdd) >= 0 {
				odd = appendWord(odd, word, source)
			} else {
				other = appendWord(other, word, source)
			}
		}
	}
	for _, f := range r.tree.Header {
		if strings.EqualFold(f.Name, "subject") {
			collect(decodeWords(f.Value), "subject")
		}
	}
	for i := range r.tree.Parts {
		p := &r.tree.Parts[i]
		switch {
		case p.Kind == message.PartText || p.Kind == message.PartHTML:
			text, err := r.shownText(p)
			if err != nil {
				return nil, err
			}
			collect(text, "body")
		case p.Name() != "":
			named = appendNames(named, p.Name())
		}
	}
	out, seen := []Password{}, map[string]bool{}
	for _, list := range [][]Password{near, named, odd, other} {
		for _, p := range list {
			if !seen[p.Text] && len(out) < maxPasswords {
				seen[p.Text] = true
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// announcesItself knows "Password:1234", which is one word to a reader of blanks.
func announcesItself(word string) bool {
	i := strings.IndexAny(word, ":=")
	return i > 0 && i < len(word)-1 && isPasswordWord(strings.ToLower(word[:i]))
}

// isFiller knows words that stand between the word and the password.
func isFiller(word string) bool {
	switch strings.Trim(strings.ToLower(word), ".,;:=-") {
	case "", "is", "the", "for", "to", "of", "this", "file", "archive", "attachment", "and", "it", "your", "ist", "lautet", "für", "das", "die", "der", "est",
		"es", "la", "el", "le", "pour", "para", "del", "de":
		return true
	}
	return false
}

// isPasswordWord knows what mails call a password, in the languages met most.
func isPasswordWord(w string) bool {
	switch w {
	case "pass", "pw", "pwd", "pin", "code", "key", "kennwort", "losung", "schlüssel", "parola", "contraseña", "contrasena", "clave", "senha",
		"mdp", "wachtwoord", "hasło", "haslo", "пароль", "lösenord", "adgangskode", "salasana", "heslo", "jelszó", "şifre", "暗証番号", "密码",
		"パスワード":
		return true
	}
	return strings.HasPrefix(w, "passw") || strings.HasPrefix(w, "passc") || strings.HasPrefix(w, "passphrase")
}

func isOdd(c rune) bool { return !unicode.IsLetter(c) }

// appendWord adds the word as it stands, and without the marks of the sentence around it.
func appendWord(list []Password, word, source string) []Password {
	if len(word) > 2*maxPasswordWord {
		return list
	}
	add := func(w string) {
		if n := utf8.RuneCountInString(w); n >= 1 && n <= maxPasswordWord {
			list = append(list, Password{Text: w, Source: source})
		}
	}
	const marks = ".,;:!?()[]{}<>\"'`“”„‘’«»*"
	bare := strings.Trim(word, marks)
	// "Password:1234" and "pw=1234" are one word to a reader of blanks.
	if i := strings.IndexAny(bare, ":="); i > 0 && isPasswordWord(strings.ToLower(bare[:i])) {
		bare = strings.Trim(bare[i+1:], marks)
	}
	add(bare)
	if word != bare {
		add(strings.TrimRight(word, ".,;:"))
		add(word)
	}
	return list
}

// appendNames adds a file's name without its extensions, and its words, but for those that only say that there is a password.
func appendNames(list []Password, name string) []Password {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	stem, _, _ := strings.Cut(base, ".")
	words := append([]string{stem, strings.TrimSuffix(base, path.Ext(base))}, strings.FieldsFunc(stem, func(c rune) bool {
		return strings.ContainsRune(" _-()[]+", c)
	})...)
	for _, w := range words {
		if w != "" && len(w) <= maxPasswordWord && !isPasswordWord(strings.ToLower(w)) {
			list = append(list, Password{Text: w, Source: "file name"})
		}
	}
	return list
}

// shownText is the text of a body as its reader sees it.
func (r *reader) shownText(p *message.Part) (string, error) {
	if p.Body == nil {
		return "", nil
	}
	raw, err := headOf(p.Body, maxPasswordText)
	if err != nil {
		return "", err
	}
	text := decodeCharset(p.Charset, string(raw))
	if p.Kind != message.PartHTML {
		return text, nil
	}
	var shown strings.Builder
	z := html.NewTokenizer(bytes.NewReader([]byte(text)))
	z.SetMaxBuf(1 << 20)
	hidden := ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			return shown.String(), nil
		case html.StartTagToken:
			name, _ := z.TagName()
			if tag := string(name); tag == "style" || tag == "script" {
				hidden = tag
			}
			shown.WriteByte(' ')
		case html.EndTagToken:
			hidden = ""
			shown.WriteByte(' ')
		case html.TextToken:
			if hidden == "" {
				shown.Write(z.Text())
			}
		}
	}
}
