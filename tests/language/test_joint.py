"""Joint encoders on tiny random CLIP and SigLIP models in the real file format, and the cache of their vectors."""

import numpy as np
import pytest
import torch
import transformers
from clips import save_clip

from lvtune.core.errors import LvtuneError
from lvtune.language.joint_cache import cached_array, text_features
from lvtune.language.joint_encoders import JointEncoder, load_joint_encoder
from lvtune.language.joint_registry import register_joint_encoder, unnormalised

SENTENCES = ["a sketch of a human", "a mural", "an oil painting of a human"]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def saved(request, tmp_path_factory):
    return request.param, save_clip(tmp_path_factory.mktemp("joint") / request.param, request.param)


def pooled(output):
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def test_vectors_are_those_of_the_model(saved):
    kind, folder = saved
    encoder = load_joint_encoder(f"{kind}:{folder}")
    assert isinstance(encoder, JointEncoder) and encoder.dim == {"clip": 12, "siglip": 16}[kind]
    model = transformers.AutoModel.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    with torch.no_grad():
        pixels = processor(images=[image], return_tensors="pt")["pixel_values"]
        seen = pooled(model.get_image_features(pixel_values=pixels))
        padding = {"padding": "max_length", "max_length": 16} if kind == "siglip" else {}
        ids = [tokenizer([s], return_tensors="pt", **padding)["input_ids"] for s in SENTENCES]
        said = torch.cat([pooled(model.get_text_features(input_ids=one)) for one in ids])
    given = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(encoder.encode_images(given), seen, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.encode_text(SENTENCES), said, rtol=1e-4, atol=1e-5)
    assert encoder.encode_text(SENTENCES).std(0).min() > 1e-3


def test_a_picture_of_another_size_is_resized_as_its_processor_would(saved):
    kind, folder = saved
    encoder = load_joint_encoder(f"{kind}:{folder}")
    smooth = np.linspace(0, 255, 64)[:, None, None] * np.linspace(0.2, 1, 64)[None, :, None] * [1, 0.5, 0.8]
    image = smooth.round().astype(np.uint8)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    with torch.no_grad():
        pixels = processor(images=[image], return_tensors="pt")["pixel_values"]
        expected = pooled(model.get_image_features(pixel_values=pixels))
    found = encoder.encode_images(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    # SigLIP's own resampling may be another one; a smooth picture hardly tells them apart
    assert torch.cosine_similarity(found, expected).item() > 0.9995


def test_unnormalised_undoes_a_bases_normalisation():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    image = torch.rand(2, 3, 4, 4)
    shape = (1, 3, 1, 1)
    normalised = (image - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    torch.testing.assert_close(unnormalised(normalised, mean, std), image)


class Counting:
    """Counts what it encodes."""

    name, dim, key = "counting", 2, "counting-1"

    def __init__(self):
        self.asked = []

    def encode_images(self, images):
        return images.flatten(1)[:, :2]

    def encode_text(self, sentences):
        self.asked += sentences
        return torch.tensor([[len(s), s.count("a")] for s in sentences], dtype=torch.float32)


def test_sentences_are_encoded_once_and_mapped():
    encoder = Counting()
    given = ["a b", "aa", "a b"]
    first = text_features(encoder, given)
    assert first.tolist() == [[3, 1], [2, 2], [3, 1]] and encoder.asked == ["a b", "aa"]
    again = text_features(encoder, ["a b", "aa"])
    assert encoder.asked == ["a b", "aa"]  # from the file
    assert isinstance(again, np.memmap) and not again.flags.writeable
    other = Counting()
    other.key = "counting-2"
    text_features(other, given)
    assert other.asked == ["a b", "aa"]  # other weights share nothing


def test_a_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path))
    made = []

    def make():
        made.append(1)
        return np.arange(6, dtype=np.float32).reshape(3, 2)

    cached_array(("x",), make)
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(file.read_bytes()[:50])
    assert cached_array(("x",), make).tolist() == [[0, 1], [2, 3], [4, 5]] and len(made) == 2


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(LvtuneError, match=r"clip-vit-base-patch32.*offline") as error:
        load_joint_encoder("clip")
    assert "--objective.encoder clip:FOLDER" in error.value.fix
    with pytest.raises(LvtuneError, match="did you mean 'siglip'"):
        load_joint_encoder("siglib")
    with pytest.raises(LvtuneError, match="second joint encoder named 'clip'"):
        register_joint_encoder("clip")(lambda source: None)
