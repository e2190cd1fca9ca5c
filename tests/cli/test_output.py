"""Tables that commands print."""

from lvtune.cli.output import alike, table, tensor_rows


def test_names_that_differ_in_numbers_alone_are_one():
    names = ["layer.0.query", "layer.1.query", "head", "layer.0.key", "a/3/b", "a/14/b", "layer.7"]
    assert alike(names) == [
        ("layer.*.query", [0, 1]),
        ("head", [2]),
        ("layer.0.key", [3]),
        ("a/*/b", [4, 5]),
        ("layer.7", [6]),
    ]


def test_numbers_inside_a_word_are_part_of_the_name():
    assert alike(["fc1", "fc2", "conv3d.0", "conv2d.0"]) == [
        ("fc1", [0]),
        ("fc2", [1]),
        ("conv3d.0", [2]),
        ("conv2d.0", [3]),
    ]


def test_tensors_share_a_row_only_where_shape_and_columns_are_the_same():
    tensors = [
        {"name": "A.0", "shape": [4, 2], "dtype": "F32"},
        {"name": "A.1", "shape": [4, 2], "dtype": "F32"},
        {"name": "A.2", "shape": [8, 2], "dtype": "F32"},
        {"name": "A.3", "shape": [4, 2], "dtype": "F16"},
        {"name": "gate", "shape": [], "dtype": "F32"},
        {"name": "A.4", "shape": [4, 2], "dtype": "F32"},
    ]
    rows = tensor_rows(tensors, "dtype")
    assert rows == [
        ["A.*", "4x2", "F32", 3],
        ["A.2", "8x2", "F32", 1],
        ["A.3", "4x2", "F16", 1],
        ["gate", "1", "F32", 1],
    ]
    assert sum(row[-1] for row in rows) == len(tensors)
    assert table(["tensor", "shape", "type", "count"], rows).splitlines()[1].split() == ["A.*", "4x2", "F32", "3"]
