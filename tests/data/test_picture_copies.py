"""Files with the same contents are found under any name."""

from lvtune.data.picture_copies import copies_of


def test_the_same_contents_under_other_names(tmp_path):
    def file(name, data):
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    first, same = file("a.png", b"one"), file("b.jpg", b"one")
    other, longer, gone = file("c.png", b"two"), file("d.png", b"one and more"), str(tmp_path / "gone.png")
    assert copies_of([first, gone], [same, other, longer, gone, str(tmp_path)]) == {same}
    assert copies_of([], [same]) == copies_of([first], []) == set()
