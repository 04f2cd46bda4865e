package governor.lib.caps_test

import data.governor.lib.caps

metadata := {"title": "A title", "description": "A description.", "custom": {"code": "a-code"}}

test_held_takes_code_rule_and_message_from_metadata if {
	caps.held(metadata, "cpu", "8") == {
		"code": "a-code",
		"rule": "A title",
		"message": "A description",
		"resource": "cpu",
		"limit": "8",
	}
}

test_spent_says_in_which_window if {
	said := caps.spent(metadata, "usd", "5", 3600)
	[said.resource, said.limit, said.windowSeconds, said.code] == ["usd", "5", 3600, "a-code"]
}

test_cap_is_whole_without[sentence] if {
	some sentence, bare in {
		"metadata": {},
		"custom metadata": {"title": "A title"},
		"a code": {"description": "a description", "custom": {"severity": "high"}},
	}
	said := caps.held(bare, "pods", 5)
	said.code == "policy-error"
	object.keys(said) == {"code", "rule", "message", "resource", "limit"}
}
