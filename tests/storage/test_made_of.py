"""What an adapter that was made of others says of them."""

import pytest
from tiny import make_adapter, tiny_base

import lvtune
from lvtune.cli.main import main
from lvtune.hub.card import model_card
from lvtune.storage import adapter_file
from lvtune.storage.made_of import made_of


def test_inspect_and_the_card_tell_what_it_was_made_of(tmp_path, capsys):
    base = tiny_base()
    adapters = [make_adapter("lora", base, stirred=0.1, seed=seed) for seed in (1, 2)]
    adapters[0].domain = "humanart"
    lvtune.save_adapter(lvtune.combine(adapters, [0.75, -1]), tmp_path / "sum")
    lvtune.save_adapter(adapters[0], tmp_path / "first")
    sha = adapter_file.read(tmp_path / "first")[1]["tensors_sha256"]
    config = adapter_file.read(tmp_path / "sum")[1]
    kind, first, second = made_of(config)
    assert (kind, first) == ("combine", f"0.75 x lora on humanart ({sha[:12]})")
    assert second.startswith("-1 x lora (")
    assert first in model_card(config, {}) and second in model_card(config, {})
    assert main(["inspect", str(tmp_path / "sum")]) == 0
    said = capsys.readouterr().out
    assert first in said and second in said
    assert main(["inspect", str(tmp_path / "first")]) == 0
    assert "combine" not in capsys.readouterr().out


@pytest.mark.parametrize("told", [None, 3, "x", [], {"kind": "average"}, {"of": 5}, {"of": [5, None]}])
def test_whatever_somebody_wrote_there_does_no_harm(told):
    assert all(isinstance(word, str) for word in made_of({"training": {"combination": told}}))
    assert made_of({"training": None}) == made_of({}) == []


def test_foreign_words_stay_words():
    config = {"training": {"combination": {"kind": "a\n# b", "of": [{"method": "`x`\n# y", "weight": "1"}]}}}
    whole = {"base": {"name": "b", "input_size": [2, 2]}, "method": "lora", "prompts": None, **config}
    assert not any(line.startswith(("# b", "# y")) for line in model_card(whole, {}).splitlines())
