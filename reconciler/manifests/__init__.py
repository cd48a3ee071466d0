"""Manifests: identity, decoding, namespaces, dependency order. Pure but for its disk cache."""
