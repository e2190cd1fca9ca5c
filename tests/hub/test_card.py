"""The model card says what the report says, and lets no foreign words act as markup."""

import copy
import re

import pytest
import yaml
from adapter_samples import CONFIG
from huggingface_hub import ModelCard

from lvtune.api.recipe import Recipe
from lvtune.hub.card import is_untouched, model_card

REPORT = {
    "target": {
        "before": {"pck@0.2": 30.04, "pck@0.5": 60.0, "ap": None},
        "after_on": {"pck@0.2": 40.06, "pck@0.5": 70.0, "ap": None},
        "after_off": {"pck@0.2": 30.04, "pck@0.5": 60.0, "ap": None},
    },
    "source": {"before": {"pck@0.2": 50.0}, "after_on": None, "after_off": None},
    "gap_closed": 0.502,
    "target_name": "photographs under filters",
    "source_name": None,
    "adapter": {"parameters": 12345, "share_of_base": 0.0234},
    "versions": {"lvtune": "0.1.0"},
}


def test_metadata_is_what_the_hub_reads():
    config = copy.deepcopy(CONFIG)
    config["base"]["hub_id"] = "usyd-community/vitpose-base"
    data = ModelCard(model_card(config, REPORT)).data
    assert data.base_model == "usyd-community/vitpose-base"
    assert data.library_name == "lvtune"
    assert data.pipeline_tag == "keypoint-detection"
    assert {"pose-estimation", "vlpose", "demo-art"} <= set(data.tags)
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    assert results == {"pck@0.2": 40.06, "pck@0.5": 70.0}
    assert {result.dataset_name for result in data.eval_results} == {"photographs under filters"}


def test_scores_and_size():
    card = model_card(CONFIG, REPORT)
    assert "| target: photographs under filters | PCK@0.2 | 30.0 | 40.1 | 30.0 |" in card
    assert "| source | PCK@0.2 | 50.0 | – | – |" in card
    assert "OKS-AP |" not in card
    assert "50.2 % of the gap" in card
    assert "12,345 parameters, 2.3 % of the base" in card
    assert "128×96" in card
    assert "| sketch | a pencil sketch of a person |" in card


def test_filtered_photographs_are_called_so():
    assert "Filtered photographs" in model_card(CONFIG, REPORT)
    assert "Filtered" not in model_card(CONFIG, {**REPORT, "target_name": "Human-Art"})


def test_recipe_can_be_run_again_and_tells_nothing_of_this_machine():
    config = copy.deepcopy(CONFIG)
    recipe = Recipe.from_dict({"method": "lora", "out": "/home/ann/out", "data": {"data": "/home/ann/art"}})
    config["training"]["recipe"] = recipe.to_dict()
    card = model_card(config, REPORT)
    assert "/home/ann" not in card
    text = card.split("```yaml\n")[1].split("```")[0]
    again = Recipe.from_dict(yaml.safe_load(text))
    assert (again.method, again.data.data, again.train) == ("lora", "art", recipe.train)


def test_a_card_shows_whether_somebody_wrote_in_it():
    card = model_card(CONFIG, REPORT)
    assert is_untouched(card)
    assert not is_untouched(card.replace("Use", "Usage"))
    assert not is_untouched(card + "\nMore.\n")
    assert not is_untouched("# Mine\n")
    assert not is_untouched("")


def test_without_a_report():
    card = model_card({**CONFIG, "prompts": None, "domain": None, "training": None}, {})
    assert card.count("---") == 2
    assert "# vlpose adapter for vitpose-ti\n" in card
    assert "Scores" not in card
    assert "category" not in card
    ModelCard(card)


@pytest.mark.parametrize(
    "word", ["a | b\n# head", "<script>alert(1)</script>", "```\nx", "[x](http://a.b)", "---\n- x: 1"]
)
def test_foreign_words_stay_words(word):
    config = {**copy.deepcopy(CONFIG), "domain": word, "prompts": {word: word}, "text_encoder": word}
    config["training"] = {"recipe": {"domain": word}}
    card = model_card(config, {**REPORT, "target_name": word})
    body = card.split("\n---\n", 1)[1]
    assert ModelCard(card).data.eval_results[0].dataset_name == word
    assert "\n# head" not in body
    assert body.count("```") == 6
    prose = body[: body.index("```python")] + body.split("```")[4].split("```")[0]
    assert not re.search(r"(?<![\\`])<script|(?<!\\)\]\((?!http://a.b\)`)", prose), "escaped, or in a code span"
