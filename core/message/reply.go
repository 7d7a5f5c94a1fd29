package message

import "fmt"

// Reply is what an SMTP client is told (RFC 5321 section 4.2, RFC 3463). Text is fixed wording plus ids, or a next hop's own words;
// it is never built from an error.
type Reply struct {
	Code     int    `json:"code"`
	Enhanced [3]int `json:"enhanced"`
	Text     string `json:"text"`
}

// Accepted reports a 2xx reply.
func (r Reply) Accepted() bool { return r.Code/100 == 2 }

// Temporary reports a 4xx reply.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// Permanent reports a 5xx reply.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

func (r Reply) String() string {
	if r.Enhanced[0] == 0 {
		return fmt.Sprintf("%d %s", r.Code, r.Text)
	}
	return fmt.Sprintf("%d %d.%d.%d %s", r.Code, r.Enhanced[0], r.Enhanced[1], r.Enhanced[2], r.Text)
}

// TryLater is the reply for trouble of our own: the client keeps the mail. id ties it to the log.
func TryLater(id string) Reply {
	return Reply{Code: 451, Enhanced: [3]int{4, 3, 0}, Text: "Local trouble, please try again later (" + id + ")"}
}
