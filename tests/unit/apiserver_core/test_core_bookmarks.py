"""Bookmarks whose revision is put in later, in text and in protobuf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver import built_ins, watches
from cloudwright.apiserver.registry import Registry
from cloudwright.model import golang


@pytest.mark.parametrize("encode", [None, golang.encode_event])
@pytest.mark.parametrize("initial_end", [False, True])
def test_every_revision_fits_into_its_form(encode, initial_end):
    served = Registry(built_ins.served()).find("", "v1", "configmaps")
    around = watches.around_bookmark(served, encode, initial_end=initial_end)

    @given(st.integers(1, 2**63 - 1))
    def fits(revision):
        whole = watches.bookmark(served, revision, initial_end=initial_end)
        digits = str(revision).encode()
        before, after = around[min(len(digits), len(around)) - 1]
        assert before + digits + after == (encode(whole) if encode else whole)

    fits()
