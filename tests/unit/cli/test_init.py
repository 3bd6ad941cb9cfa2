"""shimmy init: the files are valid for those who read them, and nothing is overwritten."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from shimmy import __version__
from shimmy.cli.init import Template, project_files
from shimmy.settings import load_settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Run = Callable[..., Result]

FILES = {
    "docker": {".dockerignore", "Dockerfile", "README.md", "compose.yaml"},
    "kubernetes": {"README.md", "shimmy.yaml"},
    "railway": {"Dockerfile", "README.md", "railway.json", "start.sh"},
    "fly": {"Dockerfile", "README.md", "config.toml", "fly.toml", "start.sh"},
    "fastapi": {"README.md", "main.py", "requirements.txt"},
    "express": {"README.md", "package.json", "server.js"},
}


def texts(template: str) -> dict[str, str]:
    return {str(path): text for path, text in project_files(Template(template), "my-app").items()}


@pytest.mark.parametrize("template", FILES)
def test_what_is_written(run: Run, tmp_path: Path, template: str) -> None:
    folder = tmp_path / "deep" / "Her App!"
    result = run("init", "--template", template, "--output", folder)
    assert result.exit_code == 0
    written = {path.name for path in folder.iterdir()}
    assert written == FILES[template]
    assert all(f"wrote {folder / name}" in result.stdout for name in written)
    whole = "".join(path.read_text() for path in folder.iterdir())
    assert "her-app" in whole
    assert not {"@name@", "@version@"} & set(whole.split())
    assert "@name" not in whole
    assert "@version" not in whole


def test_bytecode_of_an_installer_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "fastapi"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "main.py").write_text("app = None\n")
    (folder / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"\xa7\r\r\n")
    monkeypatch.setattr("shimmy.cli.init._PROJECTS", tmp_path)
    assert set(texts("fastapi")) == {"main.py"}


def test_a_name_of_ones_own(run: Run, tmp_path: Path) -> None:
    assert run("init", "-t", "docker", "-o", tmp_path / "x", "-n", "other").exit_code == 0
    assert 'name: "other"' in (tmp_path / "x" / "compose.yaml").read_text()


@pytest.mark.parametrize("name", ["", "Upper", "a b", "-a", "a-", "a/b", "../a", "x" * 64, "a\n", "2024", "1a"])
def test_bad_names(run: Run, tmp_path: Path, name: str) -> None:
    result = run("init", "-t", "docker", "-o", tmp_path / "x", "-n", name)
    if name == "":
        assert result.exit_code == 0  # as if it was not given
        return
    assert result.exit_code == 1
    assert "is no name for a project" in result.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("folder", "name"), [("2024", "shimmy"), ("2024 Q3", "q3"), ("x" * 62 + "-y", "x" * 62)])
def test_the_name_of_a_folder(run: Run, tmp_path: Path, folder: str, name: str) -> None:
    assert run("init", "-t", "docker", "-o", tmp_path / folder).exit_code == 0
    assert yaml.safe_load((tmp_path / folder / "compose.yaml").read_text())["name"] == name


@pytest.mark.parametrize("name", ["null", "true", "no", "on", "e1"])
def test_every_name_is_a_text(name: str) -> None:
    compose = yaml.safe_load(project_files(Template.docker, name)[Path("compose.yaml")])
    assert (compose["name"], compose["services"]["shimmy"]["image"]) == (name, name)
    text = project_files(Template.kubernetes, name)[Path("shimmy.yaml")]
    for one in yaml.safe_load_all(text):
        assert one["metadata"]["name"].startswith(name)
        assert one["metadata"]["labels"] == {"app": name}


@pytest.mark.parametrize("template", ["docker", "kubernetes", "railway", "fly"])
def test_copied_models_have_to_be_looked_for(template: str) -> None:
    assert "/api/models/discover" in texts(template)["README.md"]


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("mine")
    result = run("init", "-t", "docker", "-o", tmp_path)
    assert result.exit_code == 1
    assert "has compose.yaml already, so nothing was written" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["compose.yaml"]
    assert (tmp_path / "compose.yaml").read_text() == "mine"


def test_a_folder_that_is_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("init", "-t", "docker", "-o", tmp_path / "file")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_template(run: Run) -> None:
    result = run("init", "-t", "vercel")
    assert result.exit_code == 1
    assert "docker" in result.stderr
    assert run("init").exit_code == 1


@pytest.mark.parametrize("template", ["docker", "railway", "fly"])
def test_dockerfiles(template: str) -> None:
    lines = texts(template)["Dockerfile"].splitlines()
    assert f"ARG SHIMMY=shimmy-llm=={__version__}" in lines
    assert "`SHIMMY`" in texts(template)["README.md"]  # what to do as long as that is not released
    words = {line.split()[0] for line in lines if line and not line.startswith((" ", "#"))}
    assert words <= {"FROM", "RUN", "ARG", "COPY", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    copied = [line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert set(copied) <= set(texts(template))


def test_compose() -> None:
    service = yaml.safe_load(texts("docker")["compose.yaml"])["services"]["shimmy"]
    assert service["ports"] == ["127.0.0.1:11435:11435"]
    assert service["environment"]["SHIMMY_API_KEY"].startswith("${SHIMMY_API_KEY:?")


def test_kubernetes(tmp_path: Path) -> None:
    objects = {one["kind"]: one for one in yaml.safe_load_all(texts("kubernetes")["shimmy.yaml"])}
    assert set(objects) == {"PersistentVolumeClaim", "Deployment", "ConfigMap", "Service"}
    pod = objects["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"] == objects["Service"]["spec"]["selector"] == {"app": "my-app"}
    names = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/health"
    environment = {one["name"]: one.get("value") for one in container["env"]}
    check_settings(environment, objects["ConfigMap"]["data"]["config.toml"], tmp_path, "my-app")


def test_fly(tmp_path: Path) -> None:
    files = texts("fly")
    fly = tomllib.loads(files["fly.toml"])
    assert (fly["app"], fly["http_service"]["internal_port"]) == ("my-app", 11435)
    assert fly["http_service"]["checks"][0]["headers"] == {"Host": "my-app.fly.dev"}
    check_settings(fly["env"], files["config.toml"], tmp_path, "my-app.fly.dev")
    assert 'CMD ["sh", "/start.sh"]' in files["Dockerfile"].splitlines()
    start = tmp_path / "start.sh"
    start.write_text(files["start.sh"].replace("exec shimmy", "echo shimmy"))
    environment = {"PATH": "/usr/bin:/bin", "SHIMMY_API_KEY": "secret-key"}
    done = subprocess.run(["sh", start], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "shimmy serve\n"
    environment["SHIMMY_API_KEY"] = ""
    refused = subprocess.run(["sh", start], env=environment, capture_output=True, text=True, check=False)
    assert (refused.returncode != 0, "SHIMMY_API_KEY" in refused.stderr) == (True, True)


def check_settings(environment: dict[str, Any], config: str, folder: Path, host: str) -> None:
    """shimmy itself reads what the files say."""
    (folder / "config.toml").write_text(config)
    known = {name: value for name, value in environment.items() if value is not None}
    settings = load_settings(environ=known, config=folder / "config.toml")
    assert settings.bind == "0.0.0.0:11435"
    assert settings.log_format == "json"
    assert host in settings.allowed_hosts


def test_railway(tmp_path: Path) -> None:
    files = texts("railway")
    assert json.loads(files["railway.json"])["deploy"]["healthcheckPath"] == "/health"
    start = tmp_path / "start.sh"
    start.write_text(files["start.sh"].replace("exec shimmy", "echo shimmy"))
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PORT": "8080",
        "SHIMMY_API_KEY": "secret-key",
        "RAILWAY_PUBLIC_DOMAIN": "x.up.railway.app",
    }
    done = subprocess.run(["sh", start], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "shimmy serve --bind 0.0.0.0:8080\n"
    settings = load_settings(environ={}, config=tmp_path / ".config" / "shimmy" / "config.toml")
    assert settings.allowed_hosts == ("healthcheck.railway.app", "x.up.railway.app")
    del environment["SHIMMY_API_KEY"]
    assert subprocess.run(["sh", start], env=environment, capture_output=True, check=False).returncode != 0


def test_express(tmp_path: Path) -> None:
    package = json.loads(texts("express")["package.json"])
    assert set(package["dependencies"]) == {"express", "openai"}
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tmp_path / "server.mjs"
    script.write_text(texts("express")["server.js"])
    subprocess.run([node, "--check", script], check=True, timeout=60)
