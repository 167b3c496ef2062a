"""Derivatives from the command line: the printed figures, and four ways that agree."""

import csv
import math

import pytest
import torch
from derivative_commands import QUIET, call
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.command.configs import shipped
from descentlab.modules import Derivatives
from descentlab.modules.derivatives import write_table
from descentlab.objectives import LinearDynamicsLoss, VectorPair
from descentlab.objectives.derivatives import derivatives
from tolerances import FLOAT64

pytestmark = QUIET

CONFIGS = [name for name in shipped() if name.startswith("derivatives/")]


def columns(name):
    """Return the names of the columns of a vector's or matrix' elements."""
    return {
        1: [f"{name}[{i}]" for i in range(5)],
        2: [f"{name}[{k // 2}][{k % 2}]" for k in range(4)],
    }


FIRST = columns("first_derivative")

# config, row, {column: printed figure}, digits after the point
FIGURES = [
    ("rational", 0, {"first_derivative": 0.071}, 3),  # PS-1.1
    ("rational", 0, {"first_derivative": 12 / 169}, 12),
    ("sigmoid", 0, {"first_derivative": 0.248, "second_derivative": -0.021}, 3),  # PS-1.5
    ("vector_pair", 0, {FIRST[2][0]: 2.752, FIRST[2][3]: 16.079}, 3),  # PS-1.3
    ("trace_of_square", 0, dict(zip(FIRST[2], (2, 6, 4, 8), strict=True)), 4),  # PS-1.4
    ("cubic", 0, {"value": 53, **dict(zip(FIRST[2], (36, 81, -12, -8), strict=True))}, 4),  # AG-1
    ("quadratic", 0, {"value": 80}, 4),  # DI-2
    ("sine", 0, {"value": 5.1232, "first_derivative": 1.8510}, 4),  # DI-3, DI-5
    ("mean_log", 0, {"value": 11.4877}, 4),  # DI-8
    ("mean_log", 0, dict(zip(FIRST[1], (1, 1.2, 1.16, 1.12, 1.0941), strict=True)), 4),
    ("log_dot", 0, dict(zip(FIRST[1], (0, 0.05, 0.10, 0.15, 0.20), strict=True)), 12),  # DI-13
    ("log_dot", 0, {"value": math.log(20)}, 12),
    ("exp_dot", 0, {c: b * math.exp(20) for b, c in enumerate(FIRST[1])}, 6),  # DI-14
    ("wavy", 0, {"value": 0, "first_derivative": 1}, 12),  # DI-10: the convention at the kink
    *[
        ("wavy", row, {"value": value}, 4)
        for row, value in enumerate((4.7057, 3.1316, 1.5503, 0.7395, 2.3428, 3.9190), start=1)
    ],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("derivatives")


def table_of(folder):
    (path,) = folder.rglob("derivatives.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def tables(folder):
    """The tables of all configs, by the config's name."""
    for config in CONFIGS:
        assert call("predict", folder / config, "--config", config) == 0
    return {
        config.removeprefix("derivatives/").removesuffix(".yaml"): table_of(folder / config)
        for config in CONFIGS
    }


def holds(row, printed, digits):
    """Whether a row has the printed figures, to half a unit of the last digit."""
    return all(abs(row[name] - x) <= 0.5 * 10.0**-digits for name, x in printed.items())


@pytest.mark.parametrize(("config", "row", "printed", "digits"), FIGURES)
def test_printed_figures_come_out(tables, config, row, printed, digits):
    assert holds(tables[config][row], printed, digits)
    for name in printed:  # control: two units of the last digit off
        assert not holds(tables[config][row], {name: printed[name] + 2 * 10.0**-digits}, digits)


def test_every_config_has_a_figure_that_is_checked():
    assert len(CONFIGS) == 12
    checked = {figure[0] for figure in FIGURES} | {"linear_dynamics"}
    assert {f"derivatives/{name}.yaml" for name in checked} == set(CONFIGS)


def test_linear_dynamics_is_its_closed_form_on_the_sample(tables):
    states, row = LinearDynamicsLoss().x0.tolist(), tables["linear_dynamics"][0]
    distances = [x - 1 + 20 * row["point"] for x in states]
    assert len(states) == 1024
    mean = math.fsum(distances) / 1024
    assert row["value"] == pytest.approx(math.fsum(d * d for d in distances) / 1024, rel=FLOAT64)
    assert row["first_derivative"] == pytest.approx(2 * 20 * mean, rel=FLOAT64)
    assert row["first_derivative"] != pytest.approx(2 * 21 * mean, rel=FLOAT64)
    assert row["second_derivative"] == pytest.approx(800, rel=FLOAT64)


def test_the_sigmoid_over_its_range(tables):
    rows = tables["sigmoid"]
    assert [row["point"] for row in rows[1:]] == pytest.approx([k / 10 for k in range(-50, 51)])
    for row in rows:
        s = 1 / (1 + math.exp(-row["point"]))
        assert row["value"] == pytest.approx(s, rel=FLOAT64)
        assert row["first_derivative"] == pytest.approx(s * (1 - s), rel=FLOAT64)
        assert row["second_derivative"] == pytest.approx(s * (1 - s) * (1 - 2 * s), abs=FLOAT64)


def test_the_least_of_the_wavy_grid_lies_beside_the_kink(tables):
    grid = tables["wavy"][7:]
    assert len(grid) == 100
    least = min(grid, key=lambda row: row["value"])
    assert abs(least["point"]) == pytest.approx(5 / 99)
    assert least["value"] > tables["wavy"][0]["value"] == 0


def test_the_figure_is_kept_for_numbers_only(tables, folder):
    drawn = {config for config in CONFIGS if list((folder / config).rglob("derivatives.png"))}
    scalar = {"rational", "sigmoid", "quadratic", "sine", "wavy", "linear_dynamics"}
    assert drawn == {f"derivatives/{name}.yaml" for name in scalar}
    (svg,) = (folder / "derivatives/sigmoid.yaml").rglob("derivatives.svg")
    assert svg.parent.name == "figures"
    events = EventAccumulator(str(svg.parents[1])).Reload()
    assert events.Tags()["images"] == ["picture/derivatives"]


@pytest.mark.usefixtures("white_pictures")
@pytest.mark.parametrize("config", CONFIGS)
def test_four_ways_agree(tmp_path, capsys, config):
    assert call("test", tmp_path, "--config", config) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("objective "))
    for order, line in enumerate(lines[header + 1 : header + 3], start=1):
        assert int(line.split()[1]) == order
        assert 0 <= float(line.split()[4]) <= 1
    (metrics,) = tmp_path.rglob("metrics.csv")
    with metrics.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["error/of_bound"]) <= 1
    assert 0 <= float(row["error/largest"]) < math.inf


# the warning is Lightning's own, of what half precision does to a module's other parts
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("white_pictures")
@pytest.mark.parametrize("precision", ["bf16-true", "16-mixed"])
def test_no_precision_rounds_the_derivatives(tmp_path, precision):
    words = ["--config", "derivatives/rational.yaml", "--trainer.precision", precision]
    assert call("predict", tmp_path, *words) == 0
    assert table_of(tmp_path)[0]["first_derivative"] == pytest.approx(12 / 169, rel=FLOAT64)
    assert call("test", tmp_path / "test", *words) == 0


def test_derivatives_of_many_points_against_a_loop():
    points = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    value, first, second = derivatives(VectorPair(), points)
    pair = VectorPair()
    for i, theta in enumerate(points):
        assert torch.equal(value[i], pair(theta))
        assert torch.allclose(first[i], pair.jacobian(theta), rtol=FLOAT64, atol=0)
        assert torch.allclose(second[i], pair.hessian(theta), rtol=FLOAT64, atol=0)
    assert not torch.allclose(first[0], pair.jacobian(points[1]), rtol=FLOAT64, atol=0)


def cubes(theta):
    return (theta**3).sum()


def test_a_table_names_every_element(tmp_path):
    points = torch.tensor([[0.1, 2.0]], dtype=torch.float64)
    write_table(tmp_path / "new" / "t.csv", points, derivatives(cubes, points, 1))
    header, row = (tmp_path / "new" / "t.csv").read_text().splitlines()
    assert header == "point[0],point[1],value,first_derivative[0],first_derivative[1]"
    assert [float(x) for x in row.split(",")] == pytest.approx(
        [0.1, 2, 8.001, 0.03, 12], rel=FLOAT64
    )
    assert row.startswith("0.1,")


def test_an_order_that_is_none_is_refused():
    with pytest.raises(ValueError, match="orders = 0"):
        Derivatives(cubes, orders=0)
