"""
What the old agent's engine does in each case of its own tests, repeated here as tables.

A row that is different on purpose says so in its id ("ours: ..."); docs/applying-and-pruning.md
explains each of them.
"""
