"""The command line: reads arguments and files, calls the decisions, shows what they say.

`app` is the command, with one module for each subcommand. Nothing is decided here
that a webhook or a reconciler would decide otherwise.
"""
