"""What objects ask for: integers of one unit each, extracted from their specs.

Pure, and total over everything that the API server stores. `pods` reads one Pod or template,
`workloads` whatever makes Pods, `changes` compares what is stored with what is to be,
`scaling` knows scales and autoscalers, `letting_go` finds Pods that would be left behind,
`asked` answers for a write, `ownership` says whose an object is. Quantities are read in
`controller.apis.quantities`; trees of objects are added up in `controller.accounts.recount`.
"""
