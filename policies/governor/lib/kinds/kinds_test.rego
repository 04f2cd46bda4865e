package governor.lib.kinds_test

import data.governor.lib.kinds

test_forms[sentence] if {
	some sentence, case in {
		"an object": ["deployments", "", {"*", "deployments"}],
		"a subresource": ["deployments", "scale", {"*", "deployments/scale", "*/scale"}],
	}
	kinds.forms(case[0], case[1]) == case[2]
}

test_form[sentence] if {
	some sentence, case in {
		"an object": ["deployments", "", "deployments"],
		"a subresource": ["deployments", "scale", "deployments/scale"],
	}
	kinds.form(case[0], case[1]) == case[2]
}

test_text[sentence] if {
	some sentence, case in {
		"the core group": ["", "pods", "pods"],
		"the core group's subresource": ["", "pods/exec", "pods/exec"],
		"another group": ["apps", "deployments", "deployments.apps"],
		"another group's subresource": ["apps", "deployments/scale", "deployments.apps/scale"],
		"every resource of a group": ["apps", "*", "*.apps"],
		"a subresource of every resource": ["*", "*/scale", "*.*/scale"],
	}
	kinds.text(case[0], case[1]) == case[2]
}

test_takes[sentence] if {
	some sentence, case in {
		"an object": ["pods", {"create", "update", "patch", "delete", "deletecollection"}],
		"an action": ["pods/exec", {"create"}],
		"a part": ["pods/resize", {"update", "patch"}],
		"a part that we do not know": ["widgets/wings", {"update", "patch"}],
	}
	kinds.takes("", case[0]) == case[1]
}

test_examples[sentence] if {
	some sentence, case in {
		"none of none": ["namespaced", [], [], {"create"}, set()],
		"what is named": ["namespaced", ["apps"], ["deployments"], {"create"}, {"deployments.apps"}],
		"what exists": ["namespaced", ["apps", "batch"], ["deployments", "jobs"], {"create"}, {
			"deployments.apps", "jobs.batch",
		}],
		"all of a group": ["namespaced", ["batch"], ["*"], {"create"}, {"cronjobs.batch", "jobs.batch"}],
		"one of every group": ["namespaced", ["*"], ["jobs"], {"create"}, {"jobs.batch"}],
		"a subresource of all": ["namespaced", ["apps"], ["*/scale"], {"patch"}, {
			"deployments.apps/scale", "replicasets.apps/scale", "statefulsets.apps/scale",
		}],
		"cluster-scoped ones": ["cluster", ["", "apps"], ["nodes", "pods"], {"patch"}, {"nodes"}],
		"ones that take the verb": ["namespaced", [""], ["pods", "pods/exec"], {"delete"}, {"pods"}],
		"those of a group that we do not know": ["namespaced", ["example.com", "*"], ["widgets", "*/wings"], {"create"}, {
			"widgets.example.com",
		}],
		"none of a group that has no such": ["namespaced", ["apps"], ["widgets"], {"create"}, set()],
	}
	kinds.examples(case[0], case[1], case[2], case[3]) == case[4]
}
