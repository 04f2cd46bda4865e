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
import data.governor.lib.names
import data.governor.lib.refusals
import data.governor.lib.texts

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

_granted if {
	some rule in input.mandate.rules
	_covers_kind(rule)
	_covers_namespace(rule)
	_covers_name(rule)
	_covers_verb(rule)
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

_leads_to(granted, path) if granted == array.slice(path, 0, count(granted))

_leads_to(granted, path) if {
	-1 in granted
	count(granted) <= count(path)
	every index, segment in granted {
		_stands_for(segment, path[index])
	}
}

_stands_for(segment, actual) if segment == actual

_stands_for(-1, actual) if is_number(actual)

_groups := {"*", input.request.group}

_forms := kinds.forms(input.request.resource, input.request.subresource)

# What is said of a denial. Each has a default, for a document of any shape: a
# denial with little to say is still a denial.

default _kind_facts := {}

_kind_facts := {
	"message": sprintf("%s may not write %s; granted kinds: %s", [_agent, _kind, texts.listed(granted)]),
	"field": "kind",
	"asked": _kind,
	"limit": texts.bounded(granted),
	"passes": refusals.first({example |
		some rule in input.mandate.rules
		_covers_namespace(rule)
		_covers_name(rule)
		_covers_verb(rule)
		_covers_fields(rule)
		some example in kinds.examples(_scope, rule.apiGroups, rule.resources, input.request.verbs)
	}),
} if {
	granted := {kinds.text(group, form) |
		some rule in input.mandate.rules
		some group in rule.apiGroups
		some form in rule.resources
	}
}

default _namespace_facts := {}

_namespace_facts := {
	"message": sprintf("%s may not write %s %s; granted namespaces: %s", [_agent, _kind, _place, texts.listed(granted)]),
	"field": "metadata.namespace",
	"asked": texts.plain(input.request.namespace),
	"limit": texts.bounded(granted),
	"passes": refusals.first({example |
		input.request.namespace != ""
		some rule in _rules_of_kind
		_covers_name(rule)
		_covers_verb(rule)
		_covers_fields(rule)
		some pattern in rule.namespaces
		example := names.example(pattern, "", "namespaces")
	}),
} if {
	granted := {pattern | some rule in _rules_of_kind; some pattern in rule.namespaces}
}

default _name_facts := {}

_name_facts := {
	"message": sprintf("%s may not write %s; granted names: %s", [_agent, _object, texts.listed(granted)]),
	"field": "metadata.name",
	"asked": texts.plain(input.request.name),
	"limit": texts.bounded(granted),
	"passes": refusals.first({example |
		some rule in _rules_of_namespace
		_covers_verb(rule)
		_covers_fields(rule)
		some pattern in rule.resourceNames
		example := names.example(pattern, input.request.group, input.request.resource)
	}),
} if {
	granted := {pattern | some rule in _rules_of_namespace; some pattern in rule.resourceNames}
}

default _verb_facts := {}

_verb_facts := {
	"message": sprintf("%s may not %s %s; granted verbs: %s", [_agent, _verb, _object, texts.listed(granted)]),
	"field": "verb",
	"asked": _verb,
	"limit": texts.bounded(granted),
	"passes": refusals.first({verb |
		some rule in _rules_of_name
		some verb in rule.verbs
		verb in kinds.takes(input.request.group, _form)
		_may_change_fields(rule, verb)
	}),
} if {
	granted := {verb | some rule in _rules_of_name; some verb in rule.verbs}
}

_may_change_fields(rule, _) if count(rule.fields) == 0

_may_change_fields(_, verb) if verb in {"update", "patch"}

default _field_facts := {}

_field_facts := {
	"message": sprintf("%s may not %s %s whole, only change: %s", [
		_agent, _verb, _object, texts.listed(granted),
	]),
	"field": ".",
	"asked": _verb,
	"limit": texts.bounded(granted),
} if {
	input.request.operation != "UPDATE"
	granted := {field | some rule in _rules_of_verb; some field in rule.fields}
}

_field_facts := {
	"message": sprintf("%s may not change %s of %s; granted fields: %s", [
		_agent, _excess, _object, texts.listed({field | some field in _nearest.fields}),
	]),
	"field": _offence,
	"asked": _excess,
	"limit": texts.bounded({field | some field in _nearest.fields}),
	"passes": _example_field(_nearest.fields[0], _nearest.fieldPaths[0]),
} if {
	input.request.operation == "UPDATE"
}

# Of the rules that fail on fields alone, the one that leaves least uncovered.
_nearest := _rules_of_verb[index] if {
	[_, index] := min({[count(_uncovered(rule)), index] | some index, rule in _rules_of_verb})
}

_uncovered(rule) := [change.text | some change in input.changed.fields; not _covers_path(rule, change.path)]

default _offence := "."

_offence := texts.plain(_uncovered(_nearest)[0])

default _excess := "more fields than are compared"

_excess := _offence if count(_uncovered(_nearest)) > 0

_example_field(field, path) := texts.plain(field) if not -1 in path

_example_field(field, path) := texts.plain(replace(field, "[*]", "[0]")) if -1 in path

_agent := texts.plain(input.agent.name)

_form := kinds.form(input.request.resource, input.request.subresource)

_kind := texts.plain(kinds.text(input.request.group, _form))

_verb := concat(" or ", input.request.verbs)

_object := sprintf("%s %s", [_kind, _name])

_name := "without a fixed name" if input.request.name == ""

_name := texts.quoted(input.request.name) if input.request.name != ""

_place := "cluster-wide" if input.request.namespace == ""

_place := sprintf("in namespace %s", [texts.quoted(input.request.namespace)]) if input.request.namespace != ""

_scope := "cluster" if input.request.namespace == ""

_scope := "namespaced" if input.request.namespace != ""
