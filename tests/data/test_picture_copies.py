"""Files with the same contents are found under any name."""

from lvtune.data.picture_copies import copies_of, later_copies


def test_the_same_contents_under_other_names(tmp_path):
    def file(name, data):
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    first, same = file("a.png", b"one"), file("b.jpg", b"one")
    other, longer, gone = file("c.png", b"two"), file("d.png", b"one and more"), str(tmp_path / "gone.png")
    assert copies_of([first, gone], [same, other, longer, gone, str(tmp_path)]) == {same}
    assert copies_of([], [same]) == copies_of([first], []) == set()


def test_the_first_of_equal_files_stays(tmp_path):
    names = ("c", "a", "b", "d", "e")
    for name, data in zip(names, (b"one", b"one", b"two", b"one", b"more"), strict=True):
        (tmp_path / name).write_bytes(data)
    files = [str(tmp_path / name) for name in names]
    gone = str(tmp_path / "gone")
    assert later_copies([*files, gone, gone]) == {files[1], files[3]} and later_copies([]) == set()
