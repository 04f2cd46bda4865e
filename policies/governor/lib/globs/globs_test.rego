package governor.lib.globs_test

import data.governor.lib.globs

test_matches[sentence] if {
	some sentence, case in {
		"the text itself": ["web", "web"],
		"nothing by nothing": ["", ""],
		"anything": ["*", "web"],
		"anything, where there is nothing": ["*", ""],
		"anything twice": ["**", "web"],
		"anything twice, where there is nothing": ["**", ""],
		"what begins like it": ["web-*", "web-1"],
		"what begins like it and has no more": ["web-*", "web-"],
		"what ends like it": ["*-web", "my-web"],
		"what begins and ends like it": ["a-*-z", "a-m-z"],
		"what begins and ends like it, around nothing": ["a*z", "az"],
		"dots too": ["web*", "web.example.com"],
		"slashes too": ["web*", "web/1"],
		"newlines too": ["a*b*c", "a\nb\nc"],
		"what contains it": ["*web*", "my-web-1"],
		"what contains it at both ends": ["*web*", "web"],
		"three parts": ["a*b*c", "a1b2c"],
		"three parts, of which one comes again": ["a*b*c", "abbcbc"],
		"an asterisk by itself": ["a*", "a*"],
		"a dot by itself": ["*a.b*", "xa.by"],
		"what other globs and expressions give a meaning to": [
			"*[a-z]?{x,y}\\(.)+^$|*",
			"<[a-z]?{x,y}\\(.)+^$|>",
		],
		"what the same have at the ends": ["[a]*{b}", "[a]-{b}"],
		"other scripts": ["é*ß", "ééßß"],
	}
	globs.matches(case[0], case[1])
}

test_does_not_match[sentence] if {
	some sentence, case in {
		"another text": ["web", "api"],
		"what begins like it, without a wildcard": ["web", "web-1"],
		"what ends like it, without a wildcard": ["web", "my-web"],
		"another case": ["web", "Web"],
		"nothing": ["web", ""],
		"nothing, where the glob has more": ["web-*", ""],
		"something by nothing": ["", "web"],
		"one part for two": ["ab*ba", "aba"],
		"one part for two, with a third": ["ab*b*ba", "abba"],
		"another beginning": ["web-*", "my-web-1"],
		"another end": ["*-web", "web-1"],
		"another beginning of three parts": ["a*b*c", "xabc"],
		"another end of three parts": ["a*b*c", "abcx"],
		"the parts in another order": ["*a*b*", "ba"],
		"a question mark is no wildcard": ["w?b", "web"],
		"a question mark is no wildcard beside two": ["*w?b*", "web"],
		"a class is no wildcard": ["w[e]b", "web"],
		"a class is no wildcard beside one": ["w[e]b*", "web"],
		"a class is no wildcard beside two": ["*w[e]b*", "web"],
		"alternatives are no wildcard": ["{web,api}", "web"],
		"alternatives are no wildcard beside two": ["*{web,api}*", "web"],
		"a dot is a dot beside two": ["*a.b*", "axb"],
		"an escape is none": ["\\**", "*a"],
		"an expression is none": ["*(a|b)*", "a"],
		"text is no number": ["1", 1],
		"null by anything": ["*", null],
		"a list by anything": ["**", ["a"]],
	}
	not globs.matches(case[0], case[1])
}
