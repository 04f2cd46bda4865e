# METADATA
# title: Permissions
# description: |
#   A write is granted when one rule of the agent's mandate covers it whole: its
#   kind, namespace, name, verb and every field that it changes. What no rule
#   covers is denied; nothing else here can grant. The denial names the first of
#   these on which the last remaining rules fail.
# scope: package
# schemas:
#   - input: schema.input
package governor.permissions

import data.governor.lib.globs
import data.governor.lib.kinds
import data.governor.lib.refusals

# METADATA
# title: Denials of permission
# description: Empty where the write is granted; otherwise the one nearest miss.
# scope: document
# entrypoint: true

# METADATA
# title: Kind not granted
# description: No rule of the mandate covers this resource of this API group.
# custom:
#   code: kind-not-granted
#   severity: high
#   remediation: Write one of the granted kinds, or ask an administrator for a rule with this apiGroup and resource.
deny contains refusals.refusal(rego.metadata.rule(), _kind_facts) if {
	not _granted
	count(_rules_of_kind) == 0
}

# METADATA
# title: Namespace not granted
# description: Rules cover this kind, but none in this namespace, or not as a cluster-scoped object.
# custom:
#   code: namespace-not-granted
#   severity: high
#   remediation: Write to one of the granted namespaces, or ask an administrator to add this one to the rule.
deny contains refusals.refusal(rego.metadata.rule(), _namespace_facts) if {
	not _granted
	count(_rules_of_kind) > 0
	count(_rules_of_namespace) == 0
}

# METADATA
# title: Name not granted
# description: Rules cover this kind in this namespace, but no object of this name.
# custom:
#   code: name-not-granted
#   severity: medium
#   remediation: Use a granted name, or ask an administrator to add this one to the rule's resourceNames.
deny contains refusals.refusal(rego.metadata.rule(), _name_facts) if {
	not _granted
	count(_rules_of_namespace) > 0
	count(_rules_of_name) == 0
}

# METADATA
# title: Verb not granted
# description: Rules cover this object, but not this kind of write.
# custom:
#   code: verb-not-granted
#   severity: medium
#   remediation: Use a granted verb, or ask an administrator to add this one to the rule.
deny contains refusals.refusal(rego.metadata.rule(), _verb_facts) if {
	not _granted
	count(_rules_of_name) > 0
	count(_rules_of_verb) == 0
}

# METADATA
# title: Field not granted
# description: Rules cover this write of this object, but only of fields other than those it changes.
# custom:
#   code: field-not-granted
#   severity: medium
#   remediation: Change granted fields only, or ask an administrator to add this one to the rule's fields.
deny contains refusals.refusal(rego.metadata.rule(), _field_facts) if {
	not _granted
	count(_rules_of_verb) > 0
}

# The verb comes before the globs because it costs least to tell.
_granted if {
	some rule in input.mandate.rules
	_covers_kind(rule)
	_covers_verb(rule)
	_covers_namespace(rule)
	_covers_name(rule)
	_covers_fields(rule)
}

_rules_of_kind := [rule | some rule in input.mandate.rules; _covers_kind(rule)]

_rules_of_namespace := [rule | some rule in _rules_of_kind; _covers_namespace(rule)]

_rules_of_name := [rule | some rule in _rules_of_namespace; _covers_name(rule)]

_rules_of_verb := [rule | some rule in _rules_of_name; _covers_verb(rule)]

_covers_kind(rule) if {
	some group in rule.apiGroups
	group in _groups
	some resource in rule.resources
	resource in _forms
}

_covers_namespace(rule) if {
	input.request.namespace == ""
	count(rule.namespaces) == 0
}

_covers_namespace(rule) if {
	input.request.namespace != ""
	some pattern in rule.namespaces
	globs.matches(pattern, input.request.namespace)
}

_covers_name(rule) if count(rule.resourceNames) == 0

_covers_name(rule) if {
	some pattern in rule.resourceNames
	globs.matches(pattern, input.request.name)
}

_covers_verb(rule) if "*" in rule.verbs

_covers_verb(rule) if {
	some verb in input.request.verbs
	verb in rule.verbs
}

_covers_fields(rule) if count(rule.fields) == 0

# An object that is made or removed is more than the fields that a rule lists,
# and so may be what a truncated list leaves out.
_covers_fields(rule) if {
	input.request.operation == "UPDATE"
	input.changed.truncated == false
	every change in input.changed.fields {
		_covers_path(rule, change.path)
	}
}

_covers_path(rule, path) if {
	some granted in rule.fieldPaths
	count(granted) > 0
	_leads_to(granted, path)
}

# Most paths have no wildcard, and are compared at once.
_leads_to(granted, path) if granted == array.slice(path, 0, count(granted))

_leads_to(granted, path) if {
	every index, segment in granted {
		_stands_for(segment, path[index])
	}
}

_stands_for(segment, actual) if segment == actual

_stands_for(-1, actual) if is_number(actual)

_groups := {"*", input.request.group}

_forms := kinds.forms(input.request.resource, input.request.subresource)
