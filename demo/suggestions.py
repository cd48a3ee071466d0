"""
What a visitor may try next, in five lines. Pure but for the place of our command.

The commands work as they are, in any other terminal. Neighbour: live.py prints them.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from demo import repositories
from demo.service import command
from demo.target import Target


def text(target: Target, shop: Path, *, environment: Mapping[str, str]) -> str:
    """The five lines; `environment` is ours, in which the visitor may have set KUBECONFIG for make alone."""
    context = f" --context {shlex.quote(target.context)}" if target.context else ""
    exports = f'PATH={shlex.quote(str(command().parent))}:"$PATH"'
    if kubeconfig := _kubeconfig(target, environment):
        exports = f"KUBECONFIG={shlex.quote(kubeconfig)} {exports}"
    status = f"reconciler status --agent-name {repositories.AGENT}{context}"
    lines = {
        "first": f"cd {shlex.quote(str(shop))} && export {exports}",
        "change": "sed -i 's/replicas: 2/replicas: 3/' web.yaml && git commit -qam 'Three web servers'",
        "break": "sed -i 's/minutes: 45/minutes: many/' maintenance.yaml && git commit -qam 'Too long'"
        f"  # report: {status}; undo: git revert --no-edit HEAD",
        "remove": "git rm -q service.yaml && git commit -qm 'No Service'"
        f"  # pruned: kubectl{context} get all -n shop",
    }
    head = "To try in another terminal (the service asks git every second; Ctrl-C here ends it all):"
    return "\n".join([head, *(f"  {name:<7} {line}" for name, line in lines.items())])


def _kubeconfig(target: Target, environment: Mapping[str, str]) -> str:
    """What KUBECONFIG has to be, as paths that hold in any directory; "" for kubectl's default."""
    if target.kubeconfig is not None:
        return str(target.kubeconfig)
    given = environment.get("KUBECONFIG", "").split(os.pathsep)
    return os.pathsep.join(str(Path(path).absolute()) for path in given if path)
