package main

import (
	"slices"
	"strings"
)

// reasonNames lists the reasons that there are. The files that find them say of each when it holds.
func reasonNames() []string {
	names := strings.Fields(`
		from-missing from-invalid from-several from-broken from-free-site from-cheap-top from-random from-deep from-lookalike
		brand-name brand-address brand-domain name-address name-protected name-disguised name-decorated name-pictures name-message free-official free-file
		reply-invalid reply-free reply-differs path-invalid path-differs path-odd
		id-missing id-several id-broken id-no-host id-by-receiver id-differs to-self to-nobody to-others
		spf-fail dkim-fail dmarc-fail internal-forged
		helo-odd many-zones time-gap time-back path-broken date-missing date-several date-broken date-far charsets-mixed
		link-script link-text link-brand-text link-verify link-prize link-call links-one-foreign links-same links-not-brand subject-brand
		link-qr link-in-file link-user link-address link-port link-punycode link-free-site link-shortened link-cheap-top link-lookalike
		link-brand-host link-random link-deep link-redirect link-asks link-broken-in link-carries-address link-encoded link-coded
		image-anonymous image-free-site image-address image-of-brand image-is-message image-instead
		page-refresh page-hidden-text page-split-words page-encoded page-comments page-script page-padded page-only form form-password
		subject-invisible subject-mixed subject-styled subject-pictures subject-shouts subject-spaced subject-empty subject-decorated subject-random subject-answer
		text-invisible text-broken-words text-mixed text-styled text-several text-advance-fee text-brand text-large-sum text-none pay-coin call-number
		attach-page attach-alone attach-packed attach-invite attach-two-types attach-name-disguised attach-pretends`)
	for _, topic := range topics() {
		if topic != "click" && topic != "greeting" {
			names = append(names, "subject-"+topic)
		}
		names = append(names, "text-"+topic)
	}
	return names
}

func known(id string) bool { return slices.Contains(reasonNames(), id) }
