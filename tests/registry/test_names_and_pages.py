"""Names and page tokens."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_registry.errors import FailedPrecondition, InvalidArgument, RegistryError
from mfserve_registry.names import check_alias, check_model, check_request_id, check_settable_alias
from mfserve_registry.pages import check_page_size, decode_token, encode_token

KEYS = st.one_of(st.integers(0, 2**63 - 1), st.text(max_size=70))


@pytest.mark.parametrize("name", ["a", "7", "movies", "m.o_v-ies", "a" * 63])
def test_good_names(name: str) -> None:
    assert check_model(name) == check_alias(name) == check_settable_alias(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", ".a", "-a", "_a", "a b", "a/b", "a\n", "é", "a" * 64, "..", "a\x00"]
)
def test_bad_names(name: str) -> None:
    for check, field in ((check_model, "model"), (check_alias, "alias"), (check_settable_alias, "alias")):
        with pytest.raises(InvalidArgument) as caught:
            check(name)
        assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", field)


def test_latest_is_reserved() -> None:
    assert check_alias("latest") == "latest"
    with pytest.raises(FailedPrecondition) as caught:
        check_settable_alias("latest")
    assert caught.value.reason == "ALIAS_RESERVED"


@pytest.mark.parametrize("request_id", ["", " ", "a b", "é", "a\n", "x" * 129])
def test_bad_request_ids(request_id: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_request_id(request_id)
    assert caught.value.field == "request_id"


@pytest.mark.parametrize("size", [-1, 0, 1001])
def test_bad_page_sizes(size: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_page_size(size)
    assert caught.value.field == "page_size"


@given(key=KEYS)
def test_a_token_gives_its_key_back(key: int | str) -> None:
    token = encode_token(("list", "movies"), key)
    assert decode_token(("list", "movies"), token, type(key)) == key
    assert token.isascii()


@given(key=KEYS, position=st.integers(0, 10**6), letter=st.sampled_from("ABCabc019-_=+/ é"))
def test_a_changed_token_is_refused(key: int | str, position: int, letter: str) -> None:
    token = encode_token(("list",), key)
    position %= len(token) + 1
    changed = token[:position] + letter + token[position + 1 :]
    if changed == token:
        return
    refuses(changed, type(key))


@pytest.mark.parametrize("token", ["x", "!!", "a" * 5000, "bnVsbA", "W10", "é"])
def test_what_never_was_a_token_is_refused(token: str) -> None:
    refuses(token, int)


def test_a_token_is_good_for_its_own_list_only() -> None:
    refuses(encode_token(("other",), 3), int)
    refuses(encode_token(("list",), "3"), int)
    refuses(encode_token(("list",), 2**63), int)
    forged = base64.urlsafe_b64encode(json.dumps([3, "0" * 12]).encode()).decode().rstrip("=")
    refuses(forged, int)


def refuses(token: str, kind: type[int | str]) -> None:
    with pytest.raises(RegistryError) as caught:
        decode_token(("list",), token, kind)
    assert isinstance(caught.value, InvalidArgument)
    assert (caught.value.reason, caught.value.field) == ("PAGE_TOKEN_INVALID", "page_token")
