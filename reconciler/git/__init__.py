"""Git: mirrors, credentials, globs. Only this package imports GitPython or runs git."""
