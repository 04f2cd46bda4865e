"""What objects ask for: integers of one unit each, extracted from their specs.

Pure, and total over everything that the API server stores. `quantities` reads
Kubernetes' numbers, `pods` one Pod's spec, `workloads` whatever makes Pods, `asked`
compares a write's two objects, `ownership` says whose an object is.
"""
