"""The composition root: the parts of a process, built from what the commands were given."""
