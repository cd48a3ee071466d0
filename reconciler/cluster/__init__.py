"""The Kubernetes API: client, discovery, apply, watch, health. Only this package imports kubernetes."""
