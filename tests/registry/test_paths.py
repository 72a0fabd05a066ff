import os
from pathlib import Path

import pytest

from mfserve_registry.errors import InvalidArgument, NotFound, PermissionDenied
from mfserve_registry.paths import resolve_under_roots


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """root/{ratings.csv, sub/more.csv} and, outside, secret.csv and root-2/near.csv."""
    for name in ("root/ratings.csv", "root/sub/more.csv", "secret.csv", "root-2/near.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("user_id,item_id,rating\n")
    return tmp_path


def test_relative_and_absolute_paths_inside(folder: Path) -> None:
    root = folder / "root"
    real = (root / "sub" / "more.csv").resolve()
    for path in ("sub/more.csv", "./sub/../sub/more.csv", str(real), "../root/sub/more.csv"):
        assert resolve_under_roots(path, [root]) == real


def test_of_several_roots_the_first_that_has_the_file_counts(folder: Path) -> None:
    roots = [folder / "root-2", folder / "root"]
    assert resolve_under_roots("ratings.csv", roots) == (folder / "root" / "ratings.csv").resolve()


def test_a_root_may_itself_be_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "root")
    assert (
        resolve_under_roots("ratings.csv", [folder / "link"]) == (folder / "root" / "ratings.csv").resolve()
    )


@pytest.mark.parametrize(
    "path",
    [
        "../secret.csv",
        "sub/../../secret.csv",
        "{folder}/secret.csv",
        "{folder}/root/../secret.csv",
        "{folder}/root-2/near.csv",
        "{folder}/no-such-file.csv",
        "/etc/passwd",
        "link.csv",
        "linked/secret.csv",
        "linked/no-such-file.csv",
        "sub/linked-twice.csv",
    ],
)
def test_what_leads_outside_is_denied_whether_it_exists_or_not(folder: Path, path: str) -> None:
    root = folder / "root"
    (root / "link.csv").symlink_to(folder / "secret.csv")
    (root / "linked").symlink_to(folder)
    (root / "sub" / "linked-twice.csv").symlink_to("../link.csv")
    with pytest.raises(PermissionDenied) as caught:
        resolve_under_roots(path.format(folder=folder), [root])
    assert caught.value.reason == "PATH_NOT_ALLOWED"
    assert caught.value.field == "dataset.file.path"


def test_a_link_that_stays_inside_is_followed(folder: Path) -> None:
    root = folder / "root"
    (root / "link.csv").symlink_to(root / "sub" / "more.csv")
    assert resolve_under_roots("link.csv", [root]) == (root / "sub" / "more.csv").resolve()


def test_without_roots_nothing_may_be_read(folder: Path) -> None:
    with pytest.raises(PermissionDenied, match="MFSERVE_DATA_ROOTS"):
        resolve_under_roots(str(folder / "secret.csv"), [])


def test_a_missing_file(folder: Path) -> None:
    with pytest.raises(NotFound, match=r"'none\.csv'") as caught:
        resolve_under_roots("none.csv", [folder / "root"])
    assert caught.value.reason == "FILE_NOT_FOUND"


@pytest.mark.parametrize(
    ("path", "why"),
    [("sub", "a folder"), (".", "a folder"), ("pipe", "not a regular file"), ("a\0b", "character")],
)
def test_what_is_no_file(folder: Path, path: str, why: str) -> None:
    os.mkfifo(folder / "root" / "pipe")
    with pytest.raises(InvalidArgument, match=why) as caught:
        resolve_under_roots(path, [folder / "root"])
    assert caught.value.reason == "DATASET_INVALID"


@pytest.mark.parametrize("path", ["circle", "circle/x.csv", "x" * 300 + ".csv"])
def test_what_cannot_be_followed_is_an_error_of_the_request(folder: Path, path: str) -> None:
    (folder / "root" / "circle").symlink_to("circle")
    with pytest.raises((InvalidArgument, NotFound)):
        resolve_under_roots(path, [folder / "root"])
