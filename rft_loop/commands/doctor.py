"""`assay doctor`: what protects this machine from code that is run, what is installed, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rft_loop.commands.graders import _installed, _table, _version

if TYPE_CHECKING:
    from graders.sandbox.level import Level, Standing
    from graders.sandbox.settings import SandboxSettings

UNTRIED = "it could not be tried"
REQUIREMENT = re.compile(r"([\w.-]+)([^;]*)(?:;\s*extra == ['\"]([\w-]+)['\"])?")


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False) -> None:
    """Say how strong the sandbox is here and what is installed. Exit code 1 where the sandbox is too weak."""
    import json

    found: dict[str, Any] = {
        "assay": _version("assay"),
        "interpreter": _interpreter(),
        "sandbox": _sandbox(),
        "image": _image(),
        "packages": list(_packages()),
        "plugins": [
            {"type": entry.type, "source": entry.source, "version": entry.version, "error": entry.error}
            for entry in _installed()
        ],
    }
    typer.echo(json.dumps(found, indent=2) if as_json else _text(found))
    if not found["sandbox"]["sufficient"]:
        raise typer.Exit(1)


# What is found


def _interpreter() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "path": sys.executable,
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
    }


def _sandbox() -> dict[str, Any]:
    """The level, its layers, the attempts to escape, and what the settings accept."""
    from graders.sandbox.level import MEANING, NOWHERE
    from graders.sandbox.pool import RefusedError, pool
    from graders.sandbox.process import ServerFailedError
    from graders.sandbox.settings import default_level

    shared, problem = pool(), ""
    standing = NOWHERE._replace(missing={})
    try:
        standing = shared.standing()
        shared.check()
    except (RefusedError, ServerFailedError) as refusal:
        problem = str(refusal)
    return {
        "level": standing.level,
        "meaning": MEANING[standing.level],
        "sufficient": not problem,
        "override": shared.settings.accept < default_level(),
        "problem": problem,
        "layers": [_layer(name, standing) for name in _layers()],
        "self_test": dict(standing.tried),
        "settings": _settings(shared.settings),
    }


def _layers() -> tuple[str, ...]:
    from graders.sandbox.jail.confine import LAYERS

    return LAYERS


def _layer(name: str, standing: Standing) -> dict[str, Any]:
    from graders.sandbox.level import NEEDED, REMEDIES

    on, elsewhere = name in standing.on, standing.missing.get("linux", "")
    reason = standing.missing.get(name, elsewhere)
    needed: Level | None = next((level for level, layers in NEEDED.items() if name in layers), None)
    return {
        "layer": name,
        "on": on,
        "needed_from": needed,
        "reason": "" if on else reason or UNTRIED,
        "remedy": "" if on or not reason else REMEDIES.get("linux" if elsewhere else name, ""),
    }


def _settings(settings: SandboxSettings) -> list[dict[str, Any]]:
    from graders.sandbox.settings import ACCEPT, PROCESSES, REUSE

    variables = {"accept": ACCEPT, "processes": PROCESSES, "reuse": REUSE}
    return [
        {
            "setting": name,
            "value": value,
            "variable": variables.get(name, ""),
            "set": bool(os.environ.get(variables.get(name, ""))),
        }
        for name, value in settings.model_dump().items()
    ]


def _image() -> dict[str, Any]:
    """How what `python` graders can import differs from OpenAI's image."""
    from graders.code.image import IMAGES, PROFILE, differences

    return {
        "profile": PROFILE,
        "packages": len(IMAGES[PROFILE.removeprefix("openai-")]),
        "differences": [each._asdict() for each in differences()],
    }


def _packages() -> Iterator[dict[str, Any]]:
    """What Assay uses, by the extra that brings it ("" for what it always needs), with the version that is there."""
    try:
        requirements = importlib.metadata.requires("assay") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        name, wanted, extra = REQUIREMENT.match(requirement).groups()  # type: ignore[union-attr]
        if name != "assay" and extra != "dev":
            yield {"package": name, "wanted": wanted.strip(), "extra": extra or "", "version": _version(name)}


# How it is told


def _text(found: dict[str, Any]) -> str:
    python, system = found["interpreter"], found["interpreter"]["system"]
    head = f"assay {found['assay'] or '(not installed as a package)'}, Python {python['python']} ({python['path']}), "
    parts = [
        f"{head}{system}, {python['processor']}",
        *_sandbox_text(found["sandbox"]),
        _image_text(found["image"]),
        _packages_text(found["packages"]),
        _plugins_text(found["plugins"]),
    ]
    return "\n\n".join(filter(None, parts))


def _sandbox_text(sandbox: dict[str, Any]) -> Iterator[str]:
    from graders.sandbox.level import MEANING
    from graders.sandbox.settings import ACCEPT, default_level

    levels = [f"{'>' if level == sandbox['level'] else ' '} {level}  {told}" for level, told in MEANING.items()]
    accepted = next(setting["value"] for setting in sandbox["settings"] if setting["setting"] == "accept")
    verdict = f"code that nobody vouches for runs here: {accepted} or better is accepted"
    if sandbox["override"]:
        usual = default_level()
        reached = "and is reached" if sandbox["level"] >= usual else "and is not reached: each grade made here says so"
        verdict += f". This is an override ({ACCEPT}): {usual} is what is needed without it, {reached}"
    yield "\n".join([f"Sandbox: level {sandbox['level']}", *levels, sandbox["problem"] or verdict])
    yield _table(("layer", "state", ""), map(_layer_line, sandbox["layers"]))
    tried = sandbox["self_test"]
    escapes = [attempt for attempt, outcome in tried.items() if outcome != "blocked"]
    if tried:
        told = f"{len(tried) - len(escapes)} of {len(tried)} attempts to get out were blocked"
        yield f"Self-test: {told}\n{_table(('attempt', 'outcome'), tried.items())}"
    yield _table(("setting", "value", "from"), map(_setting_line, sandbox["settings"]))


def _layer_line(layer: dict[str, Any]) -> tuple[str, ...]:
    needed = f"needed from {layer['needed_from']} on" if layer["needed_from"] else "needed for no level"
    if layer["on"]:
        return layer["layer"], "on", needed
    state = "unknown" if layer["reason"] == UNTRIED else "missing"
    remedy = f". What to do: {layer['remedy']}" if layer["remedy"] else ""
    return layer["layer"], state, f"{needed}; {layer['reason']}{remedy}"


def _setting_line(setting: dict[str, Any]) -> tuple[str, ...]:
    if setting["set"]:
        origin = setting["variable"]
    else:
        origin = f"default ({setting['variable']} sets it)" if setting["variable"] else "default"
    return setting["setting"], str(setting["value"]), origin


def _image_text(image: dict[str, Any]) -> str:
    same = image["packages"] - len(image["differences"])
    head = f"Packages for python graders beside OpenAI's ({image['profile']}): {same} of {image['packages']} the same"
    lines = ((each["package"], each["there"], each["here"] or "not installed") for each in image["differences"])
    return f"{head}\n{_table(('package', 'there', 'here'), lines)}" if image["differences"] else head


def _packages_text(packages: list[dict[str, Any]]) -> str:
    lines = []
    for extra in dict.fromkeys(package["extra"] for package in packages):
        of_extra = [package for package in packages if package["extra"] == extra]
        there = ", ".join(f"{each['package']} {each['version']}" for each in of_extra if each["version"])
        missing = ", ".join(each["package"] for each in of_extra if not each["version"])
        remedy = f"pip install 'assay[{extra}]'" if extra else "pip install assay"
        told = [there, f"missing: {missing} ({remedy})" if missing else ""]
        lines.append((extra or "always", "; ".join(filter(None, told))))
    return _table(("extra", "packages"), lines) if lines else ""


def _plugins_text(plugins: list[dict[str, Any]]) -> str:
    if not plugins:
        return "Plug-ins: none"
    lines = (
        (each["type"], each["source"], each["version"], f"cannot be used: {each['error']}" if each["error"] else "")
        for each in plugins
    )
    return _table(("plug-in", "source", "version", ""), lines)
