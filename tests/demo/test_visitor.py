"""What a visitor may choose."""

import pytest
from demo_samples import ONE, TWO, shared_base, visitor

from lvtune.core.errors import UsageError
from lvtune.demo.shared_bases import SharedBase


def test_attach_off_on_detach():
    bases = {"vitpose-tiny": shared_base()}
    first = visitor()
    assert first.acting is None and "answers alone" in first.line()
    on = first.attach(ONE, bases)
    assert (on.adapter, on.acting) == (ONE, ONE) and ONE in on.line()
    off = on.switch(False)
    assert (off.adapter, off.acting) == (ONE, None) and "off" in off.line()
    assert off.switch(True) == on
    assert off.attach(TWO, bases).acting == TWO  # a fresh one is on
    assert on.detach() == off.detach() == first
    assert first.acting is None  # what was chosen before is never changed


def test_another_base_takes_nothing_along():
    bases = {"vitpose-tiny": shared_base(), "other": SharedBase("other", None)}
    on = visitor(ONE)
    assert on.with_base("vitpose-tiny", bases) is on
    moved = on.with_base("other", bases)
    assert (moved.base, moved.acting) == ("other", None)
    with pytest.raises(UsageError, match="none"):
        moved.attach(ONE, bases)


@pytest.mark.parametrize("title", ["", None, "oen", "../one"])
def test_what_does_not_exist_is_told(title):
    with pytest.raises(UsageError, match="one of one, two"):
        visitor().attach(title, {"vitpose-tiny": shared_base()})
    with pytest.raises(UsageError, match="base"):
        visitor().with_base("vitpose-tinny", {"vitpose-tiny": shared_base()})
