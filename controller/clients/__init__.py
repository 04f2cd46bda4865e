"""All input and output: the Kubernetes API, the policy engine, certificates on the disk.

Adapters of the ports that the decisions define. They report what is, in values and
in small families of faults, and decide nothing.
"""
