"""Pickles are read for their numbers; none of their code runs."""

from __future__ import annotations

import collections
import contextlib
import io
import pickle
import pickletools

import numpy as np
import pytest
from memory_cap import run_capped
from mutants import mutants

from lvtune.core.errors import DataError, LvtuneError
from lvtune.data.safe_pickle import load_numbers, plain_of

# protocol 2 as Python 2 and numpy 1 wrote RHD's file: {3: {'K': array([[1.5, 0.], [0., 2.]])}}
PYTHON_2 = (
    b"\x80\x02}q\x01K\x03}q\x02U\x01Kq\x03cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06"
    b"U\x01bq\x07\x87Rq\x08(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\tU\x02f8q\nK\x00K\x01\x87Rq\x0b(K\x03U\x01<q\x0cNNN"
    b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U " + np.array([[1.5, 0], [0, 2.0]]).tobytes() + b"tbss."
)


class Call:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def write(tmp_path, content):
    file = tmp_path / "anno.pickle"
    file.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return file


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_come_back_from_every_protocol(tmp_path, protocol):
    rng = np.random.default_rng(0)
    value = {
        0: {"xyz": rng.normal(size=(42, 3)), "uv_vis": rng.normal(size=(42, 3)).astype(np.float32)},
        "turned": np.asfortranarray(rng.normal(size=(3, 4))),
        "swapped": rng.normal(size=5).astype(">f4"),
        "whole": np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::-1],
        "rest": [1, 2.5, None, True, "text", b"\x00\xff", (np.float64(3.5), np.bool_(True))],
        "empty": np.zeros((0, 3)),
        "ordered": collections.OrderedDict(a=1),
        "set": {1, 2},
    }
    found = load_numbers(write(tmp_path, pickle.dumps(value, protocol)))
    assert list(found) == list(value)
    for name in ("xyz", "uv_vis"):
        np.testing.assert_array_equal(found[0][name], value[0][name])
    for name in ("turned", "swapped", "whole", "empty"):
        np.testing.assert_array_equal(found[name], value[name])
        assert found[name].dtype == value[name].dtype
        assert type(found[name]) is np.ndarray
    assert found["rest"] == value["rest"]
    assert (found["ordered"], found["set"]) == ({"a": 1}, {1, 2})


def test_python_2_wrote_bytes_as_text(tmp_path):
    pickletools.dis(PYTHON_2, out=io.StringIO())  # a well-formed pickle
    found = load_numbers(write(tmp_path, PYTHON_2))
    np.testing.assert_array_equal(found[3]["K"], [[1.5, 0], [0, 2]])


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda tmp: Call(open, str(tmp / "made"), "w"), "open"),
        (lambda tmp: Call(eval, f"open({str(tmp / 'made')!r}, 'w')"), "builtins.eval"),
        (lambda tmp: Call(getattr, np.ndarray, "tofile"), "builtins.getattr"),
        (lambda tmp: Call(np.fromfile, "/etc/hostname"), "numpy"),
        (lambda tmp: Call(np.load, "/etc/hostname"), "numpy"),
        (lambda tmp: {1: np.array([object()])}, "type 'O8'"),
        (lambda tmp: np.zeros(2, [("a", "f8")]), "type 'V8'"),
        (lambda tmp: np.ma.zeros(3), "numpy.ma"),
        (lambda tmp: collections.deque([1]), "collections.deque"),
        (lambda tmp: np.ndarray, "a type where a value should be"),
    ],
)
def test_anything_else_is_refused_and_nothing_runs(tmp_path, what, named):
    file = write(tmp_path, {"K": np.eye(3), "more": what(tmp_path)})
    with pytest.raises(LvtuneError, match="asks for") as caught:
        load_numbers(file)
    assert named in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_other_ways_in_are_shut(tmp_path):
    reaching = [
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",  # another codec than latin1
        b"\x80\x02Pelse\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # the extension registry
        b"\x80\x02cnumpy\nndarray\nK\x05\x85R.",  # the class itself called
        b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.__doc\x93.",  # a dotted name
    ]
    for content in reaching:
        with pytest.raises(LvtuneError):
            load_numbers(write(tmp_path, content))


def test_broken_files_say_so(tmp_path):
    whole = pickle.dumps({1: np.arange(100)})
    for content in (whole[:-20], b"", b"not a pickle", whole[:30] + b"\xff" + whole[31:]):
        with pytest.raises(LvtuneError):
            load_numbers(write(tmp_path, content))
    with pytest.raises(LvtuneError, match="No such file"):
        load_numbers(tmp_path / "none.pickle")


def test_bytes_that_do_not_fill_the_shape_are_refused(tmp_path):
    for change in (b"K\x01K\x09K\x02", b"K\x01K\x01K\x02"):
        with pytest.raises(LvtuneError, match="do not fit its shape"):
            load_numbers(write(tmp_path, PYTHON_2.replace(b"K\x01K\x02K\x02", change)))


def test_a_list_within_itself_is_refused(tmp_path):
    endless: list = []
    endless.append(endless)
    with pytest.raises(LvtuneError, match="without end"):
        load_numbers(write(tmp_path, endless))


def test_python_2_wrote_bytes_with_escapes_in_protocol_0(tmp_path):
    content = (
        b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntS'b'\ntRp2\n(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\ntb."
    )
    np.testing.assert_array_equal(load_numbers(write(tmp_path, content)), np.array([1, 2], np.float32))


def test_an_array_that_stands_twice_is_one(tmp_path):
    array = np.arange(3)
    found = load_numbers(write(tmp_path, [array, array]))
    assert found[0] is found[1]


BOMBS = {
    "a text of 2 GB": b"\x80\x04\x8d\xff\xff\xff\x7f\x00\x00\x00\x00.",
    "a byte array of 2 GB": b"\x80\x05\x96\xff\xff\xff\x7f\x00\x00\x00\x00.",
    "bytes of 2 GB": b"\x80\x04\x8e\xff\xff\xff\x7f\x00\x00\x00\x00.",
    "a frame of 2 GB": b"\x80\x04\x95\xff\xff\xff\x7f\x00\x00\x00\x00N.",
    "a memo of 2 billion": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a number of 2 GB": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "sets": b"\x80\x04(" + b"\x8f" * 2_000_000 + b"l.",
    "lists": b"\x80\x02(" + b"]" * 3_000_000 + b"l.",
    "copies of one list": b"\x80\x02("
    + b"K\x01" * 10_000
    + b"lq\x000"
    + b"c__builtin__\nset\nh\x00\x85R0" * 10_000
    + b"N.",
    "arrays of one content": b"\x80\x02U\x02u1q\x000cnumpy\ndtype\nh\x00\x85Rq\x010B\x40\x42\x0f\x00"
    + b"x" * 1_000_000
    + b"q\x020"
    + b"cnumpy.core.numeric\n_frombuffer\n(h\x02h\x01J\x40\x42\x0f\x00\x85U\x01CtRq\x03" * 2_000
    + b".",
}
"""Small files that would take from 0.6 to 17 GB in Python's own machine, or run for minutes."""
SHARED = (
    b"\x80\x02]q\x00(K\x01K\x02e0"
    + b"".join(b"]r" + i.to_bytes(4, "little") + b"(" + 9 * (b"j" + (i - 1).to_bytes(4, "little")) + b"e0"
               for i in range(1, 40)) + b"h\x27."
)  # fmt: skip
"""Lists of nine times the list before, 40 deep: 9^40 numbers for whoever counts them one by one."""


def test_small_files_do_not_fill_the_memory():
    code = """
import sys
sys.path.insert(0, "tests/data")
from test_safe_pickle import BOMBS, SHARED
for name, content in {**BOMBS, "shared": SHARED}.items():
    try:
        plain_of(content, name)
        print(name, "was read")
    except DataError as error:
        assert len(str(error)) < 300
"""
    imports = "from lvtune.data.safe_pickle import plain_of\nfrom lvtune.core.errors import DataError\n"
    imports += "import sys; sys.path.insert(0, 'tests/data'); import test_safe_pickle"
    assert run_capped(code, megabytes=300, imports=imports).stdout.split("\n")[:-1] == ["a frame of 2 GB was read",
        "a memo of 2 billion was read"]  # fmt: skip


def test_depth_and_long_numbers_are_bounded(tmp_path):
    deep = b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."
    with pytest.raises(DataError, match="containers within containers"):
        load_numbers(write(tmp_path, deep))
    with pytest.raises(DataError, match="more than 64 bits"):
        load_numbers(write(tmp_path, {2**70: 1}))


def test_what_is_no_regular_file(tmp_path):
    for place in (tmp_path, tmp_path / ("x" * 3000), tmp_path / "a\0b"):
        with pytest.raises(DataError):
            load_numbers(place)


def test_only_errors_of_ours_come_out(tmp_path):
    value = {0: {"xyz": np.eye(3), "vis": [1, 2.5, None, True, "text", b"\x00\xff"]}, "set": {1, 2}, "t": ((1,), {})}
    for protocol in (0, 2, 4, 5):
        for mutant in mutants(pickle.dumps(value, protocol), 150, seed=protocol):
            with contextlib.suppress(DataError):
                plain_of(mutant, "it")
