"""The admission webhook: HTTP in front of `controller.admission`.

Reads a request, has it reviewed, writes the answer. It decides nothing itself
but what to do when reviewing is impossible: refuse.
"""
