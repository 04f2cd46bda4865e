# METADATA
# title: Texts
# description: |
#   Text that is safe to show. Names, keys and paths come from callers: they are
#   cut, and what would move a reader's cursor or hide is replaced.
# scope: package
package governor.lib.texts

# METADATA
# title: Longest
# description: The most characters that one shown value has; a DNS subdomain's length.
longest := 253

# METADATA
# title: Most
# description: The most items that one shown list has.
most := 20

# METADATA
# title: Plain
# description: The value as one line of at most `longest` visible characters.
plain(value) := regex.replace(substring(_text(value), 0, longest), `[\p{C}\p{Zl}\p{Zp}]`, "\ufffd")

# METADATA
# title: Quoted
# description: The value in double quotes, with its own quotes escaped.
quoted(value) := json.marshal(plain(value))

# METADATA
# title: Bounded
# description: The set's first `most` values, sorted and plain.
bounded(values) := [plain(value) | some value in array.slice(sort(values), 0, most)]

# METADATA
# title: Listed
# description: The set in one clause, with the number of those left out; "nothing" where it is empty.
# scope: document
listed(values) := "nothing" if count(values) == 0

listed(values) := concat(", ", bounded(values)) if {
	count(values) > 0
	count(values) <= most
}

listed(values) := sprintf("%s and %d more", [concat(", ", bounded(values)), count(values) - most]) if {
	count(values) > most
}

_text(value) := value if is_string(value)

_text(value) := json.marshal(value) if not is_string(value)
