"""Which joint encoder is taken where the user names none."""

import clips
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.language import joint
from lvtune.language.joint_choice import choose_joint_encoder
from lvtune.language.joint_encoders import load_joint_encoder


def test_bases_that_ship_take_the_small_one_without_network():
    encoder, decision = choose_joint_encoder("auto", is_published_base=False)
    assert encoder.name == "small" and decision.value == "small" and "clip" in decision.why


def test_published_bases_take_clip_where_it_is_at_hand(tmp_path, monkeypatch):
    encoder, decision = choose_joint_encoder("auto", is_published_base=True)
    assert encoder.name == "small" and "not at hand: offline mode is on" in decision.why
    monkeypatch.setattr(joint, "RANKER", str(clips.save_clip(tmp_path / "clip")))
    encoder, decision = choose_joint_encoder("auto", is_published_base=True)
    assert encoder.name.startswith("clip:") and decision.value == "clip"
    # a base that ships does not take it by itself
    assert choose_joint_encoder("auto", is_published_base=False)[0].name == "small"


def test_who_names_one_gets_it_or_an_error(tmp_path):
    folder = clips.save_clip(tmp_path / "clip")
    encoder, decision = choose_joint_encoder(f"clip:{folder}", is_published_base=False)
    assert encoder.key == load_joint_encoder(f"clip:{folder}").key and "as the recipe says" in decision.line()
    with pytest.raises(LvtuneError, match="offline mode"):
        choose_joint_encoder("clip", is_published_base=True)
