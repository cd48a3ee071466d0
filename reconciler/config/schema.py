"""
The JSON Schema of config.yaml, for editors.

Pure, and generated from the models: docs/config.schema.json is the output of
`python -m reconciler.config.schema`, kept equal by a test. It knows one key at a time;
rules between keys (ids, URLs, dependencies) are only checked by parse.py.
"""

import json
import sys
from typing import Any

from pydantic.json_schema import models_json_schema

from reconciler.config import compat
from reconciler.config.keys import ConfigFile, Keys

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema as plain data."""
    models: list[type[Keys]] = [ConfigFile, *dict.fromkeys(compat.SECTIONS.values())]
    references, schema = models_json_schema([(model, "validation") for model in models])
    definitions = schema["$defs"]
    root = definitions.pop(ConfigFile.__name__)
    for name, model in compat.SECTIONS.items():
        root["properties"][name] = references[model, "validation"]
    return {"$schema": DIALECT, **_tidy(root), "$defs": _tidy(definitions)}


def _tidy(node: Any) -> Any:
    """Without titles that only repeat names, and with defaults as one would write them."""
    if isinstance(node, list):
        return [_tidy(part) for part in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _tidy(value) for key, value in node.items() if not _is_noise(key, value)}
    if isinstance(kept.get("default"), float):
        kept["default"] = f"{kept['default']:g}s"  # only durations are fractions of something
    return kept


def _is_noise(key: str, value: Any) -> bool:
    if key == "title":
        return isinstance(value, str)
    # null is what "not there" reads as, and a mapping's default is the sum of its keys' defaults.
    return key == "default" and (value is None or isinstance(value, dict))


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
