import subprocess
import sys
import time

import pytest

import heed
from heed import COMMANDS, find_command, main


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"heed {name} " in printed for name in COMMANDS)


def test_help_answers_within_half_a_second_and_imports_nothing_heavy():
    code = """import sys, heed
heed.main(["--help"])
print(sorted({"torch", "ray", "numpy", "tyro"} & set(sys.modules)))"""
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.monotonic() - began)
    assert done.stdout.strip().endswith("[]")
    assert min(seconds) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0 and f"usage: heed {name}" in capsys.readouterr().out


def test_no_commands_help_imports_torch():
    code = """
import sys, heed
for name in heed.COMMANDS:
    try:
        heed.main([*name.split(), "--help"])
    except SystemExit:
        print(f"{name}:" + ",".join({"torch", "ray", "torchvision"} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split("\n")[:-1] == [f"{name}:" for name in COMMANDS]


@pytest.mark.parametrize(("words", "answer"), [
    ("train matching --attention.scoer general", "Did you mean --attention.score?"),
    ("extract regions in out --retry-faild", "Did you mean --retry-failed?"),
    ("extract regions in out --shard_row=3", "Did you mean --shard-rows?"),
])
def test_a_misspelt_option_is_told_the_right_one(words, answer, capsys):
    assert main(words.split()) == 2
    assert answer in capsys.readouterr().err


@pytest.mark.parametrize(("words", "answer"), [
    (["trian", "matching"], "Did you mean heed train matching"), (["reprot"], "Did you mean heed report"),
    (["store", "verfy"], "there is heed store info, heed store verify"), (["train"], "there is heed train matching"),
    (["xyzzy"], "heed --help lists them"),
])
def test_a_misspelt_command_is_told_the_right_one(words, answer, capsys):
    assert main(words) == 2
    assert answer in capsys.readouterr().err


def test_bad_input_gets_one_sentence_and_status_2(tmp_path, capsys):
    assert main(["store", "info", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("heed: ") and error.count("\n") == 1


def test_the_longest_command_name_wins():
    assert find_command(["store", "info", "x"]) == ("store info", ["x"])
    assert find_command(["report", "x"]) == ("report", ["x"])


def test_the_version_is_the_packages():
    from importlib.metadata import version

    assert version("heed") == heed.__version__
