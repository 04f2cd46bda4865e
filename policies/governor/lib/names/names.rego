# METADATA
# title: Names
# description: Names that a glob stands for and that the Kubernetes API accepts.
# scope: package
package governor.lib.names

# METADATA
# title: Example
# description: |
#   A name that the glob matches and that an object of the resource may have;
#   undefined where the rules of names leave none that is easy to find.
example(pattern, group, resource) := [name |
	some filler in ["x", ""]
	name := replace(pattern, "*", filler)
	_takes(group, resource, name)
	_is_free(pattern, resource)
][0]

# Literal names are their author's; a name of these is given by what is named.
_is_free(pattern, _) if not contains(pattern, "*")

_is_free(_, resource) if not resource in _given

_given := {"apiservices", "csinodes", "customresourcedefinitions", "ipaddresses", "nodes"}

_takes("rbac.authorization.k8s.io", _, name) if {
	regex.match(`^[^/%]{1,253}$`, name)
	not name in {".", ".."}
}

_takes(group, resource, name) if {
	group != "rbac.authorization.k8s.io"
	not resource in _labels
	count(name) <= object.get(_longest, resource, 253)
	regex.match(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`, name)
}

_takes(_, resource, name) if {
	resource in _labels
	count(name) <= 63
	regex.match(object.get(_label, resource, `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`), name)
}

_labels := {"namespaces", "services", "statefulsets"}

# Kubernetes before 1.36 or so wants a Service's name to start with a letter.
_label := {"services": `^[a-z]([-a-z0-9]*[a-z0-9])?$`}

# What is made from the object carries its name, and something behind it.
_longest := {"cronjobs": 52, "jobs": 63}
