"""Makes a Kubernetes cluster equal to what git declares."""

__version__ = "0.1.0"
