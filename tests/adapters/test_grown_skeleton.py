"""What data must say of the key points of the adapter that is grown."""

import pytest

from lvtune.adapters.grown_skeleton import grown_skeleton, new_keypoints_of
from lvtune.core.errors import UsageError
from lvtune.data.skeletons import Skeleton


def of(*names, pairs=None):
    return Skeleton("some", names, (0.05,) * len(names), flip_pairs=pairs)


KEPT = of("nose", "left_ear", "right_ear")


def test_names_count_and_not_their_order():
    wanted = of("right_ear", "tail", "nose", "left_ear")
    found = grown_skeleton(KEPT, wanted)
    assert found.keypoints == wanted.keypoints and found.flip_index == (3, 1, 2, 0) and found.mirrors
    assert new_keypoints_of(KEPT, wanted) == ("tail",)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (of("nose", "left_ear", "tail"), "without the key point right_ear"),
        (of("Nose", "left_ear", "right_ear", "tail"), "did you mean 'Nose'"),
        (of("tail", "paw"), "without the key points nose, left_ear, right_ear"),
        (of("right_ear", "nose", "left_ear"), "and no other"),
        (of("nose", "left_ear", "right_ear", "left_paw"), "--flip-pairs"),
        (of("nose", "left_ear", "right_ear", "tail", pairs=()), "mirror 'left_ear' to 'left_ear'"),
        (of("nose", "left_ear", "right_ear", "tail", pairs=((1, 2), (0, 3))), "mirror 'nose' to 'tail'"),
        (of("nose", "left_ear", "right_ear", "tail", pairs=((1, 3),)), "mirror 'left_ear' to 'tail'"),
    ],
)
def test_what_would_change_the_old_ones_is_an_error(wanted, said):
    with pytest.raises(UsageError) as error:
        grown_skeleton(KEPT, wanted)
    assert said in str(error.value)


def test_a_point_of_one_side_may_be_given_as_its_own_mirror_image():
    wanted = of("nose", "left_ear", "right_ear", "left_paw", pairs=((1, 2),))
    assert grown_skeleton(KEPT, wanted).flip_index == (0, 2, 1, 3)


def test_an_adapter_without_mirror_images_takes_any():
    kept = of("snout", "base")
    assert grown_skeleton(kept, of("snout", "base", "tip")).keypoints == ("snout", "base", "tip")
    assert grown_skeleton(kept, of("snout", "left_ear", "right_ear", "base")).mirrors
