"""The small joint encoder: its loss, its file, and that it learns what goes with what."""

import pytest
import torch
from torch.nn import functional as F

from lvtune.core.errors import LvtuneError
from lvtune.language.joint_registry import load_joint_encoder
from lvtune.language.small_joint import SmallConfig, SmallEncoder, SmallJoint, save_small

CONFIG = SmallConfig(hidden=32, dim=16)


def test_the_loss_by_hand():
    joint = SmallJoint(SmallConfig(image_dim=4, text_dim=4, hidden=4, dim=4))
    joint.image, joint.text = torch.nn.Identity(), torch.nn.Identity()
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
    with pytest.raises(LvtuneError, match="without its file"):
        load_joint_encoder("small")
    with pytest.raises(LvtuneError, match="no file"):
        load_joint_encoder("small:/nowhere.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(LvtuneError, match="as a small joint encoder"):
        load_joint_encoder(f"small:{tmp_path}/x.safetensors")
