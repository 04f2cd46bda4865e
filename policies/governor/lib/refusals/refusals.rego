# METADATA
# title: Refusals
# description: |
#   The one shape of an element of `deny`. It must come out whole whatever it is
#   made from: a refusal that is undefined would be a grant.
# scope: package
package governor.lib.refusals

# METADATA
# title: Refusal
# description: |
#   A refusal by the rule whose METADATA is given, i.e. `rego.metadata.rule()`,
#   with what is known about it: `message`, `field`, `asked`, `limit`, `passes`.
refusal(metadata, facts) := object.union(_unsaid, object.union(
	{
		"code": object.get(metadata, ["custom", "code"], _unsaid.code),
		"rule": object.get(metadata, "title", _unsaid.rule),
	},
	facts,
))

# METADATA
# title: First
# description: The first of the values in their order; null where there are none.
# scope: document
first(values) := null if count(values) == 0

first(values) := sort(values)[0] if count(values) > 0

# METADATA
# title: Plainest
# description: |
#   Of pairs `[is made up, value]` the first value that somebody wrote, or the
#   first that was made up from a glob; null where there are none.
# scope: document
plainest(pairs) := null if count(pairs) == 0

plainest(pairs) := sort(pairs)[0][1] if count(pairs) > 0

# What a refusal says by itself. The code is for an engine that drops METADATA.
_unsaid := {
	"code": "policy-error",
	"rule": "Not granted",
	"message": "not granted by the mandate",
	"field": null,
	"asked": null,
	"limit": [],
	"remaining": null,
	"passes": null,
	"retry": false,
}
