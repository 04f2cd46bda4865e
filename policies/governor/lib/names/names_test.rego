package governor.lib.names_test

import data.governor.lib.names

test_example[sentence] if {
	some sentence, case in {
		"a literal name": ["settings", "", "configmaps", "settings"],
		"a beginning": ["settings-*", "", "configmaps", "settings-x"],
		"an end": ["*-settings", "", "configmaps", "x-settings"],
		"anything": ["*", "", "configmaps", "x"],
		"a subdomain": ["*.example.com", "", "configmaps", "x.example.com"],
		"a beginning as long as a namespace's name": [concat("", [sixty_three, "*"]), "", "namespaces", sixty_three],
		"a role's name": ["system:*", "rbac.authorization.k8s.io", "roles", "system:x"],
		"a literal definition": [
			"widgets.example.com", "apiextensions.k8s.io", "customresourcedefinitions", "widgets.example.com",
		],
		"a service's name": ["web-*", "", "services", "web-x"],
		"a job's name": [concat("", [sixty_three, "*"]), "batch", "jobs", sixty_three],
	}
	names.example(case[0], case[1], case[2]) == case[3]
}

test_no_example[sentence] if {
	some sentence, case in {
		"uppercase": ["Settings-*", "", "configmaps"],
		"an underscore": ["a_*", "", "configmaps"],
		"a name that begins with a hyphen": ["-*", "", "configmaps"],
		"no name": ["", "", "configmaps"],
		"a subdomain where a label belongs": ["*.example", "", "namespaces"],
		"a service's name that begins with a digit": ["1-*", "", "services"],
		"a cron job's name that leaves no room for its jobs'": [sixty_three, "batch", "cronjobs"],
		"a job's name that leaves no room for its pods' label": [concat("", [sixty_three, "a"]), "batch", "jobs"],
		"a namespace's name that is too long": [concat("", [sixty_three, "a*"]), "", "namespaces"],
		"a role's name with a slash": ["a/*", "rbac.authorization.k8s.io", "roles"],
		"a role's name that is a folder": [".", "rbac.authorization.k8s.io", "roles"],
		"a definition, which is named by what it defines": [
			"*.example.com", "apiextensions.k8s.io", "customresourcedefinitions",
		],
	}
	not names.example(case[0], case[1], case[2])
}

sixty_three := "a23456789-123456789-123456789-123456789-123456789-123456789-123"
