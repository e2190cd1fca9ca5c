"""Methods compared on several bases, or on several weights of one base, in one table."""

import pytest
from test_comparing import adapted  # noqa: F401

from lvtune.cli.main import main
from lvtune.core.errors import UsageError
from lvtune.experiments.base_variants import base_words, with_bases
from lvtune.experiments.cells import variants_of
from lvtune.experiments.comparing import compare


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "vit.safetensors"
    file.write_bytes(b"")
    return str(file)


def test_each_method_with_each_base(weights):
    found = with_bases(variants_of("full,lora:r=4"), ("shipped=pretrained", f"imagenet={weights}", "vitpose-b"))
    assert [one.label for one in found] == [
        "full, shipped", "lora:r=4, shipped", "full, imagenet", "lora:r=4, imagenet", "full, vitpose-b",
        "lora:r=4, vitpose-b",
    ]  # fmt: skip
    assert found[0].changes == {"weights": "pretrained", "method": "full"}
    assert found[3].changes == {"weights": weights, "method": "lora", "method_options": {"r": "4"}}
    assert found[4].changes["base"] == "vitpose-b" and with_bases(found, ()) == found
    assert with_bases(variants_of("full"), ("big=vitpose-b",))[0].changes["base"] == "vitpose-b"


@pytest.mark.parametrize(
    ("word", "told"),
    [("vitpose-x", "vitpose-x"), ("imagenet=", "LABEL"), ("=pretrained", "LABEL"), ("i=/no/such.safetensors", "there")],
)
def test_words_that_are_no_base(word, told):
    with pytest.raises(UsageError, match=told):
        with_bases(variants_of("full"), (word,))


def test_words_for_people():
    assert base_words("vitpose-ti", "pretrained") == "vitpose-ti"
    assert base_words("vitpose-ti", "/a/b/vit.safetensors") == "vitpose-ti, vit.safetensors"


def test_one_table(adapted, tmp_path, weights, capsys):  # noqa: F811
    bases = f"shipped=pretrained,imagenet={weights}"
    words = ["compare", "--methods", "full,norm", "--bases", bases, "--minutes", "2", "--seeds", "0"]
    assert main([*words, "--out", str(tmp_path / "c")]) == 0
    assert [recipe.weights for recipe in adapted] == ["pretrained"] * 2 + [weights] * 2
    assert all(recipe.train.minutes == 2.0 for recipe in adapted)
    table = (tmp_path / "c/results.md").read_text()
    for label in ("full, shipped", "norm, imagenet", "base alone (vitpose-ti)",
                  "base alone (vitpose-ti, vit.safetensors)"):  # fmt: skip
        assert f"| {label} |" in table
    assert "norm, imagenet" in capsys.readouterr().out


def test_the_data_may_be_named_first(adapted, tmp_path):  # noqa: F811
    (tmp_path / "mine").mkdir()
    assert main(["compare", str(tmp_path / "mine"), "--methods", "lora", "--out", str(tmp_path / "c")]) == 0
    assert adapted[0].data.data == str(tmp_path / "mine") and adapted[0].domain == "custom"
    assert main(["compare", str(tmp_path / "nothing"), "--methods", "lora"]) == 2


def test_python_takes_bases_too(adapted, tmp_path):  # noqa: F811
    found = compare(methods="full", bases=("one=pretrained", "two=random"), out=tmp_path)
    assert [row["weights"] for row in found["cells"]] == ["pretrained", "random"]
    assert found["base"] == "vitpose-ti"
