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

# Nothing but a string has text that a `*` could stand for.
matches("*", text) if is_string(text)

# One wildcard is what people write: no expression needs to be compiled for it.
matches(pattern, text) if {
	[before, after] := split(pattern, "*")
	count(text) >= count(before) + count(after)
	startswith(text, before)
	endswith(text, after)
}

matches(pattern, text) if {
	literals := split(pattern, "*")
	count(literals) > 2
	quoted := [strings.replace_n(_quoted, literal) | some literal in literals]
	regex.match(sprintf(`(?s)\A%s\z`, [concat(".*", quoted)]), text)
}

# What RE2 gives a meaning to outside of a class.
_quoted := {character: concat("", [`\`, character]) |
	some character in [`\`, ".", "+", "?", "(", ")", "[", "]", "{", "}", "|", "^", "$"]
}
