import pytest

from pipeline.atomic import atomic_write, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_file_has_no_name_before_it_is_whole(tmp_path):
    (tmp_path / "aside").mkdir()
    with atomic_write(tmp_path / "f", tmp_path / "aside") as file:
        file.write(b"x")
        assert not (tmp_path / "f").exists() and len(list((tmp_path / "aside").iterdir())) == 1
    assert (tmp_path / "f").read_bytes() == b"x" and not list((tmp_path / "aside").iterdir())


def test_the_same_value_gives_the_same_json_bytes(tmp_path):
    write_json(tmp_path / "a", {"ä": [1, 2.5]})
    write_json(tmp_path / "b", {"ä": [1, 2.5]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
