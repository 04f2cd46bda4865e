"""Who wrote: from what the API server authenticated to an agent's mandate, or to nobody's.

Decides identity only. Nothing that an agent can write itself (labels,
annotations, user agents, field managers) is identity, and no permission is
judged here.
"""
