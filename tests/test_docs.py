"""What the pages say: complete, true where it can be run, and fit to be published."""

import doctest
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import get_args

import click
import pytest

import ptheta
from ptheta.cli import cli
from ptheta.protocols import Capability, DensityKind
from ptheta.recipes import registry
from ptheta.recipes.registry import describe, names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
COMMON = "Options of every command"


def page(name):
    return (DOCS / name).read_text()


def sections(text):
    """The text under each heading of the second level, by its title without backticks."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {
        title.replace("`", ""): body for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def options(command):
    return [p for p in command.params if isinstance(p, click.Option)]


def spellings(option):
    return [*option.opts, *option.secondary_opts]


def row_of(text, spelling):
    """The row of a table of options that has a spelling in its first cell."""
    return next(
        (
            line
            for line in text.splitlines()
            if line.startswith("|") and f"`{spelling}" in line.split("|")[1]
        ),
        None,
    )


def common_options():
    shared = set.intersection(*({o.name for o in options(c)} for c in cli.commands.values()))
    return shared - {"help"}


def commands():
    return [pytest.param(name, command, id=name) for name, command in cli.commands.items()]


@pytest.fixture
def prompt(monkeypatch):
    """What a person types at is the module `__main__`; what they register is theirs alone."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setattr(registry, "RECIPES", dict(registry.RECIPES))
    yield module
    describe.cache_clear()
    registry.serving.cache_clear()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_examples_run(path, prompt, capsys):
    examples = doctest.DocTestParser().get_doctest(path.read_text(), {}, path.name, str(path), 0)
    examples.globs = prompt.__dict__
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.DocTestRunner(optionflags=flags).run(examples, clear_globs=False)
    assert found.failed == 0, capsys.readouterr().out


def test_pages_with_examples_have_them():
    # a page whose examples were lost would pass the test above
    for name in ("conventions.md", "python.md", "extending.md"):
        assert page(name).count(">>> ") >= 5


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_option_of_a_command_is_in_its_section(name, command):
    found = sections(page("commands.md"))
    for option in options(command):
        here = found[COMMON] if option.name in common_options() else found[f"ptheta {name}"]
        row = row_of(here, option.opts[-1])
        assert row is not None, f"{option.opts[-1]} of ptheta {name}"
        for spelling in spellings(option):
            assert f"`{spelling}" in row or f" {spelling}" in row


@pytest.mark.parametrize(("name", "command"), commands())
def test_defaults_in_the_docs_are_the_commands(name, command):
    found = sections(page("commands.md"))
    for option in options(command):
        if not option.show_default:
            continue
        here = found[COMMON] if option.name in common_options() else found[f"ptheta {name}"]
        assert f"`{option.default}`" in row_of(here, option.opts[-1]).split("|")[2]


@pytest.mark.parametrize(("name", "command"), commands())
def test_no_section_names_an_option_that_is_not_there(name, command):
    section = sections(page("commands.md"))[f"ptheta {name}"]
    there = {spelling for option in options(command) for spelling in spellings(option)}
    listed = {cell for cell in re.findall(r"(?<=[`/ ])--?[a-z][a-z-]*", section)}
    assert listed <= there | {"--help", "-h"}


def test_every_section_of_a_command_is_of_one_that_is_there():
    titles = [t for t in sections(page("commands.md")) if t.startswith("ptheta ")]
    assert sorted(titles) == sorted(f"ptheta {name}" for name in cli.commands)


def shell_lines():
    for path in [*PAGES, ROOT / "README.md"]:
        for block in fenced(path.read_text(), "(?:console|sh|bash|shell)"):
            for line in block.splitlines():
                line = line.removeprefix("$ ").split("  #")[0].strip()
                if line.startswith("ptheta "):
                    yield pytest.param(line, id=f"{path.name}: {line}")


@pytest.mark.parametrize("line", list(shell_lines()))
def test_every_command_line_is_one_that_parses(line):
    _, name, *arguments = shlex.split(line)
    if name == "--version":
        return
    # nothing is run: the names, types and number of arguments are checked
    cli.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("name", list(cli.commands))
def test_every_command_has_an_example(name):
    section = sections(page("commands.md"))[f"ptheta {name}"]
    assert any(f"ptheta {name}" in block for block in fenced(section, "console"))


@pytest.mark.slow
def test_the_walk_through_runs(tmp_path):
    (block,) = fenced(sections(page("commands.md"))["A walk through"], "console")
    for line in block.splitlines():
        if line.startswith("$ "):
            arguments = shlex.split(line.removeprefix("$ "))
            assert arguments[0] == "ptheta"
            done = subprocess.run(
                [sys.executable, "-c", "from ptheta.cli import main; main()", *arguments[1:]],
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_every_public_name_is_on_the_page_of_the_python_interface():
    text = page("python.md")
    missing = [n for n in ptheta.__all__ if not re.search(rf"\*\*`ptheta\.{n}\b", text)]
    assert missing == []


def test_no_public_name_is_hidden_by_a_piece_of_the_same_name():
    # importing ptheta.x puts the module x in the place of a function ptheta.x
    pieces = {path.stem for path in (ROOT / "src" / "ptheta").iterdir()}
    assert set(ptheta.__all__) & pieces == set()


def test_every_capability_and_kind_is_in_the_conventions():
    text = page("conventions.md")
    assert [n for n in get_args(Capability) if f"| `{n}(" not in text] == []
    assert [k for k in get_args(DensityKind) if f"| {k} |" not in text] == []


@pytest.mark.parametrize("name", list(registry.RECIPES))
def test_every_recipe_is_in_its_family_as_it_is(name):
    text = page("families.md")
    row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in row.split("|")[3:-1]]
    described = describe(name)
    assert cells[:4] == [
        described.densities.get("real vectors", "–"),
        described.densities.get("levelled images")
        or described.densities.get("binary vectors", "–"),
        _categories(described.densities),
        "yes" if "missing values" in described.densities else "no",
    ]
    assert (cells[4] != "no") == described.conditional
    assert re.search(rf"^(\*\*Recipes\*\*:|- ).*`{name}`", text, flags=re.MULTILINE)


def _categories(densities):
    if "categories" in densities:
        return "yes"
    return "given a sequence" if "sequences given sequences" in densities else "no"


def test_only_recipes_that_stand_are_in_the_families():
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", page("families.md"), flags=re.MULTILINE)
    assert listed == [n for n in listed if n in registry.RECIPES]
    assert sorted(listed) == sorted(registry.RECIPES)


@pytest.mark.parametrize("name", list(registry.RECIPES))
def test_help_shows_every_setting_and_its_meaning(name, capsys):
    cli.main(["recipes", name], standalone_mode=False)
    shown = capsys.readouterr().out
    for setting in describe(name).settings:
        assert setting.name in shown
        assert setting.meaning, f"{name} does not say what {setting.name} means"


def test_the_list_of_recipes_names_every_recipe(capsys):
    cli.main(["recipes"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert [n for n in names() if n not in shown] == []


def test_a_recipe_of_another_package_is_found_by_its_entry_point(tmp_path):
    text = page("extending.md")
    (declared,) = fenced(text, "toml")
    first = doctest.DocTestParser().get_examples(fenced(text, "pycon")[0])
    code = "".join(example.source for example in first)
    (tmp_path / "my_recipes.py").write_text(code)
    group, entry = declared.strip().splitlines()
    assert group == '[project.entry-points."ptheta.recipes"]'
    info = tmp_path / "my_recipes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-recipes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ptheta.recipes]\n{entry.replace(chr(34), '')}\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from ptheta.recipes.registry import describe, names\n"
        "print(names()[-1], describe('student').family)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "student my_recipes\n", done.stderr


def anchors(text):
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        there = path if not file else (path.parent / file)
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text()), target


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_pages_name_no_machine(path):
    text = path.read_text()
    # absolute paths, addresses of one machine, and places that packages come from
    for pattern in (
        r"(?<![\w.>/:])/(?:home|root|work|tmp|usr|opt|mnt|Users)/",
        r"\b[A-Z]:\\",
        r"localhost|127\.0\.0\.1|\b\d{1,3}(?:\.\d{1,3}){3}\b",
        r"--index-url|pypi\.org/simple|artifactory|\.internal\b",
    ):
        assert re.findall(pattern, text) == []


def test_the_glossary_is_in_order_and_says_something_of_each_term():
    entries = re.findall(r"^- \*\*(.+?)\.?\*\* (.+)$", page("glossary.md"), flags=re.MULTILINE)
    terms = [term.lower() for term, _ in entries]
    assert terms == sorted(terms)
    assert len(set(terms)) == len(terms) >= 40
    assert page("glossary.md").count("\n- ") == len(entries)
