"""YAML with two meanings or without bound is refused, in less than a second."""

import time

import pytest
import yaml

from descentlab.command.configs import FOLDER
from descentlab.command.yaml_checks import DEEPEST, LARGEST, check_meaning

MODEL = "model: {class_path: LinearRegression}\ndata: {class_path: RegressionData}\n"
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
REFUSED = {
    "recursive": ("model: &a {class_path: LinearRegression, init_args: *a}\n", "*a is inside it"),
    "list": ("a: &a [*a]\n", "*a is inside itself"),
    "deep": ("model: " + "[" * 3000 + "]" * 3000, f"more than {DEEPEST} levels"),
    "maps": ("model: " + "{a: " * 3000 + "1" + "}" * 3000, f"more than {DEEPEST} levels"),
    "bomb": (BOMB, f"its aliases stand for more than {LARGEST} values"),
    "twice": (MODEL + "trainer: {max_epochs: 1, max_epochs: 2}\n", "the key max_epochs is there"),
    "again": (MODEL + "model: {class_path: TwoLayerNet}\n", "the key model is there twice"),
    "octal": (MODEL + "trainer: {max_epochs: 010}\n", "010 has two meanings: write it without"),
    "sixties": (MODEL + "trainer: {max_epochs: 1:30}\n", '1:30 has two meanings: write "1:30"'),
    "nul": (MODEL + 'trainer: {default_root_dir: "a\\0b"}\n', "there is a NUL character"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["fit", "test"])
def test_a_config_of_two_meanings_or_without_bound_is_refused(command, here, kind, name):
    text, says = REFUSED[name]
    (here / "mine.yaml").write_text(text)
    start = time.process_time()
    outcome = command(kind, "--config", "mine.yaml")
    assert time.process_time() - start < 10
    assert outcome.status == 2
    assert outcome.message.startswith("mine.yaml line ")
    assert says in outcome.message
    assert not (here / "logs").exists()


def test_a_config_that_is_not_in_utf_8_is_said_so(command, here):
    (here / "mine.yaml").write_bytes(MODEL.encode("utf-16"))
    outcome = command("fit", "--config", "mine.yaml")
    assert outcome.message == "mine.yaml cannot be read as YAML: save it as UTF-8"


@pytest.mark.parametrize(
    "text",
    [
        "a: '010'\nb: \"1:30\"\nc: 0\nd: 0.10\ne: 0x10\nf: 00:00:10:00\ng: 10\n",
        "a: &a {x: 1}\nb: *a\nc: {x: 1}\nd: [*a, *a]\n",
        "a: &a 1\nb: *a\n",
        "",
    ],
)
def test_what_has_one_meaning_is_read(text):
    check_meaning(text)


def test_the_meanings_differ_indeed():
    """The control: the parser in use reads YAML 1.1, and takes the last of two keys."""
    assert yaml.safe_load("[010, 1:30, {a: 1, a: 2}]") == [8, 90, {"a": 2}]


def test_all_shipped_configs_have_one_meaning():
    for path in FOLDER.rglob("*.yaml"):
        check_meaning(path.read_text())


def test_a_trainer_that_is_null_is_refused(command, here):
    (here / "mine.yaml").write_text(MODEL + "trainer: null\n")
    message = command("fit", "--config", "mine.yaml").message
    assert message == "trainer: null: leave it out, or give its settings"


@pytest.mark.parametrize("settings", ["[1]", "5", "text", "[{class_path: os.system}]"])
@pytest.mark.parametrize("words", [("fit",), ("predict",), ("test", "--ckpt_path", "x.ckpt")])
def test_a_trainer_that_is_no_mapping_is_refused(command, here, settings, words):
    (here / "mine.yaml").write_text(MODEL + f"trainer: {settings}\n")
    outcome = command(*words, "--config", "mine.yaml", "--trainer.logger", "false")
    assert outcome.status == 2
    assert outcome.message == (
        "mine.yaml: trainer is no mapping: give its settings, such as max_epochs: 5"
    )
