package governor.lib.texts_test

import data.governor.lib.texts

test_plain[sentence] if {
	some sentence, case in {
		"a name": ["web", "web"],
		"nothing": ["", ""],
		"other scripts": ["größe", "größe"],
		"a newline": ["a\nb", "a�b"],
		"an escape": ["a\u001b[31m", "a�[31m"],
		"a separator of lines": ["a\u2028b", "a�b"],
		"a separator of paragraphs": ["a\u2029b", "a�b"],
		"an override of direction": ["a\u202eb", "a�b"],
		"a space of no width": ["a\u200bb", "a�b"],
		"a number": [1, "1"],
		"null": [null, "null"],
		"a list": [["a"], "[\"a\"]"],
	}
	texts.plain(case[0]) == case[1]
}

test_plain_cuts_what_is_long if {
	count(texts.plain(concat("", [sprintf("%d", [n]) | some n in numbers.range(1000, 1999)]))) == texts.longest
}

test_quoted[sentence] if {
	some sentence, case in {
		"a name": ["web", `"web"`],
		"a quote": [`we"b`, `"we\"b"`],
		"a backslash": [`we\b`, `"we\\b"`],
		"a newline": ["we\nb", `"we�b"`],
	}
	texts.quoted(case[0]) == case[1]
}

test_bounded_sorts if texts.bounded({"b", "a"}) == ["a", "b"]

test_listed[sentence] if {
	some sentence, case in {
		"none": [set(), "nothing"],
		"one": [{"a"}, "a"],
		"two": [{"b", "a"}, "a, b"],
		"as many as are shown": [
			{n | some n in numbers.range(1, 20)},
			"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20",
		],
		"more than are shown": [
			{n | some n in numbers.range(1, 22)},
			"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 and 2 more",
		],
	}
	texts.listed(case[0]) == case[1]
}
