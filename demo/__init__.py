"""
`make demo`: the real service on real git repositories, in front of a cluster.

Not part of the service: nothing in `reconciler` imports it. `python -m demo --help`.
"""
