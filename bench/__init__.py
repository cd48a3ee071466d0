"""
How fast and how quiet the service is, beside `kubectl apply` on the same server in one run.

    python -m bench                 # all rows, about twenty minutes on two cores
    python -m bench --quick         # 100 and 300 objects: does the bench itself work?

Numbers are for comparing within a run, never between runs or machines. Requests are counted by
the API server (its audit log, by user), never by a client. Not part of the wheel.
"""
