"""How the versions of an alias share its users: by their weights, for good, and with as few moves as can be."""

from __future__ import annotations

import hashlib
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_registry.aliases import AliasTarget
from mfserve_server.splitting import Split

USERS = [f"user {number}" for number in range(20_000)]

weights_of_versions = st.dictionaries(st.integers(1, 30), st.integers(1, 1_000_000), min_size=1, max_size=10)
user_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def chosen(weights: dict[int, int], user_id: str, alias: str = "production") -> int:
    """The version that answers, however the targets are ordered."""
    targets = [AliasTarget(*target) for target in weights.items()]
    return targets[Split("movies", alias, targets).place(user_id)].version


def by_the_formula(weights: dict[int, int], user_id: str) -> int:
    """The version of the highest -weight / ln(h), in 50 decimal digits."""
    numbers: dict[Decimal, int] = {}
    with localcontext() as context:
        context.prec = 50
        for version, weight in weights.items():
            text = f"movies\0production\0{version}\0{user_id}".encode()
            digest = hashlib.blake2b(text, digest_size=8, person=b"mfserve-split").hexdigest()
            share = (Decimal(int(digest[:13], 16)) + Decimal("0.5")) / 2**52
            numbers[-weight / share.ln()] = version
    return numbers[max(numbers)]


@given(weights_of_versions, user_ids)
def test_it_is_the_formula(weights: dict[int, int], user_id: str) -> None:
    assert chosen(weights, user_id) == by_the_formula(weights, user_id)


def test_it_stays_what_it_was() -> None:
    """Users must not move because of a new release."""
    versions = [chosen({3: 90, 4: 10, 5: 25}, f"u{number}") for number in range(16)]
    assert versions == [3, 3, 3, 3, 3, 5, 3, 3, 3, 3, 3, 3, 4, 3, 4, 5]


@pytest.mark.parametrize("weights", [{1: 1, 2: 1}, {1: 3, 2: 1}, {1: 999, 2: 1}, {1: 5, 2: 3, 3: 2, 4: 90}])
def test_versions_share_users_by_their_weights(weights: dict[int, int]) -> None:
    counts = dict.fromkeys(weights, 0)
    for user in USERS:
        counts[chosen(weights, user)] += 1
    total = sum(weights.values())
    for version, weight in weights.items():
        share = weight / total
        deviation = (len(USERS) * share * (1 - share)) ** 0.5
        assert abs(counts[version] - len(USERS) * share) < 4 * deviation


def test_two_aliases_draw_independently() -> None:
    both = sum(chosen({1: 1, 2: 1}, user) == chosen({1: 1, 2: 1}, user, "candidate") for user in USERS)
    assert abs(both - len(USERS) / 2) < 4 * (len(USERS) / 4) ** 0.5


@given(weights_of_versions, st.integers(1, 1_000_000), user_ids, st.data())
def test_a_weight_that_grows_only_wins_users(
    weights: dict[int, int], weight: int, user_id: str, data: st.DataObject
) -> None:
    version = data.draw(st.sampled_from(sorted(weights)))
    before, after = chosen(weights, user_id), chosen({**weights, version: weights[version] + weight}, user_id)
    assert after in (before, version)


@given(weights_of_versions, st.integers(31, 60), st.integers(1, 1_000_000), user_ids)
def test_a_version_that_comes_takes_users_to_itself_alone_and_gives_them_back(
    weights: dict[int, int], version: int, weight: int, user_id: str
) -> None:
    before, after = chosen(weights, user_id), chosen({**weights, version: weight}, user_id)
    assert after in (before, version)


@given(weights_of_versions, user_ids)
def test_the_order_of_the_targets_does_not_matter(weights: dict[int, int], user_id: str) -> None:
    assert chosen(dict(reversed(weights.items())), user_id) == chosen(weights, user_id)


@given(weights_of_versions)
def test_a_call_that_names_no_user_goes_to_the_first(weights: dict[int, int]) -> None:
    assert chosen(weights, "") == next(iter(weights))
