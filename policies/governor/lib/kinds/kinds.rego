# METADATA
# title: Kinds
# description: |
#   What RBAC's resource names stand for, and which writes each can take. The
#   table is for advice only: what it does not know is never refused for that.
# scope: package
package governor.lib.kinds

# METADATA
# title: Forms
# description: |
#   Every way in which a rule's `resources` may name this resource, by RBAC: a
#   plain name does not cover its subresources, `*` covers them too.
# scope: document
forms(resource, "") := {"*", resource}

forms(resource, subresource) := {
	"*",
	concat("/", [resource, subresource]),
	concat("/", ["*", subresource]),
} if {
	subresource != ""
}

# METADATA
# title: Form
# description: The resource with its subresource, as RBAC writes it.
# scope: document
form(resource, "") := resource

form(resource, subresource) := concat("/", [resource, subresource]) if subresource != ""

# METADATA
# title: Text
# description: The resource of a group as kubectl writes it, e.g. `deployments.apps/scale`.
# scope: document
text("", form) := form

text(group, form) := concat("/", array.concat(
	[concat(".", [split(form, "/")[0], group])],
	array.slice(split(form, "/"), 1, 2),
)) if {
	group != ""
}

# METADATA
# title: Takes
# description: The write verbs that the resource can take.
# scope: document
takes(_, form) := _on_objects if not contains(form, "/")

takes(_, form) := object.get(_on_subresources, split(form, "/")[1], _on_parts) if contains(form, "/")

# METADATA
# title: Examples
# description: |
#   Texts of existing resources that one of `groups` × `resources` covers and
#   that can take one of `verbs`. A resource that the table does not know is
#   taken to exist in a group that it does not know either.
examples(scope, groups, resources, verbs) := known | own if {
	known := {text(group, form) |
		some group, known_forms in _known[scope]
		_stands_for(groups, group)
		some form in known_forms
		_covers(resources, form)
		_takes_one(group, form, verbs)
	}
	own := {text(group, form) |
		some group in groups
		group != "*"
		not _is_known_group(group)
		some form in resources
		not contains(form, "*")
		_takes_one(group, form, verbs)
	}
}

_takes_one(group, form, verbs) if {
	some verb in takes(group, form)
	verb in verbs
}

_stands_for(groups, _) if "*" in groups

_stands_for(groups, group) if group in groups

_covers(resources, form) if {
	parts := split(form, "/")
	some resource in resources
	resource in forms(parts[0], concat("", array.slice(parts, 1, 2)))
}

_is_known_group(group) if _known[_][group]

_on_objects := {"create", "update", "patch", "delete", "deletecollection"}

_on_parts := {"update", "patch"}

_on_subresources := {
	"attach": {"create"},
	"binding": {"create"},
	"eviction": {"create"},
	"exec": {"create"},
	"portforward": {"create"},
	"proxy": {"create"},
	"token": {"create"},
}

_known := {
	"namespaced": {
		"": [
			"configmaps", "persistentvolumeclaims", "pods", "pods/attach", "pods/ephemeralcontainers",
			"pods/eviction", "pods/exec", "pods/portforward", "pods/proxy", "pods/resize",
			"replicationcontrollers", "replicationcontrollers/scale", "secrets", "serviceaccounts",
			"serviceaccounts/token", "services", "services/proxy",
		],
		"apps": [
			"daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale",
			"statefulsets", "statefulsets/scale",
		],
		"autoscaling": ["horizontalpodautoscalers"],
		"batch": ["cronjobs", "jobs"],
		"coordination.k8s.io": ["leases"],
		"discovery.k8s.io": ["endpointslices"],
		"networking.k8s.io": ["ingresses", "networkpolicies"],
		"policy": ["poddisruptionbudgets"],
		"rbac.authorization.k8s.io": ["rolebindings", "roles"],
	},
	"cluster": {
		"": ["namespaces", "nodes", "persistentvolumes"],
		"apiextensions.k8s.io": ["customresourcedefinitions"],
		"node.k8s.io": ["runtimeclasses"],
		"rbac.authorization.k8s.io": ["clusterrolebindings", "clusterroles"],
		"scheduling.k8s.io": ["priorityclasses"],
		"storage.k8s.io": ["storageclasses"],
	},
}
