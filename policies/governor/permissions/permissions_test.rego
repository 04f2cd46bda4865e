package governor.permissions_test

import data.governor.permissions

# An update of one ConfigMap's data by an agent that one rule lets do so.
base_document := {
	"version": "governor.dev/input/v1",
	"now": "2026-11-24T23:03:28.123456Z",
	"request": {
		"operation": "UPDATE",
		"verbs": ["update", "patch"],
		"dryRun": false,
		"group": "",
		"version": "v1",
		"kind": "ConfigMap",
		"resource": "configmaps",
		"subresource": "",
		"namespace": "team-data",
		"name": "settings-a",
	},
	"agent": {
		"name": "migrator",
		"username": "system:serviceaccount:team-data:migrator",
		"uid": "7f0c4e2a-0f0e-4c57-9d0c-0d6f5f0e3b11",
		"groups": ["system:serviceaccounts", "system:serviceaccounts:team-data", "system:authenticated"],
		"credential": "JTI=2b0b7c52-6f1c-4f0e-9f5f-0e6d5b6a7c88",
		"pod": {"name": "migrator-0", "uid": "0c6b9c2e-2d5f-4f4e-8a51-6a1f2b3c4d5e"},
	},
	"mandate": {
		"name": "migrator",
		"generation": 3,
		"enforcement": "Enforce",
		"rules": [base_rule],
		"quota": {"pods": "20"},
		"budgets": [{"name": "spend", "resource": "usd", "limit": "40", "windowSeconds": 86400}],
	},
	"object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings-a"}, "data": {"level": "info"}},
	"oldObject": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings-a"}, "data": {"level": "warn"}},
	"options": {"apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions"},
	"changed": {"fields": [{"path": ["data", "level"], "text": "data.level"}], "truncated": false},
	"asks": {"before": {}, "after": {}},
	"cost": {"usdPerHour": "0"},
	"usage": {"pods": "3"},
}

base_rule := {
	"verbs": ["get", "update", "patch"],
	"apiGroups": [""],
	"resources": ["configmaps"],
	"namespaces": ["team-data"],
	"resourceNames": ["settings-*"],
	"fields": [],
	"fieldPaths": [],
}

# The base document, with other rules and another request.
document(rules, request) := object.union(base_document, {"mandate": {"rules": rules}, "request": request})

# An update that changes these paths, by a rule that is held to these.
editing(granted, changed) := object.union(base_document, {
	"mandate": {"rules": [fields_rule(granted)]},
	"changed": {"fields": changes(changed)},
})

fields_rule(paths) := object.union(base_rule, {"fields": [shown(path) | some path in paths], "fieldPaths": paths})

changes(paths) := [{"path": path, "text": shown(path)} | some path in paths]

shown(path) := replace(concat(".", [sprintf("%v", [segment]) | some segment in path]), ".-1", "[*]")

rule(overrides) := object.union(base_rule, overrides)

creating := {"operation": "CREATE", "verbs": ["create"]}

deleting := {"operation": "DELETE", "verbs": ["delete"]}

deleting_collection := {"operation": "DELETE", "verbs": ["deletecollection"]}

connecting := {
	"operation": "CONNECT", "verbs": ["create"],
	"kind": "PodExecOptions", "resource": "pods", "subresource": "exec", "name": "web-0",
}

deployment := {"group": "apps", "kind": "Deployment", "resource": "deployments", "name": "web"}

scale := {"group": "apps", "kind": "Scale", "resource": "deployments", "subresource": "scale", "name": "web"}

node := {"kind": "Node", "resource": "nodes", "namespace": "", "name": "node-1"}

anything := {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": []}

granted_cases := {
	"one rule covers the write whole": base_document,
	"nothing changed, under a rule with fields": editing([["data"]], []),
	"the second of two rules covers it": document(
		[rule({"apiGroups": ["apps"]}), base_rule],
		{},
	),
	"a patch verb suffices for an update": document([rule({"verbs": ["patch"]})], {}),
	"an update verb suffices for an update": document([rule({"verbs": ["update"]})], {}),
	"every verb is granted": document([rule({"verbs": ["*"]})], deleting),
	"a creation by its verb": document([rule({"verbs": ["create"]})], creating),
	"a deletion by its verb": document([rule({"verbs": ["delete"]})], deleting),
	"a deletecollection by its verb": document([rule({"verbs": ["deletecollection"]})], deleting_collection),
	"a connection is a creation of the subresource": document(
		[rule({"verbs": ["create"], "resources": ["pods/exec"], "resourceNames": ["web-*"]})],
		connecting,
	),
	"every group is granted": document([rule({"apiGroups": ["*"]})], {}),
	"one group of several": document(
		[rule({"apiGroups": ["batch", "apps"], "resources": ["jobs", "deployments"], "resourceNames": []})],
		deployment,
	),
	"every resource is granted": document([rule({"resources": ["*"]})], {}),
	"every resource covers a subresource": document(
		[rule({"apiGroups": ["apps"], "resources": ["*"], "resourceNames": []})],
		scale,
	),
	"a subresource by its full name": document(
		[rule({"apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": []})],
		scale,
	),
	"a subresource of every resource": document(
		[rule({"apiGroups": ["apps"], "resources": ["*/scale"], "resourceNames": []})],
		scale,
	),
	"every name is granted where none is listed": document([rule({"resourceNames": []})], {}),
	"one namespace glob of several": document([rule({"namespaces": ["prod", "team-*"]})], {}),
	"every namespace is granted": document([rule({"namespaces": ["*"]})], {}),
	"a cluster-scoped object by a rule without namespaces": document(
		[rule(object.union(anything, {"namespaces": []}))],
		node,
	),
	"a name that the server will choose, where every name is granted": document(
		[rule({"verbs": ["create"], "resourceNames": []})],
		object.union(creating, {"name": ""}),
	),
	"a name that the server will choose, by a glob that no character needs": document(
		[rule({"verbs": ["create"], "resourceNames": ["**"]})],
		object.union(creating, {"name": ""}),
	),
	"a creation by a rule without fields beside one with": document(
		[fields_rule([["data"]]), rule({"verbs": ["create"]})],
		creating,
	),
	"a truncated change under a rule without fields": object.union(
		base_document,
		{"changed": {"truncated": true}},
	),
}

test_granted[sentence] if {
	some sentence, case in granted_cases
	count(permissions.deny) == 0 with input as case
}

granted_fields_cases := {
	"the field itself": [[["data"]], [["data"]]],
	"below the field": [[["data"]], [["data", "level"]]],
	"deep below the field": [[["spec", "template"]], [["spec", "template", "spec", "containers", 0, "image"]]],
	"several fields, each below one of several": [
		[["data"], ["metadata", "labels"]],
		[["data", "level"], ["metadata", "labels", "tier"], ["data", "size"]],
	],
	"any item of a list": [
		[["spec", "containers", -1, "image"]],
		[["spec", "containers", 0, "image"], ["spec", "containers", 7, "image"]],
	],
	"a whole item of a list": [[["spec", "containers", -1]], [["spec", "containers", 2, "env", 0, "value"]]],
	"one item of a list by its index": [[["spec", "containers", 1]], [["spec", "containers", 1, "image"]]],
	"two wildcards": [
		[["spec", "containers", -1, "env", -1, "value"]],
		[["spec", "containers", 1, "env", 3, "value"]],
	],
	"a key with dots and a slash": [
		[["metadata", "annotations", "example.com/x.y"]],
		[["metadata", "annotations", "example.com/x.y"]],
	],
	"a field twice granted": [[["data"], ["data"]], [["data", "level"]]],
}

test_granted_fields[sentence] if {
	some sentence, case in granted_fields_cases
	count(permissions.deny) == 0 with input as editing(case[0], case[1])
}

denied_fields_cases := {
	"another field": [[["data"]], [["binaryData"]], "binaryData"],
	"a sibling that begins like it": [[["data"]], [["dataFoo"]], "dataFoo"],
	"a nested sibling that begins like it": [
		[["metadata", "labels", "app"]],
		[["metadata", "labels", "app2"]], "metadata.labels.app2",
	],
	"above the field, where it was removed with its parent": [
		[["spec", "template", "spec"]],
		[["spec", "template"]], "spec.template",
	],
	"one granted field and one that is not": [
		[["data"]],
		[["data", "level"], ["metadata", "labels", "tier"]], "metadata.labels.tier",
	],
	"the first of two that are not granted": [
		[["data"]],
		[["spec", "a"], ["spec", "b"]], "spec.a",
	],
	"another index": [
		[["spec", "containers", 1]],
		[["spec", "containers", 10, "image"]], "spec.containers.10.image",
	],
	"an index that is a map's key": [[["data", 0]], [["data", "0"]], "data.0"],
	"a map's key where any item of a list is granted": [[["data", -1]], [["data", "level"]], "data.level"],
	"the list itself where its items are granted": [
		[["spec", "containers", -1]],
		[["spec", "containers"]], "spec.containers",
	],
	"another field of a granted list's item": [
		[["spec", "containers", -1, "image"]],
		[["spec", "containers", 0, "image"], ["spec", "containers", 0, "command"]],
		"spec.containers.0.command",
	],
	"the whole item where one of its fields is granted": [
		[["spec", "containers", -1, "image"]],
		[["spec", "containers", 3]], "spec.containers.3",
	],
	"a path without segments grants nothing": [[[]], [["data"]], "data"],
}

test_denied_fields[sentence] if {
	some sentence, case in denied_fields_cases
	denials := permissions.deny with input as editing(case[0], case[1])
	{[denial.code, denial.field, denial.asked] | some denial in denials} == {["field-not-granted", case[2], case[2]]}
}

denied_cases := {
	"no rules": ["kind-not-granted", document([], {})],
	"another group": ["kind-not-granted", document([rule({"apiGroups": ["apps"]})], {})],
	"another resource": ["kind-not-granted", document([rule({"resources": ["secrets"]})], {})],
	"a plain resource does not cover its subresource": [
		"kind-not-granted",
		document([rule({"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": []})], scale),
	],
	"a subresource does not cover its resource": [
		"kind-not-granted",
		document(
			[rule({"apiGroups": ["apps"], "resources": ["deployments/scale", "*/scale"], "resourceNames": []})],
			deployment,
		),
	],
	"another subresource": [
		"kind-not-granted",
		document(
			[rule({"apiGroups": ["apps"], "resources": ["deployments/status", "*/status"], "resourceNames": []})],
			scale,
		),
	],
	"a resource of RBAC is no glob": ["kind-not-granted", document([rule({"resources": ["config*"]})], {})],
	"every subresource is nothing that RBAC has": [
		"kind-not-granted",
		document([rule({"apiGroups": ["apps"], "resources": ["deployments/*"], "resourceNames": []})], scale),
	],
	"an empty group is the core group only": [
		"kind-not-granted",
		document([rule({"resources": ["deployments"], "resourceNames": []})], deployment),
	],
	"a group of one rule with the resource of another": [
		"kind-not-granted",
		document(
			[
				rule({"apiGroups": ["apps"], "resources": ["replicasets"], "resourceNames": []}),
				rule({"apiGroups": [""], "resources": ["deployments"], "resourceNames": []}),
			],
			deployment,
		),
	],
	"another namespace": ["namespace-not-granted", document([rule({"namespaces": ["prod"]})], {})],
	"a namespaced object by a rule without namespaces": [
		"namespace-not-granted",
		document([rule({"namespaces": []})], {}),
	],
	"a cluster-scoped object by a rule with every namespace": [
		"namespace-not-granted",
		document([rule(object.union(anything, {"namespaces": ["*"]}))], node),
	],
	"the kind of one rule in the namespace of another": [
		"namespace-not-granted",
		document([rule({"namespaces": ["prod"]}), rule({"resources": ["secrets"]})], {}),
	],
	"another name": ["name-not-granted", document([rule({"resourceNames": ["other", "prefs-*"]})], {})],
	"a name that begins like it": ["name-not-granted", document([rule({"resourceNames": ["settings"]})], {})],
	"a name that the server will choose": [
		"name-not-granted",
		document([rule({"verbs": ["create"]})], object.union(creating, {"name": ""})),
	],
	"the namespace of one rule with the name of another": [
		"name-not-granted",
		document([rule({"resourceNames": ["other"]}), rule({"namespaces": ["prod"]})], {}),
	],
	"another verb": ["verb-not-granted", document([base_rule], deleting)],
	"no verb at all": ["verb-not-granted", document([rule({"verbs": []})], {})],
	"a delete verb does not cover a deletecollection": [
		"verb-not-granted",
		document([rule({"verbs": ["delete"]})], deleting_collection),
	],
	"a deletecollection verb does not cover a deletion": [
		"verb-not-granted",
		document([rule({"verbs": ["deletecollection"]})], deleting),
	],
	"reads do not cover a connection": [
		"verb-not-granted",
		document([rule({"verbs": ["get"], "resources": ["pods/exec"], "resourceNames": []})], connecting),
	],
	"the verb of one rule with the namespace of another": [
		"verb-not-granted",
		document([base_rule, rule({"verbs": ["delete"], "namespaces": ["prod"]})], deleting),
	],
	"a creation by a rule with fields": [
		"field-not-granted",
		document([object.union(fields_rule([["data"]]), {"verbs": ["*"]})], creating),
	],
	"a deletion by a rule with fields": [
		"field-not-granted",
		document([object.union(fields_rule([["data"]]), {"verbs": ["*"]})], deleting),
	],
	"a deletecollection by a rule with fields": [
		"field-not-granted",
		document([object.union(fields_rule([["data"]]), {"verbs": ["*"]})], deleting_collection),
	],
	"a connection by a rule with fields": [
		"field-not-granted",
		document(
			[rule(object.union(anything, {"fields": ["data"], "fieldPaths": [["data"]]}))],
			connecting,
		),
	],
	"more changed than is listed, under a rule with fields": [
		"field-not-granted",
		object.union(editing([["data"]], [["data", "level"]]), {"changed": {"truncated": true}}),
	],
	"each field by another rule": [
		"field-not-granted",
		object.union(
			editing([], [["data", "level"], ["metadata", "labels", "tier"]]),
			{"mandate": {"rules": [fields_rule([["data"]]), fields_rule([["metadata", "labels"]])]}},
		),
	],
	"fields whose paths were not given": [
		"field-not-granted",
		document([rule({"fields": ["data"]})], {}),
	],
	"the field of one rule with the verb of another": [
		"field-not-granted",
		object.union(
			editing([], [["data", "level"]]),
			{"mandate": {"rules": [
				fields_rule([["metadata"]]),
				object.union(fields_rule([["data"]]), {"verbs": ["create"]}),
			]}},
		),
	],
}

test_denied[sentence] if {
	some sentence, case in denied_cases
	denials := permissions.deny with input as case[1]
	{denial.code | some denial in denials} == {case[0]}
	count(denials) == 1
}

# The one denial of a document.
denial_of(case) := denial if {
	some denial in permissions.deny with input as case
}
