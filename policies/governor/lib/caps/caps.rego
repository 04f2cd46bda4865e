# METADATA
# title: Caps
# description: |
#   The one shape of an element of `cap`. It must come out whole whatever it is
#   made from: a cap that is undefined would limit nothing.
# scope: package
package governor.lib.caps

# METADATA
# title: Held
# description: |
#   The most of a resource (`cpu`, `memory`, `pods`) that the agent's objects may
#   hold, by the rule whose METADATA is given, i.e. `rego.metadata.rule()`.
held(metadata, resource, limit) := object.union(_named(metadata), {"resource": resource, "limit": limit})

# METADATA
# title: Spent
# description: The most of a resource (`usd`, `changes`) that the agent may spend in each window.
spent(metadata, resource, limit, seconds) := object.union(held(metadata, resource, limit), {"windowSeconds": seconds})

# The code is for an engine that drops METADATA.
_named(metadata) := {
	"code": object.get(metadata, ["custom", "code"], "policy-error"),
	"rule": object.get(metadata, "title", "Capped"),
	"message": trim(object.get(metadata, "description", "capped by a policy"), ". \n"),
}
