"""Imports run one way, and `import ptheta` is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ptheta"

GROUND = {"errors", "spaces", "protocols", "noising", "broadcasting", "random", "files", "border"}
# which piece may import which, the ground aside; imports inside functions and for types count too
MAY_IMPORT = {
    "errors": set(),
    "spaces": set(),
    "protocols": set(),
    "noising": set(),
    "broadcasting": set(),
    "random": set(),
    "files": set(),
    "border": set(),
    "networks": set(),
    "models": {"networks"},
    "data": set(),
    "inference": set(),
    "objectives": {"inference"},
    "ratios": set(),
    "training": {"objectives", "data"},
    "recipes": {"models", "objectives", "training", "data", "inference", "networks"},
    "asking": {"data"},
    "density": {"asking"},
    "heldout": {"asking", "density", "ratios", "training", "data"},
    "fitting": {"heldout", "recipes", "training", "data"},
    "evaluation": {"fitting", "density", "ratios", "recipes", "data"},
    "tasks": {"asking", "density", "inference", "recipes"},
    "testing": {"models", "objectives", "recipes"},
    "display": {"fitting", "evaluation", "recipes"},
    "cli": {"display", "fitting", "density", "evaluation", "recipes", "data", "tasks"},
    "__main__": {"cli"},
    "__init__": {"data", "density", "evaluation", "fitting", "recipes", "tasks"},
}
HEAVY = {
    "pandas",
    "sklearn",
    "matplotlib",
    "scipy",
    "lightning_fabric",
    "datasets",
    "pydantic",
    "rich",
    "PIL",
    "pyarrow",
    "jinja2",
    "pooch",
    "click",
}


def piece(path):
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported(path):
    """The modules of ptheta that a file imports, wherever in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            module = node.module or ""
            found = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            found = found[1:] if module == "ptheta" else found[:1]
        else:
            continue
        yield from ((name, node.lineno) for name in found if name.split(".")[0] == "ptheta")


def top_level():
    return sorted({piece(path) for path in SOURCE.rglob("*.py")})


def test_the_table_names_every_piece():
    assert top_level() == sorted(MAY_IMPORT)


def test_the_table_has_no_circle():
    done = set()
    while left := {name for name in MAY_IMPORT if name not in done}:
        ready = {name for name in left if MAY_IMPORT[name] <= done}
        assert ready, f"these import each other: {sorted(left)}"
        done |= ready


@pytest.mark.parametrize("name", top_level())
def test_imports_run_one_way(name):
    allowed = MAY_IMPORT[name] | (set() if name == "errors" else GROUND) | {name}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {module}"
        for path in sorted(SOURCE.rglob("*.py"))
        if piece(path) == name
        for module, line in imported(path)
        if (module.split(".") + ["__init__"])[1] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("name", top_level())
def test_what_may_be_imported_is(name):
    files = [path for path in SOURCE.rglob("*.py") if piece(path) == name]
    found = {module.split(".")[1] for path in files for module, _ in imported(path)
             if "." in module}  # fmt: skip
    assert MAY_IMPORT[name] - found == set()


def test_the_ground_has_no_circle():
    # each stands alone, but for files and the border, whose errors are for a person
    for name in GROUND:
        path = SOURCE / f"{name}.py"
        found = {module for module, _ in imported(path)}
        assert found == ({"ptheta.errors"} if name in ("files", "border") else set())


def loaded_by(statement):
    program = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def of_torch():
    """What torch brings along by itself."""
    return loaded_by("import torch")


def test_import_is_light(of_torch):
    added = loaded_by("import torch, ptheta") - of_torch
    assert "ptheta" in added
    assert added & HEAVY == set()


def test_listing_the_recipes_is_light(of_torch):
    added = loaded_by("import torch; from ptheta.recipes.registry import names; names()")
    assert (added - of_torch) & HEAVY == set()
