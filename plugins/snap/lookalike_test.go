package main

import "testing"

func TestLookalikeDomains(t *testing.T) {
	st := testState(t)
	tests := []struct{ host, of string }{ // "": of nobody
		{"paypa1.com", "paypal"}, {"paypaI.com", "paypal"}, {"pаypal.com", "paypal"}, {"xn--pypal-4ve.com", "paypal"},
		{"paypaal.com", "paypal"}, {"payapl.com", "paypal"}, {"paypl.com", "paypal"}, {"www.paypel.com", "paypal"},
		{"faceb00k.com", "facebook"}, {"arnazon.co.uk", "amazon"}, {"netfl1x.shop", "netflix"}, {"rnicrosoft.com", "microsoft"},
		{"coinbbase.com", "coinbase"}, {"vvellsfargo.com", "wells fargo"},
		{"paypal.com", ""}, {"paypal.de", ""}, {"mail.paypal.com", ""}, {"pay.com", ""}, {"paypas.net", "paypal"}, {"papaya.com", ""}, {"example.com", ""},
		{"ebuy.com", ""}, // too short for one other letter
		{"ziege1ei-ruiz.de", "ziegelei-ruiz.de"}, {"ziegelei-ruiz.com", "ziegelei-ruiz.de"}, {"mail.ziegelei-ruiz.de", ""}, {"ziegelei-raiz.de", "ziegelei-ruiz.de"},
	}
	for _, test := range tests {
		if of, how := st.lookalikeOf(test.host); of != test.of {
			t.Errorf("%q: %q (%s), want %q", test.host, of, how, test.of)
		}
	}
}

func TestOneEdit(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"abc", "abd", true}, {"abc", "abcd", true}, {"abcd", "abc", true}, {"abc", "acb", true}, {"abc", "bac", true},
		{"abc", "abc", false}, {"abc", "cba", false}, {"abc", "abcde", false}, {"abc", "xbd", false}, {"", "a", true}, {"", "", false}, {"ab", "", false},
	}
	for _, test := range tests {
		if got := oneEdit(test.a, test.b); got != test.want {
			t.Errorf("%q and %q: %v", test.a, test.b, got)
		}
	}
}

func TestBrandsOwnTheirHosts(t *testing.T) {
	st := testState(t)
	tests := []struct {
		brand, host string
		want        bool
	}{
		{"paypal", "paypal.com", true}, {"paypal", "mail.paypal.co.uk", true}, {"paypal", "paypal.shop", false}, {"paypal", "paypal.ru", false}, {"paypal", "paypal.org", true}, {"paypal", "paypal.at", true},
		{"paypal", "paypal.com.example.net", false}, {"paypal", "paypal-service.com", false}, {"microsoft", "accountprotection.microsoft.com", true},
		{"bank of america", "bankofamerica.com", true}, {"bank of america", "bank-of-america.net", true}, {"bank of america", "bank-of-america.xyz", false},
		{"deutsche post", "dhl.de", true},
	}
	for _, test := range tests {
		for _, b := range st.brands.all {
			if b.name == test.brand {
				if got := b.owns(test.host); got != test.want {
					t.Errorf("%s owns %s: %v", test.brand, test.host, got)
				}
			}
		}
	}
}

func TestRandomNames(t *testing.T) {
	for name, want := range map[string]bool{
		"q7x4k9z2": true, "xkjhgfdsw": true, "XkTrmQfbW": true, "ydekfhhtr5": true, "a1b2c3d4": true,
		"strengths": false, "freshrpms": false, "JohnSmith": false, "office365": false, "web2": false, "rhythms": false, "tischlerei": false, "": false,
	} {
		if got := random(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
