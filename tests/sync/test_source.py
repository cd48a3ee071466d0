"""What a run reads of its repository can be given up at any moment."""

import asyncio
import threading
from pathlib import Path

import pytest

from reconciler.git.globs import FileLimits
from reconciler.git.mirror import Mirror
from reconciler.git.refs import RefSpec
from reconciler.manifests.cache import DecodeCache
from reconciler.manifests.decode import Decoded
from reconciler.manifests.manifest import Scope
from reconciler.sync import source
from tests.fix_git import Repository


async def test_cancelled_run_decodes_no_further_file(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({f"{n}.yaml": f"# {n}\n" for n in range(50)})
    mirror = Mirror(repo.url, root=tmp_path / "mirrors", allow_local=True)
    found = await mirror.resolve(RefSpec(), None)
    await mirror.fetch(found, None)
    begun, go_on, decoded = threading.Event(), threading.Event(), []

    def slowly(data: bytes) -> tuple[Decoded, tuple[bytes, ...]]:
        decoded.append(data)
        begun.set()
        assert go_on.wait(10)
        return Decoded((), (), complete=True), ()

    monkeypatch.setattr(source, "decode_with_texts", slowly)
    reading = source.Source(mirror, DecodeCache(tmp_path / "cache"), source.Bodies(), file_limit=1000)
    run = asyncio.create_task(
        reading.manifests(
            mirror.revision(found),
            ("**",),
            limits=FileLimits(),
            default_namespace="default",
            scope=lambda *_: Scope.NAMESPACED,
        )
    )
    await asyncio.to_thread(begun.wait, 10)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    go_on.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    reading.close()
    assert len(decoded) == 1
