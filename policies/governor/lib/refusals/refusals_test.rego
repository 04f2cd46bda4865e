package governor.lib.refusals_test

import data.governor.lib.refusals

facts := {"message": "m", "field": "f", "asked": "a", "limit": ["l"], "passes": "p"}

test_refusal_takes_code_and_rule_from_metadata if {
	refusals.refusal({"title": "A title", "custom": {"code": "a-code"}}, facts) == {
		"code": "a-code",
		"rule": "A title",
		"message": "m",
		"field": "f",
		"asked": "a",
		"limit": ["l"],
		"remaining": null,
		"passes": "p",
		"retry": false,
	}
}

test_refusal_takes_what_else_is_known if {
	said := refusals.refusal({}, {"remaining": 3, "retry": true})
	[said.remaining, said.retry] == [3, true]
}

test_refusal_is_whole_without[sentence] if {
	some sentence, metadata in {
		"metadata": {},
		"custom metadata": {"title": "A title"},
		"a code": {"title": "A title", "custom": {"severity": "high"}},
	}
	said := refusals.refusal(metadata, {})
	said.code == "policy-error"
	object.keys(said) == {"code", "rule", "message", "field", "asked", "limit", "remaining", "passes", "retry"}
}

test_first[sentence] if {
	some sentence, case in {
		"of none": [set(), null],
		"of one": [{"a"}, "a"],
		"of two": [{"b", "a"}, "a"],
	}
	refusals.first(case[0]) == case[1]
}

test_plainest[sentence] if {
	some sentence, case in {
		"of none": [set(), null],
		"of what was made up": [{[true, "b"], [true, "a"]}, "a"],
		"of what somebody wrote, though it sorts later": [{[true, "a"], [false, "b"]}, "b"],
	}
	refusals.plainest(case[0]) == case[1]
}
