import hashlib
import http.server
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import BUILTIN_DATASETS
from mfserve_trainer.datasets import cache_folder, fetch, list_builtin
from mfserve_trainer.datasets.download import RemoteFile, Unavailable, download

CONTENT = bytes(range(256)) * 20_000  # five MiB: several pieces


class Site(http.server.BaseHTTPRequestHandler):
    """Gives CONTENT; /short stops half way, /long does not stop, /other gives other bytes, else 404."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = {
            "/file": CONTENT,
            "/short": CONTENT[: len(CONTENT) // 2],
            "/long": CONTENT + b"x",
            "/other": CONTENT[::-1],
        }.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) if self.path == "/short" else len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:  # who asked has seen enough
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # closing waits for the answers under way


@pytest.fixture
def site() -> Iterator[http.server.ThreadingHTTPServer]:
    Site.asked = []
    with Server(("127.0.0.1", 0), Site) as server:
        # So often it looks whether it is to stop; half a second is what it does unless told.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def remote(site: http.server.ThreadingHTTPServer, path: str = "/file") -> RemoteFile:
    return RemoteFile(
        "file.zip",
        f"http://127.0.0.1:{site.server_address[1]}{path}",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_downloads_once_and_then_uses_the_cache(
    site: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    folder = tmp_path / "a" / "b"
    path = download(remote(site), folder, progress=lambda _, done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert download(remote(site), folder) == path
    assert Site.asked == ["/file"]
    assert names_in(folder) == [".file.zip.lock", "file.zip"]


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT[:-1] + b"\0"])
def test_a_damaged_copy_is_noticed_and_fetched_again(
    site: http.server.ThreadingHTTPServer, tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / "file.zip").write_bytes(damage)
    said: list[str] = []
    path = download(remote(site), tmp_path, progress=lambda message, *_: said.append(message))
    assert path.read_bytes() == CONTENT
    assert "damaged" in said[0]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/short", "gave only"),
        ("/long", "gave more than the 5,120,000 bytes"),
        ("/other", "gave a file with the SHA-256"),
        ("/none", "answered 404"),
    ],
)
def test_a_failure_is_one_sentence_and_leaves_nothing(
    site: http.server.ThreadingHTTPServer, tmp_path: Path, path: str, why: str
) -> None:
    with pytest.raises(Unavailable, match=why) as caught:
        download(remote(site, path), tmp_path)
    assert caught.value.reason == "DATASET_UNAVAILABLE"
    assert "\n" not in caught.value.message
    assert names_in(tmp_path) == [".file.zip.lock"]


def test_a_site_that_is_not_there(site: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    gone = remote(site)
    site.shutdown()
    site.server_close()
    with pytest.raises(Unavailable, match="could not be downloaded"):
        download(gone, tmp_path)


def test_a_cache_that_cannot_be_written(site: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="MFSERVE_CACHE_DIR"):
        download(remote(site), tmp_path / "file" / "cache")


def test_what_a_killed_process_left_is_removed(site: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / ".file.zip.abc.part").write_bytes(CONTENT[:100])
    download(remote(site), tmp_path)
    assert names_in(tmp_path) == [".file.zip.lock", "file.zip"]


def test_two_processes_at_once_download_once(site: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    # Fresh interpreters: a fork would copy the server's thread.
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=download, args=(remote(site), tmp_path)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert Site.asked == ["/file"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_the_cache_folder_is_the_users_or_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MFSERVE_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MFSERVE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().name == "mfserve"


def test_the_list_names_every_data_set(tmp_path: Path) -> None:
    facts = list_builtin(cache=tmp_path)
    assert [fact.name for fact in facts] == list(BUILTIN_DATASETS)
    assert not any(fact.cached for fact in facts)
    assert all(fact.licence_url.startswith("https://") for fact in facts)


def test_fetching_what_is_not_there_names_what_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="movielens-100k, movielens-1m"):
        fetch("movielens-2m", cache=tmp_path)
