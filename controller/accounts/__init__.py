"""The account of one agent: what is reserved, what is settled, and by which evidence.

Pure values and functions after the Account protocol (docs/adr/0006). Nothing here
waits, reads a clock or writes; the shells loop the compare-and-swap.
"""
