"""config.yaml: models, strict parsing, where it comes from."""
