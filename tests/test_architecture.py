"""What holds the house together: arrows run one way, and nobody asks which method it is."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("admm", "layers", "quant", "benchmarks")


def modules():
    """Every module of ours, by name."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imported(path, lazily=False):
    """Modules of ours that a module imports; `lazily` those within functions too."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if lazily else _at_import(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _at_import(tree):
    """Statements that run when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not checking and not isinstance(node, ast.FunctionDef):
            yield node
            yield from _at_import(node)


def module_of(name, known):
    """The module that an imported name is in: of a package, that which its stub says."""
    package, _, short = name.rpartition(".")
    stub = ROOT.joinpath(*package.split("."), "__init__.pyi")
    if name not in known and package in known and stub.exists():
        for node in ast.parse(stub.read_text()).body:
            if short in {alias.name for alias in getattr(node, "names", [])}:
                return f"{package}.{node.module}" if node.module else f"{package}.{short}"
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def test_no_circle_of_imports():
    known = dict(modules())
    graph = {
        name: {module_of(each, known) for each in imported(path)} - {"", name}
        for name, path in known.items()
    }
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError


def the_map():
    """The folders of CONTRIBUTING's map, in its order, and which folders each may import from."""
    rows = re.findall(
        r"^\| `(\S+)/` \|.*\| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    above = {}
    for folder, imports in rows:
        everything = imports == "all of the above"
        above[folder.replace("/", ".")] = set(
            above if everything else re.findall(r"[\w.]+", imports)
        )
    return above


def folder_of(name):
    """The folder of a module, as the map names it."""
    top, *rest = name.split(".")
    inside = top == "admm" and rest and (ROOT / top / rest[0]).is_dir()
    return f"{top}.{rest[0]}" if inside else top


def test_the_map_has_every_folder_below_those_that_it_imports_from():
    allowed = the_map()
    ours = {folder_of(name) for name, _ in modules()}
    assert ours <= set(allowed)
    assert all((ROOT / folder.replace(".", "/")).is_dir() for folder in allowed)
    order = list(allowed)
    for folder, imports in allowed.items():
        assert imports <= set(order[: order.index(folder)]), folder


def test_folders_import_what_the_map_says():
    known, allowed = dict(modules()), the_map()
    wrong = [
        f"{name} imports {each}"
        for name, path in known.items()
        for each in (module_of(found, known) for found in imported(path, lazily=True))
        if each
        and folder_of(each) not in {folder_of(name), *allowed[folder_of(name)]}
        and name != "admm.__main__"
    ]
    assert not wrong


def test_outside_the_methods_nobody_asks_which_one_it_is():
    """No name of a solver, and no class of options, but in the registry's table.

    Estimators are made of one method each.
    """
    names = r"pdadmm-g|gsadmm|gsam|adadelta|adagrad|(?<!\w)adam(?!\w)|PDADMMG|Backprop|Subnetwork"
    names += r"|fed-admm|fedavg|fedprox|scaffold|fedsgd|FederatedOptions"
    found = []
    for name, path in modules():
        apart = ("admm.methods", "admm.solvers", "admm.estimators", "admm.run.registry")
        if not name.startswith("admm") or name.startswith(apart):
            continue
        # Loaders may say in a message which solvers another kind of data is for.
        search = re.fullmatch if name.startswith("admm.datasets") else re.search
        for node in ast.walk(ast.parse(path.read_text())):
            words = node.value if isinstance(node, ast.Constant) else getattr(node, "id", "")
            documents = isinstance(words, str) and "\n" in words  # docstrings have examples
            if isinstance(words, str) and not documents and search(names, words):
                found.append(f"{path}:{node.lineno}: {words!r}")
    assert not found


def test_importing_the_package_starts_nothing():
    """Neither JAX nor MPI, nor for the help."""
    code = (
        "import sys, admm, admm.cli, admm.run.registry\n"
        "assert not {'jax', 'mpi4py', 'scipy', 'equinox'} & set(sys.modules)\n"
        "from admm.run.registry import find_method\n"
        "[find_method(solver) for solver in admm.solver_places()]\n"
        "assert not {'jax', 'mpi4py', 'scipy', 'equinox'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
