import dataclasses
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mfserve_registry.spec import BuiltinDataset, DatasetSpec, RatingScale
from mfserve_trainer.datasets import cache_folder, list_builtin, load
from mfserve_trainer.datasets.builtin import BUILTINS, fetch_archive, read_archive
from mfserve_trainer.datasets.check import to_ratings
from mfserve_trainer.datasets.download import Unavailable, no_progress
from mfserve_trainer.datasets.movielens import Reader, read_1m, read_100k, read_100k_recbole, read_csv
from mfserve_trainer.ratings import Ratings

from . import samples

FORMS: dict[str, tuple[Callable[[Path], None], Reader]] = {
    "100k": (samples.write_100k, read_100k),
    "100k-recbole": (samples.write_100k_recbole, read_100k_recbole),
    "1m": (samples.write_1m, read_1m),
    "csv": (samples.write_latest, read_csv),
}
SPEC = DatasetSpec(source=BuiltinDataset(name="movielens-100k"))
FIVE_STARS = RatingScale(minimum=1, maximum=5)


def read(form: str, folder: Path, *, zipped: bool = False) -> Ratings:
    write, reader = FORMS[form]
    write(folder / form)
    if zipped:
        samples.zip_folder(folder / form, folder / "a.zip")
        rows, titles = reader(zipfile.Path(folder / "a.zip", f"{form}/"))
    else:
        rows, titles = reader(folder / form)
    return to_ratings(rows, SPEC, name=form, own_scale=FIVE_STARS, titles=titles)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_rows_in_file_order_and_titles(form: str, zipped: bool, tmp_path: Path) -> None:
    ratings = read(form, tmp_path, zipped=zipped)
    assert samples.rows_of(ratings) == [(user, item, float(r)) for user, item, r, _ in samples.FILM_RATINGS]
    assert ratings.item_titles is not None
    assert dict(zip(ratings.item_ids, ratings.item_titles, strict=True)) == samples.FILM_TITLES
    assert ratings.period == (878887116, 891717742)
    assert not ratings.skipped


def test_the_same_ratings_have_one_fingerprint_in_every_form(tmp_path: Path) -> None:
    assert len({read(form, tmp_path).fingerprint for form in FORMS}) == 1


def test_official_archives_are_preferred_checked_and_read_without_unpacking(tmp_path: Path) -> None:
    samples.write_latest(tmp_path / "ml-latest-small")
    folder = tmp_path / "cache"
    folder.mkdir()
    samples.zip_folder(tmp_path / "ml-latest-small", folder / "ml-latest-small.zip")
    content = (folder / "ml-latest-small.zip").read_bytes()
    official = BUILTINS["movielens-latest-small"]
    own = dataclasses.replace(
        official,
        archive=dataclasses.replace(
            official.archive, size=len(content), sha256=hashlib.sha256(content).hexdigest()
        ),
    )
    rows, titles = read_archive(own, fetch_archive(own, folder, progress=no_progress))
    assert len(to_ratings(rows, SPEC, name="x", titles=titles)) == len(samples.FILM_RATINGS)
    assert sorted(path.name for path in folder.iterdir()) == [
        ".ml-latest-small.zip.lock",
        "ml-latest-small.zip",
    ]


@pytest.mark.skipif(
    not samples.LATEST_SMALL.is_dir(),
    reason="the real ml-latest-small is not beside this checkout (shared/data)",
)
def test_the_real_latest_small() -> None:
    facts = BUILTINS["movielens-latest-small"]
    rows, titles = facts.read(samples.LATEST_SMALL)
    ratings = to_ratings(rows, SPEC, name=facts.name, own_scale=facts.scale, titles=titles)
    assert (len(ratings), len(ratings.user_ids), len(ratings.item_ids)) == (
        facts.ratings,
        facts.users,
        facts.items,
    )
    assert samples.rows_of(ratings)[0] == ("1", "1", 4.0)
    assert samples.rows_of(ratings)[-1] == ("610", "170875", 3.0)
    assert ratings.rating.min() == 0.5
    assert ratings.item_titles is not None
    assert all(ratings.item_titles)
    assert dict(zip(ratings.item_ids, ratings.item_titles, strict=True))["1"] == "Toy Story (1995)"


@pytest.fixture(scope="module")
def real_100k() -> Ratings:
    return load(SPEC, data_roots=[], uploads=samples.no_uploads)


def test_the_real_100k(real_100k: Ratings) -> None:
    facts = BUILTINS["movielens-100k"]
    assert (len(real_100k), len(real_100k.user_ids), len(real_100k.item_ids)) == (
        facts.ratings,
        facts.users,
        facts.items,
    )
    assert real_100k.scale == FIVE_STARS
    assert real_100k.rating.mean(dtype="f8") == pytest.approx(3.52986)
    assert samples.rows_of(real_100k)[:2] == [("196", "242", 3.0), ("186", "302", 3.0)]
    assert samples.rows_of(real_100k)[-1] == ("12", "203", 3.0)
    assert real_100k.item_titles is not None
    titles = dict(zip(real_100k.item_ids, real_100k.item_titles, strict=True))
    assert all(titles.values())
    assert titles["1"] == "Toy Story (1995)"
    assert titles["64"] == "Shawshank Redemption, The (1994)"
    assert titles["267"] == "unknown"
    assert titles["1623"] == "Cérémonie, La (1995)"
    # The rows of u.data in their order; both official forms must give it.
    assert real_100k.fingerprint == "46c2f49022951db6cb790aeae1e2303119a7f48b56ab50013031ea3ba4c89e58"


def test_what_is_cached_is_listed_so(real_100k: Ratings) -> None:
    assert len(real_100k) > 0
    assert {fact.name: fact.cached for fact in list_builtin()}["movielens-100k"]
    assert (cache_folder() / "datasets").is_dir()


def test_without_network_and_cache_it_says_which_file_to_put_where(tmp_path: Path) -> None:
    unreachable = BUILTINS["movielens-1m"]
    unreachable = dataclasses.replace(
        unreachable, archive=dataclasses.replace(unreachable.archive, url="http://127.0.0.1:9/ml-1m.zip")
    )
    with pytest.raises(Unavailable) as caught:
        fetch_archive(unreachable, tmp_path, progress=no_progress)
    assert str(tmp_path / "ml-1m.zip") in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.metadata == {"dataset": "movielens-1m"}


def test_a_cache_folder_that_cannot_be_is_told_of_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable) as caught:
        fetch_archive(BUILTINS["movielens-100k"], tmp_path / "file" / "cache", progress=no_progress)
    assert caught.value.message.count("cannot be written") == 1
    assert ".." not in caught.value.message


def test_100k_falls_back_to_recboles_wheel_and_says_when_that_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An index where nothing is, instead of the network.
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    unreachable = BUILTINS["movielens-100k"]
    unreachable = dataclasses.replace(
        unreachable, archive=dataclasses.replace(unreachable.archive, url="http://127.0.0.1:9/ml-100k.zip")
    )
    said: list[str] = []
    with pytest.raises(Unavailable, match=r"pip download recbole==1\.2\.1 failed") as caught:
        fetch_archive(unreachable, tmp_path, progress=lambda message, *_: said.append(message))
    assert str(tmp_path / "ml-100k.zip") in caught.value.message
    assert any("RecBole" in message for message in said)
