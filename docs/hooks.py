"""Builds the site from the repository: hooks for MkDocs, and a Griffe extension for the docstrings."""

import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File

OUTSIDE = ("CONTRIBUTING.md", "bench/results/*.md", "bench/results/*.png", "examples/*/*.*", "fastnn/include/*")


def on_files(files: Any, config: Any) -> Any:
    """Add files from outside docs/, under their paths in the repository."""
    root = Path(config.config_file_path).parent
    for path in sorted(path for pattern in OUTSIDE for path in root.glob(pattern)):
        files.append(File.generated(config, path.relative_to(root).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Remove one "../" from links that leave docs/, since docs/ is the root of the site."""
    up = "../" * page.file.src_uri.count("/")
    return markdown.replace(f"]({up}../", f"]({up}")


class Docstrings(griffe.Extension):
    """Changes the package's docstrings so that Griffe and Markdown read them as meant."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Drop "See the class.", split "weight, bias: text" into two entries, and escape * and >."""
        text = obj.docstring.value if obj.docstring else ""
        text = re.sub(r"^( +)((?:[a-z]\w*, )+[a-z]\w*): (.*(?:\n\1 +.*)*)", _entries, text, flags=re.M)
        text = re.sub(r"(`[^`]*`)|([*>])", lambda match: match[1] or f"\\{match[2]}", text)
        if re.fullmatch(r"See (the class|`[A-Z][^;]+)\.", text):
            obj.docstring = None
        elif obj.docstring:
            obj.docstring.value = text

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Add entries for names that only exist once the package is imported."""
        loader.resolve_aliases()
        for module in list(pkg.modules.values()):
            _prefer_functions_to_files(module)
        _add_names_of_torch(pkg)


def _prefer_functions_to_files(module: griffe.Module) -> None:
    """Let an exported name refer to the function, not to the file of the same name.

    Griffe sees no exports of a package that computes its `__all__`; such a package exports the functions that its files
    are named after.
    """
    for name in module.exports or module.modules:
        file = module.members[str(name)]
        if not file.is_alias and file.is_module and str(name) in file.functions:
            module.members[str(name)] = griffe.Alias(str(name), file.members[str(name)], parent=module)


def _add_names_of_torch(pkg: griffe.Module) -> None:
    """Add the optimizers and seeded functions that fastnn.torch makes from those of the package when it is imported."""
    init, functional = pkg["torch.init"], pkg["torch.functional"]
    for name, path in list(functional.imports.items()):
        if path.endswith(f".{name}.{name}"):  # from a file of its own
            del functional.imports[name]
    for name, value in list(init.attributes.items()):
        if str(value.value) == f"_seeded(init.{name})":
            init.members[name] = griffe.Alias(name, pkg["init"].members[name], parent=init)
    for optimizer in pkg["torch.optim"].classes.values():
        if rule := optimizer.keywords.get("rule"):
            text = f"`fastnn.{rule}` for PyTorch: see there for its arguments, and `Optimizer`."
            optimizer.docstring = griffe.Docstring(text, parent=optimizer)


def _entries(match: re.Match[str]) -> str:
    return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))
