"""One manifest project: plan, apply, prune, inventory, status."""
