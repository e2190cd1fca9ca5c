"""Pictures against sentences, on tiny random CLIP and SigLIP models in the real file format."""

import numpy as np
import pytest
import torch
import transformers
from clips import save_clip

from lvtune.core.errors import LvtuneError
from lvtune.language.ranking import ImageRanker

SENTENCES = ["a sketch of a human", "a cartoon of a human", "a mural"]


def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, shape, np.uint8) for shape in ((40, 60, 3), (33, 32, 3))]


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def reference(folder, kind):
    """The same from the model's parts: each sentence by itself, CLIP's without padding."""
    model = transformers.AutoModel.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    seen = [model.vision_model(processor(images=[p], return_tensors="pt")["pixel_values"])[1] for p in pictures()]
    padding = {"padding": "max_length", "max_length": 16} if kind == "siglip" else {}
    said = [model.text_model(tokenizer([s], return_tensors="pt", **padding)["input_ids"])[1] for s in SENTENCES]
    seen, said = torch.cat(seen), torch.cat(said)
    if kind == "clip":
        seen, said = model.visual_projection(seen), model.text_projection(said)
    return unit(seen) @ unit(said).T


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_cosines_are_those_of_the_model(tmp_path, kind):
    ranker = ImageRanker(save_clip(tmp_path / kind, kind))
    with torch.no_grad():
        expected = reference(tmp_path / kind, kind)
    scores = ranker.scores(pictures(), SENTENCES)
    assert scores.shape == (2, 3) and expected.std() > 1e-3
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    assert ranker.best(pictures(), SENTENCES) == expected.argmax(1).tolist()
    # sentences are embedded once, and whatever their order, scores follow
    torch.testing.assert_close(ranker.scores(pictures(), SENTENCES[::-1]), scores.flip(1))
    assert ranker.scores([], SENTENCES).shape == (0, 3)


def test_weights_that_are_not_there_say_what_to_download():
    with pytest.raises(LvtuneError, match=r"openai/clip-vit-base-patch32.*offline") as error:
        ImageRanker()
    assert "download openai/clip-vit-base-patch32 and name its folder" in error.value.fix
    with pytest.raises(LvtuneError, match="no folder /nowhere"):
        ImageRanker("/nowhere")


def test_another_kind_of_model_is_refused(tmp_path):
    folder = save_clip(tmp_path / "clip")
    config = transformers.CLIPTextConfig(vocab_size=20, hidden_size=16, num_attention_heads=2, num_hidden_layers=1)
    transformers.CLIPTextModel(config).save_pretrained(folder)
    with pytest.raises(LvtuneError, match="CLIPTextModel, to rank pictures with"):
        ImageRanker(folder)
