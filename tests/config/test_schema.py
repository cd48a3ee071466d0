from pathlib import Path

from reconciler.config import compat, keys, schema

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_schema_is_the_one_of_the_models():
    committed = (DOCS / "config.schema.json").read_text(encoding="utf-8")
    assert committed == schema.text(), "python -m reconciler.config.schema > docs/config.schema.json"


def test_every_key_of_the_file_is_in_the_schema_with_its_meaning():
    got = schema.json_schema()
    project = got["$defs"]["ManifestProjectEntry"]
    assert set(got["properties"]) == set(keys.ConfigFile.model_fields)
    assert set(project["properties"]) == set(keys.ManifestProjectEntry.model_fields)
    assert [name for name, key in project["properties"].items() if not key.get("description")] == []
    assert not project["additionalProperties"]


def test_defaults_are_written_as_a_file_has_them():
    project = schema.json_schema()["$defs"]["ManifestProjectEntry"]["properties"]
    assert project["reconcile_timeout"]["default"] == "3600s"
    assert project["prune"]["default"] is True


def test_every_ignored_section_is_in_the_schema():
    got = schema.json_schema()
    for name, model in compat.SECTIONS.items():
        assert got["properties"][name] == {"$ref": f"#/$defs/{model.__name__}"}
