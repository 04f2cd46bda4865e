# METADATA
# title: Globs
# description: |
#   Globs as a Mandate writes them. `*` stands for any run of characters, dots
#   and none at all included; every other character stands for itself.
# scope: package
package governor.lib.globs

# METADATA
# title: Matches
# description: True where the whole text matches the pattern.
# scope: document
matches(pattern, text) if pattern == text

matches(pattern, text) if {
	contains(pattern, "*")
	_around(split(pattern, "*"), text)
}

# One wildcard is what people write: no expression needs to be compiled for it.
_around([before, after], text) if {
	startswith(text, before)
	endswith(text, after)
	count(text) >= count(before) + count(after)
}

_around(literals, text) if {
	count(literals) > 2
	quoted := [strings.replace_n(_quoted, literal) | some literal in literals]
	regex.match(sprintf(`(?s)\A%s\z`, [concat(".*", quoted)]), text)
}

# What RE2 gives a meaning to outside of a class.
_quoted := {character: concat("", [`\`, character]) |
	some character in [`\`, ".", "+", "?", "(", ")", "[", "]", "{", "}", "|", "^", "$"]
}
