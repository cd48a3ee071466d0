import pytest

from reconciler.config.changes import changes
from reconciler.config.models import Configuration, ManifestProject
from reconciler.git.globs import FileLimits


def configuration(text: str, **more) -> Configuration:
    """`p1 p2'`: two projects, the second one changed."""
    return Configuration(
        projects=tuple(
            ManifestProject(id=word.rstrip("'"), url="https://h/a", prune=not word.endswith("'"))
            for word in text.split()
        ),
        **more,
    )


@pytest.mark.parametrize(
    ("before", "after", "stop", "restart", "start"),
    [
        pytest.param("", "", "", "", "", id="nothing at all"),
        pytest.param("", "p1 p2 p3", "", "", "p1 p2 p3", id="each new project once"),
        pytest.param("", "p1", "", "", "p1", id="first"),
        pytest.param("p1", "p1' p2", "", "p1", "p2", id="one changed, one new"),
        pytest.param("p1' p2", "p3 p2'", "p1", "p2", "p3", id="one gone, one changed, one new"),
        pytest.param("p3 p2'", "p1' p2", "p3", "p2", "p1", id="and the other way round"),
        pytest.param("p1' p2", "p1", "p2", "p1", "", id="one gone, one changed back"),
        pytest.param("p1", "", "p1", "", "", id="all gone"),
        pytest.param("p1 p2", "p2 p1", "", "", "", id="order does not matter"),
    ],
)
def test_changes(before, after, stop, restart, start):
    got = changes(configuration(before), configuration(after))
    assert got.stop == tuple(stop.split())
    assert tuple(p.id for p in got.restart) == tuple(restart.split())
    assert tuple(p.id for p in got.start) == tuple(start.split())


def test_a_changed_limit_concerns_every_project():
    before, after = configuration("p1"), configuration("p1", limits=FileLimits(max_files=5))
    assert [p.id for p in changes(before, after).restart] == ["p1"]
