package content

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

// boxes is an expander of a toy format: a box begins with "BOX", and every further line is "name=content", where "_" stands for a line end.
type boxes struct {
	took time.Duration
	asks []Budget
}

func (b *boxes) Takes(_ *message.Part, head []byte) bool {
	return strings.HasPrefix(string(head), "BOX")
}

func (b *boxes) Expand(_ context.Context, part *message.Part, budget Budget, sink Sink) (time.Duration, error) {
	b.asks = append(b.asks, budget)
	content, _ := part.Body.Bytes()
	return b.took, b.expand(string(content), 0, new(int), sink)
}

func (b *boxes) expand(box string, parent int, number *int, sink Sink) error {
	for line := range strings.Lines(box[len("BOX"):]) {
		name, content, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found {
			continue
		}
		content = strings.ReplaceAll(content, "_", "\r\n")
		*number++
		own := *number
		source, opened := strings.CutPrefix(content, "opened by ")
		if !opened {
			source = ""
		}
		w, err := sink.Member(Member{Number: own, Parent: parent, Name: name, Encrypted: content == "sealed", Opened: source})
		if errors.Is(err, ErrBudget) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(content)); err != nil {
			if errors.Is(err, ErrBudget) {
				return nil
			}
			return err
		}
		if link, is := strings.CutPrefix(content, "link "); is {
			if err := sink.Link(own, link, "shown"); err != nil {
				return err
			}
		}
		if strings.HasPrefix(content, "BOX") {
			if err := b.expand(content, own, number, sink); err != nil {
				return err
			}
		}
	}
	return nil
}

// readWith takes a mail apart with the expander.
func readWith(t *testing.T, mail string, limits Limits, expander Expander) *message.Tree {
	t.Helper()
	s, err := spool.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	scope := s.NewScope()
	t.Cleanup(func() {
		if err := scope.Release(); err != nil {
			t.Error(err)
		}
	})
	tree, err := Read(t.Context(), spool.FromBytes([]byte(mail)), scope, limits, expander)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func mailWith(name, content string) string {
	return "From: a@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n" +
		"--b\r\nContent-Type: application/octet-stream; name=" + name + "\r\nContent-Disposition: attachment; filename=" + name + "\r\n\r\n" +
		strings.ReplaceAll(content, "\n", "\r\n") + "\r\n--b--\r\n"
}

func displays(tree *message.Tree) []string {
	var out []string
	for i := range tree.Parts {
		if k := tree.Parts[i].Kind; k == message.PartMember || k == message.PartAttachment {
			out = append(out, tree.Parts[i].Display)
		}
	}
	return out
}

func TestMembersArePartsAtEveryDepth(t *testing.T) {
	inner := "From: a@b.example_Subject: y_Content-Type: application/x-box; name=deep.box_Content-Disposition: attachment; filename=deep.box__BOX_leaf=1"
	tree := readWith(t, mailWith("a.box", "BOX\nb.txt=x\nmail="+inner), Limits{}, &boxes{})
	want := []string{"a.box", "a.box/b.txt", "a.box/mail", "deep.box", "deep.box/leaf"}
	if diff := cmp.Diff(want, displays(tree)); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

func TestAMailByNameIsReadAndOpened(t *testing.T) {
	// One field does not look like a mail; the name says that it is opened as one, and its content that it is a box too.
	tree := readWith(t, mailWith("a.eml", "BOX: x\nc=1"), Limits{}, &boxes{})
	want := []string{"a.eml", "a.eml/c"}
	if diff := cmp.Diff(want, displays(tree)); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if last := tree.Parts[len(tree.Parts)-1]; !slices.ContainsFunc(tree.Parts, func(p message.Part) bool {
		return p.Kind == message.PartText && p.Parent > 0 && tree.Parts[p.Parent].Display == "a.eml"
	}) {
		t.Errorf("the mail was not read; the last part is %+v", last)
	}
}

func TestLinksBelongToTheirMember(t *testing.T) {
	tree := readWith(t, mailWith("a.box", "BOX\nb=link HTTPS://Sub.Example:443/x\nc=link mailto:a@b"), Limits{}, &boxes{})
	if len(tree.URLs) != 1 || tree.URLs[0].URL != "https://sub.example/x" || tree.Parts[tree.URLs[0].Part].Display != "a.box/b" || tree.URLs[0].Text != "shown" {
		t.Errorf("links are %+v", tree.URLs)
	}
}

func TestOneBudgetForAllContainers(t *testing.T) {
	two := strings.Replace(mailWith("a.box", "BOX\na=12345\nb=12345"), "--b--",
		"--b\r\nContent-Type: x/y; name=b.box\r\n\r\nBOX\r\nc=12345\r\nd=12345\r\n--b--", 1)
	nested := mailWith("a.box", "BOX\na=BOX_b=BOX")
	tests := []struct {
		name   string
		mail   string
		limits Limits
		took   time.Duration
		want   string
	}{
		{"files", two, Limits{Files: 3}, 0, ReasonFiles},
		{"size", two, Limits{Bytes: 12}, 0, ReasonSize},
		{"file size, of each", two, Limits{FileBytes: 4}, 0, ReasonFileSize + " " + ReasonFileSize},
		{"layers", nested, Limits{Layers: 1}, 0, ReasonLayers},
		{"time", two, Limits{Time: time.Second}, 2 * time.Second, ReasonTime},
		{"enough", two, Limits{Files: 4, Bytes: 20, FileBytes: 5}, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := readWith(t, test.mail, test.limits, &boxes{took: test.took})
			var got []string
			for _, trouble := range tree.Troubles {
				if trouble.Exception == message.ExceptionSecuritySettings {
					got = append(got, trouble.Reason)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("reasons are %q, want %q", got, test.want)
			}
		})
	}
}

func TestSealedAndOpened(t *testing.T) {
	tree := readWith(t, mailWith("a.box", "BOX\na=sealed\nb=opened by body"), Limits{}, &boxes{})
	if !slices.ContainsFunc(tree.Troubles, func(x message.Trouble) bool {
		return x.Exception == message.ExceptionEncryption && x.Detail == "a.box/a"
	}) {
		t.Errorf("troubles are %+v", tree.Troubles)
	}
	if last := tree.Parts[len(tree.Parts)-1]; last.Opened != "body" {
		t.Errorf("the last part is %+v", last)
	}
}

func TestPasswordsOfAMail(t *testing.T) {
	tests := []struct {
		name, subject, body, file string
		first                     []Password // in this order at the beginning
		without                   string
	}{
		{"behind the word", "Invoice", "Please open it. The password is: 7xK9! Thanks", "a.box", []Password{{"7xK9", "body"}, {"7xK9!", "body"}}, ""},
		{"in one word", "Invoice", "see pw:1234 for it", "a.box", []Password{{"1234", "body"}}, ""},
		{"in quotes", "Invoice", "Kennwort \"geheim\".", "a.box", []Password{{"geheim", "body"}}, ""},
		{"in the name", "Invoice", "see it", "scan_4711.box", []Password{{"scan_4711", "file name"}, {"scan", "file name"}, {"4711", "file name"}}, ""},
		{"the name that only says there is one", "Invoice", "see it", "test_password.box", []Password{{"test_password", "file name"}, {"test", "file name"}}, "password"},
		{"in the subject", "Your code 99 is here", "see it", "a.box", []Password{{"99", "subject"}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &boxes{}
			mail := strings.Replace(strings.Replace(mailWith(test.file, "BOX"), "Hello", test.body, 1), "Subject: x", "Subject: "+test.subject, 1)
			readWith(t, mail, Limits{}, b)
			if len(b.asks) != 1 {
				t.Fatalf("the box was opened %d times", len(b.asks))
			}
			got := b.asks[0].Passwords
			if len(got) < len(test.first) {
				t.Fatalf("passwords are %v", got)
			}
			if diff := cmp.Diff(test.first, got[:len(test.first)]); diff != "" {
				t.Errorf("first passwords (-want +got):\n%s\nof %v", diff, got)
			}
			for _, p := range got {
				if p.Text == test.without && test.without != "" {
					t.Errorf("%q is among them", p.Text)
				}
			}
		})
	}
}

func TestPasswordsAreBounded(t *testing.T) {
	var words strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&words, "w%d ", i)
		if i%10 == 9 {
			words.WriteString("\r\n")
		}
	}
	b := &boxes{}
	readWith(t, strings.Replace(mailWith("a.box", "BOX"), "Hello", words.String(), 1), Limits{}, b)
	if n := len(b.asks[0].Passwords); n != maxPasswords {
		t.Errorf("%d passwords", n)
	}
}

func TestWhatLooksLikeMail(t *testing.T) {
	tests := []struct {
		name, content string
		want          bool
	}{
		{"mail", "From: a@b.example\r\nTo: c@d.example\r\n\r\nx", true},
		{"mail with a strange field", "From: a@b.example\r\nContent-Type (x): text/plain\r\nSubject: y\r\n\r\nx", true},
		{"mail with a broken line", "Received: from x\r\n by y\r\nno field here\r\nSubject: x\r\n\r\nx", true},
		{"one field", "Subject: only\r\n\r\nx", false},
		{"text", "Dear Bob,\r\nFrom: nobody\r\nTo: nobody\r\n", false},
		{"mailbox", "From a@b Mon Mar  2 10:00:00 2026\r\nFrom: a@b.example\r\nSubject: x\r\n", false},
		{"program", "MZ\x90\x00\x03\x00", false},
		{"nothing", "", false},
	}
	for _, test := range tests {
		if got := looksLikeMail([]byte(test.content)); got != test.want {
			t.Errorf("%s: looksLikeMail is %v", test.name, got)
		}
	}
}

func FuzzLooksLikeMail(f *testing.F) {
	f.Add([]byte("From: a@b.example\r\nTo: c@d.example\r\n\r\nx"))
	f.Fuzz(func(_ *testing.T, content []byte) { looksLikeMail(content) })
}
