"""What a write changes: the fields in which the new object differs from the old.

Compares values only; whether a change is allowed is policy's business.
"""
