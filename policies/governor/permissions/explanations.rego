package governor.permissions

import data.governor.lib.kinds
import data.governor.lib.names
import data.governor.lib.refusals
import data.governor.lib.texts

# What is said of a denial. Each has a default, for a document of any shape: a
# denial with little to say is still a denial. `passes` is a value that the write
# would be granted with if all else about it stayed as it is.

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
	"passes": refusals.plainest({[contains(pattern, "*"), example] |
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
	"passes": refusals.plainest({[contains(pattern, "*"), example] |
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
	"field": null,
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

default _offence := null

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
