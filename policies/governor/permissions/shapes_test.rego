package governor.permissions_test

import data.governor.permissions

# Whatever a document lacks, and whatever it has where something else belongs,
# no rule is found to cover it.
test_denied_in_any_shape[sentence] if {
	some sentence, case in {
		"nothing at all": {},
		"null": null,
		"no request": object.remove(base_document, ["request"]),
		"no mandate": object.remove(base_document, ["mandate"]),
		"rules that are null": document(null, {}),
		"rules that are no rules": document([null, 1, "*", [], {}], {}),
		"a rule without resources": document([object.remove(base_rule, ["resources"])], {}),
		"a rule without namespaces": document([object.remove(base_rule, ["namespaces"])], {}),
		"a rule without names": document([object.remove(base_rule, ["resourceNames"])], {}),
		"a rule without verbs": document([object.remove(base_rule, ["verbs"])], {}),
		"a rule without fields": document([object.remove(base_rule, ["fields"])], {}),
		"no group": without_request("group"),
		"no resource": without_request("resource"),
		"no subresource": without_request("subresource"),
		"no namespace": without_request("namespace"),
		"no name": without_request("name"),
		"no verbs": without_request("verbs"),
		"no operation, under fields": object.union(
			without_request("operation"),
			{"mandate": {"rules": [fields_rule([["data"]])]}},
		),
		"no changed, under fields": object.remove(editing([["data"]], []), ["changed"]),
		"changed fields that are null, under fields": object.union(
			editing([["data"]], []),
			{"changed": {"fields": null}},
		),
		"a changed field without a path, under fields": object.union(
			editing([["data"]], []),
			{"changed": {"fields": [{"text": "data"}]}},
		),
	}
	denials := permissions.deny with input as case
	count(denials) == 1
	every denial in denials {
		object.keys(denial) == object.keys(denial_of(document([], {})))
		denial.retry == false
	}
}

without_request(key) := object.union(
	object.remove(base_document, ["request"]),
	{"request": object.remove(base_document.request, [key])},
)

test_the_shape_of_the_objects_decides_nothing if {
	every shape in [null, 1, "x", [], {}, {"metadata": null}, {"spec": [[[]]]}] {
		granted := object.union(object.remove(base_document, ["object", "oldObject"]), {"object": shape, "oldObject": shape})
		count(permissions.deny) == 0 with input as granted
		denied := object.union(granted, {"mandate": {"rules": []}})
		count(permissions.deny) == 1 with input as denied
	}
}
