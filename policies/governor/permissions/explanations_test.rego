package governor.permissions_test

# A denial as it is shown, but for what is the same in each of its code.
explained(case) := object.remove(denial_of(case), ["remaining", "retry", "rule", "code"])

test_every_denial_has_the_keys_of_the_contract if {
	denial_of(document([], {})) == {
		"code": "kind-not-granted",
		"rule": "Kind not granted",
		"message": "migrator may not write configmaps; granted kinds: nothing",
		"field": "kind",
		"asked": "configmaps",
		"limit": [],
		"remaining": null,
		"passes": null,
		"retry": false,
	}
}

test_a_denied_kind_is_explained if {
	explained(document([rule({"apiGroups": ["apps", "batch"], "resources": ["jobs", "statefulsets"]})], scale)) == {
		"message": concat("", [
			"migrator may not write deployments.apps/scale; ",
			"granted kinds: jobs.apps, jobs.batch, statefulsets.apps, statefulsets.batch",
		]),
		"field": "kind",
		"asked": "deployments.apps/scale",
		"limit": ["jobs.apps", "jobs.batch", "statefulsets.apps", "statefulsets.batch"],
		"passes": null,
	}
}

test_a_denied_namespace_is_explained if {
	explained(document([rule({"namespaces": ["scratch-*", "prod"]})], {})) == {
		"message": "migrator may not write configmaps in namespace \"team-data\"; granted namespaces: prod, scratch-*",
		"field": "metadata.namespace",
		"asked": "team-data",
		"limit": ["prod", "scratch-*"],
		"passes": "prod",
	}
}

test_a_denied_cluster_scoped_object_is_explained if {
	explained(document([rule(object.union(anything, {"namespaces": ["team-*"]}))], node)) == {
		"message": "migrator may not write nodes cluster-wide; granted namespaces: team-*",
		"field": "metadata.namespace",
		"asked": "",
		"limit": ["team-*"],
		"passes": null,
	}
}

test_a_denied_name_is_explained if {
	explained(document([rule({"resourceNames": ["prefs-*"]})], {})) == {
		"message": "migrator may not write configmaps \"settings-a\"; granted names: prefs-*",
		"field": "metadata.name",
		"asked": "settings-a",
		"limit": ["prefs-*"],
		"passes": "prefs-x",
	}
}

test_a_denied_name_that_the_server_will_choose_is_explained if {
	case := document([rule({"verbs": ["create"]})], object.union(creating, {"name": ""}))
	explained(case) == {
		"message": "migrator may not write configmaps without a fixed name; granted names: settings-*",
		"field": "metadata.name",
		"asked": "",
		"limit": ["settings-*"],
		"passes": "settings-x",
	}
}

test_a_denied_verb_is_explained if {
	explained(document([base_rule], deleting)) == {
		"message": "migrator may not delete configmaps \"settings-a\"; granted verbs: get, patch, update",
		"field": "verb",
		"asked": "delete",
		"limit": ["get", "patch", "update"],
		"passes": "patch",
	}
}

test_a_denied_update_names_both_of_its_verbs if {
	denial_of(document([rule({"verbs": ["get", "create"]})], {})).asked == "update or patch"
}

test_a_denied_field_is_explained if {
	explained(editing([["data"], ["metadata", "labels"]], [["data", "level"], ["immutable"]])) == {
		"message": concat("", [
			"migrator may not change immutable of configmaps \"settings-a\"; ",
			"granted fields: data, metadata.labels",
		]),
		"field": "immutable",
		"asked": "immutable",
		"limit": ["data", "metadata.labels"],
		"passes": "data",
	}
}

test_a_denied_creation_under_fields_is_explained if {
	explained(document([object.union(fields_rule([["data"]]), {"verbs": ["create"]})], creating)) == {
		"message": "migrator may not create configmaps \"settings-a\" whole, only change: data",
		"field": null,
		"asked": "create",
		"limit": ["data"],
		"passes": null,
	}
}

test_a_truncated_change_names_the_object_where_every_listed_field_is_granted if {
	case := object.union(editing([["data"]], [["data", "level"]]), {"changed": {"truncated": true}})
	explained(case) == {
		"message": "migrator may not change more fields than are compared of configmaps \"settings-a\"; granted fields: data",
		"field": null,
		"asked": "more fields than are compared",
		"limit": ["data"],
		"passes": "data",
	}
}

test_a_denied_field_is_the_one_that_the_nearest_rule_lacks if {
	case := object.union(
		editing([], [["data", "level"], ["metadata", "labels", "tier"]]),
		{"mandate": {"rules": [fields_rule([["spec"]]), fields_rule([["data"]])]}},
	)
	denial := denial_of(case)
	[denial.field, denial.limit] == ["metadata.labels.tier", ["data"]]
}

test_what_passes[sentence] if {
	some sentence, case in {
		"a kind of the same verb, not one of another": ["secrets", document(
			[rule({"verbs": ["get"], "resources": ["pods"]}), rule({"resources": ["secrets"]})],
			{},
		)],
		"no kind where the rest is not granted": [null, document(
			[rule({"resources": ["secrets"], "resourceNames": ["other"]})],
			{},
		)],
		"no kind that cannot take the verb": [null, document(
			[rule({"verbs": ["*"], "resources": ["pods/exec", "pods/resize"]})],
			deleting,
		)],
		"a kind that exists in its group": ["jobs.batch", document(
			[rule({"apiGroups": ["apps", "batch"], "resources": ["jobs"]})],
			{},
		)],
		"a kind of our own group": ["widgets.example.com", document(
			[rule({"apiGroups": ["apps", "example.com"], "resources": ["widgets"]})],
			{},
		)],
		"a kind of a whole group": ["daemonsets.apps", document(
			[rule({"apiGroups": ["apps"], "resources": ["*"]})],
			{},
		)],
		"a kind of every group": ["jobs.batch", document([rule({"apiGroups": ["*"], "resources": ["jobs"]})], {})],
		"a subresource of every resource": ["deployments.apps/scale", document(
			[rule({"apiGroups": ["apps"], "resources": ["*/scale"]})],
			{},
		)],
		"a cluster-scoped kind for a cluster-scoped write": ["persistentvolumes", document(
			[rule({"namespaces": [], "resources": ["persistentvolumes", "configmaps"], "resourceNames": []})],
			node,
		)],
		"a namespace that a glob stands for": ["scratch-x", document([rule({"namespaces": ["scratch-*"]})], {})],
		"a namespace of a rule that grants the rest": ["test", document(
			[rule({"namespaces": ["prod"], "verbs": ["get"]}), rule({"namespaces": ["test"]})],
			{},
		)],
		"no namespace that none may have": [null, document([rule({"namespaces": ["Prod-*"]})], {})],
		"a name of a rule that grants the rest": ["b", document(
			[rule({"resourceNames": ["a"], "verbs": ["get"]}), rule({"resourceNames": ["b"]})],
			{},
		)],
		"no verb that only reads": [null, document([rule({"verbs": ["get", "list"]})], {})],
		"no verb that the subresource cannot take": [null, document(
			[rule({"apiGroups": ["apps"], "resources": ["*"], "verbs": ["delete"], "resourceNames": []})],
			scale,
		)],
		"the verb that a connection needs": ["create", document(
			[rule({"resources": ["pods/exec"], "verbs": ["get", "create"], "resourceNames": []})],
			object.union(connecting, creating_by("patch")),
		)],
		"no verb that makes or removes, under fields": ["update", document(
			[object.union(fields_rule([["data"]]), {"verbs": ["create", "update"]})],
			deleting,
		)],
		"the first item where any item's field is granted": [
			"spec.containers[0].image",
			editing([["spec", "containers", -1, "image"]], [["spec", "paused"]]),
		],
	}
	denial_of(case[1]).passes == case[0]
}

creating_by(verb) := {"verbs": [verb]}

test_what_callers_choose_is_shown_on_one_line if {
	case := document([rule({"resourceNames": ["a"]})], {"name": "a\nb\u202ec\"d"})
	explained(case).asked == "a\ufffdb\ufffdc\"d"
	contains(explained(case).message, `"a\ufffdb\ufffdc\"d"`) == false
	contains(explained(case).message, "\n") == false
}

test_what_callers_choose_is_cut if {
	case := document([rule({"resourceNames": ["a"]})], {"name": long_name})
	count(explained(case).asked) == 253
	count(explained(case).message) < 400
}

test_what_is_granted_is_cut if {
	case := document([rule({"resourceNames": [sprintf("n-%d", [n]) | some n in numbers.range(100, 199)]})], {})
	count(explained(case).limit) == 20
	endswith(explained(case).message, "n-119 and 80 more")
}

long_name := concat("", [sprintf("%d", [n]) | some n in numbers.range(1000, 1999)])
