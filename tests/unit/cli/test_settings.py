from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from shimmy.logs import configure_logging
from shimmy.settings import (
    Settings,
    SettingsError,
    _plain_kinds,
    bind_address,
    kv_cache_path,
    load_settings,
    split_paths,
    variables,
)


def load(
    config: str | Path = Path("none.toml"), environ: dict[str, str] | None = None, **arguments: object
) -> Settings:
    return load_settings(arguments, environ=environ or {}, config=Path(config))


def test_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "missing.toml") == Settings()


def test_arguments_beat_environment_beats_file(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('bind = "127.0.0.1:1"\nlog_level = "error"\nctx = 1024\nlog_format = "json"\n')
    environ = {"SHIMMY_BIND_ADDRESS": "127.0.0.1:2", "SHIMMY_LOG_LEVEL": "DEBUG"}
    settings = load(config, environ, bind="127.0.0.1:3", ctx=None)
    assert (settings.bind, settings.log_level, settings.ctx, settings.log_format) == (
        "127.0.0.1:3",
        "debug",
        1024,
        "json",
    )


def test_bind_auto_still_takes_the_environment() -> None:
    assert load(environ={"SHIMMY_BIND_ADDRESS": "127.0.0.1:2"}, bind="auto").bind == "127.0.0.1:2"


def test_every_variable() -> None:
    environ = {
        "SHIMMY_BASE_GGUF": "/m/base.gguf",
        "SHIMMY_LORA_GGUF": "/m/lora.gguf",
        "SHIMMY_MODEL_PATHS": f"/a;/b{os.pathsep}/c; ",
        "SHIMMY_LOG_FORMAT": "json",
        "SHIMMY_TUNE": "ON",
        "SHIMMY_UNRELATED": "x",
    }
    settings = load(environ=environ)
    assert settings.model_path == Path("/m/base.gguf")
    assert settings.lora == (Path("/m/lora.gguf"),)
    assert settings.model_dirs == (Path("/a"), Path("/b"), Path("/c"))
    assert (settings.log_format, settings.tune) == ("json", "on")


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("0", 0),
        ("1024", 1024),
        ("8GiB", 8 << 30),
        ("500 MB", 500_000_000),
        ("1.5k", 1536),
        ("2tib", 2 << 40),
        ("7B", 7),
    ],
)
def test_the_disk_of_the_cache_takes_units(text: str, n_bytes: int) -> None:
    assert load(environ={"SHIMMY_KV_CACHE_DISK": text}).kv_cache_disk == n_bytes


@pytest.mark.parametrize("text", ["much", "-1", "1 2", "8GiBs", "9999999TiB", "nan", "1e9"])
def test_a_bad_size_of_the_cache_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match="SHIMMY_KV_CACHE_DISK: kv_cache_disk"):
        load(environ={"SHIMMY_KV_CACHE_DISK": text})


def test_the_cache_lies_where_it_is_told(tmp_path: Path) -> None:
    assert kv_cache_path(load(environ={"SHIMMY_KV_CACHE_DIR": str(tmp_path)})) == tmp_path
    assert kv_cache_path(Settings()).name == "kv"


def test_how_models_stay(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('keep_alive = -1\nmemory_budget = 1024\nvram_budget = "2GB"\n')
    settings = load(config)
    assert settings.keep_alive_seconds == float("inf")
    assert (settings.memory_budget_bytes, settings.vram_budget_bytes) == (1024, 2 * 10**9)
    settings = load(config, {"SHIMMY_KEEP_ALIVE": "90s", "SHIMMY_MEMORY_BUDGET": "8GiB"}, memory_budget="1G")
    assert (settings.keep_alive_seconds, settings.memory_budget_bytes) == (90, 1 << 30)
    assert load(tmp_path / "none.toml").keep_alive_seconds == 300


EXAMPLES = {
    bool: ("1", True),
    int: ("2000", 2000),
    float: ("2.5", 2.5),
    str: ("something", "something"),
    Path: ("/some/where", Path("/some/where")),
}
SPECIAL = {
    "bind": ("127.0.0.1:1", "127.0.0.1:1"),
    "registry_url": ("http://example.com", "http://example.com"),
    "gpu_backend": ("CPU", "cpu"),
    "log_level": ("Debug", "debug"),
    "log_format": ("json", "json"),
    "devices": ("CUDA0, CUDA1,", ("CUDA0", "CUDA1")),
    "cors_origins": ("https://a.example", ("https://a.example",)),
    "allowed_hosts": ("a.example,b.example", ("a.example", "b.example")),
    "model_dirs": ("/a;/b", (Path("/a"), Path("/b"))),
    "main_gpu": ("1", 1),
    "split_mode": ("Layer", "layer"),
    "tensor_split": ("3, 1", (3.0, 1.0)),
    "gpu_layers": ("all", "all"),
    "n_cpu_moe": ("4", 4),
    "max_num_seqs": ("4", 4),
    "override_tensor": ("ffn_up=CPU", ("ffn_up=CPU",)),
    "cache_type_k": ("q8_0", "q8_0"),
    "cache_type_v": ("q8_0", "q8_0"),
    "flash_attn": ("on", "on"),
    "backend_sampling": ("off", "off"),
    "tune": ("off", "off"),
    "rpc": ("a:1,b:2", ("a:1", "b:2")),
    "keep_alive": ("90s", "90s"),
    "memory_budget": ("8GiB", "8GiB"),
    "vram_budget": ("8GiB", "8GiB"),
    "preload": ("2", 2),
    "kv_cache_disk": ("8GiB", 8 << 30),
}


@pytest.mark.parametrize("option", [name for name in Settings.__struct_fields__ if name != "lora"])
def test_every_option_has_a_variable(option: str) -> None:
    kinds = set(_plain_kinds(get_type_hints(Settings, include_extras=True)[option])) - {type(None)}
    text, value = SPECIAL[option] if option in SPECIAL else EXAMPLES[kinds.pop()]
    variable = f"SHIMMY_{option.upper()}"
    assert variables()[variable] == option
    settings = load(environ={variable: f" {text} "})
    assert (getattr(settings, option), type(getattr(settings, option))) == (value, type(value))
    assert getattr(load(environ={variable: ""}), option) == getattr(Settings(), option)


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("SHIMMY_CTX", "many", "SHIMMY_CTX: ctx: 'many' is not a whole number"),
        ("SHIMMY_CTX", "2", "SHIMMY_CTX: ctx: Expected `int` >= 16"),
        ("SHIMMY_READ_BODY_SECONDS", "nan", "SHIMMY_READ_BODY_SECONDS: read_body_seconds: "),
        ("SHIMMY_READ_BODY_SECONDS", "soon", "SHIMMY_READ_BODY_SECONDS: read_body_seconds: 'soon' is not a number"),
        ("SHIMMY_WATCH", "maybe", "SHIMMY_WATCH: watch: 'maybe' is neither true (1) nor false (0)"),
        ("SHIMMY_LOG_FORMAT", "xml", "SHIMMY_LOG_FORMAT: log_format: 'xml' is not one of text, json"),
        ("SHIMMY_API_KEY", "short", "SHIMMY_API_KEY: api_key: Expected `str` of length >= 8"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ={variable: text})
    assert words in caught.value.message


@pytest.mark.parametrize(("text", "value"), [("20", 20), ("auto", "auto")])
def test_layers_are_a_word_or_a_number(text: str, value: str | int) -> None:
    assert load(environ={"SHIMMY_GPU_LAYERS": text}).gpu_layers == value


def test_two_variables_for_one_option_must_agree() -> None:
    environ = {"SHIMMY_BIND": "127.0.0.1:1", "SHIMMY_BIND_ADDRESS": "127.0.0.1:1"}
    assert load(environ=environ).bind == "127.0.0.1:1"
    with pytest.raises(SettingsError, match="SHIMMY_BIND and SHIMMY_BIND_ADDRESS both set bind"):
        load(environ={**environ, "SHIMMY_BIND": "127.0.0.1:2"})


def test_paths_of_the_file_start_at_its_folder(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('model_path = "m.gguf"\nmodel_dirs = ["/abs", "rel"]\nlora = ["l.gguf"]\n')
    settings = load(config)
    assert settings.model_path == tmp_path / "m.gguf"
    assert settings.model_dirs == (Path("/abs"), tmp_path / "rel")
    assert settings.lora == (tmp_path / "l.gguf",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("contex = 1", "unknown key 'contex'; known keys: gpu_backend,"),
        ("ctx = 'many'", "ctx: Expected `int"),
        ("ctx = 1", "ctx: Expected `int` >= 16"),
        ("keep_alive = 'soon'", "keep_alive: keep_alive must be a number of seconds or a duration"),
        ("keep_alive = ''", "keep_alive: it is empty"),
        ("memory_budget = 'much'", "memory_budget: 'much' is no amount of memory"),
        ("vram_budget = -1", "vram_budget: -1 is no amount"),
        ("preload = -1", "preload: Expected `int` >= 0"),
        ("gpu_backend = 'tpu'", "'tpu' is not one of auto, cpu, cuda"),
        ("bind = 'here'", "bind address 'here'"),
        ("tune = 'always'", "tune: 'always' is not one of auto, on, off"),
        ("model_path = ''", "a path may not be empty"),
        ("= broken", "config.toml"),
        ("[server]\nbind = 'auto'", "unknown key 'server'"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(config)
    assert words in str(caught.value)
    assert str(config) in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        load(config)
    with pytest.raises(SettingsError, match="directory"):
        load(tmp_path)


def test_bad_variables_and_arguments_are_named() -> None:
    with pytest.raises(
        SettingsError, match="environment variable SHIMMY_LOG_LEVEL: log_level: 'loud' is not one of debug"
    ):
        load(environ={"SHIMMY_LOG_LEVEL": "loud"})
    with pytest.raises(SettingsError, match="argument: gpu_backend"):
        load(gpu_backend="tpu")


def test_lora_needs_a_model() -> None:
    with pytest.raises(SettingsError, match="SHIMMY_BASE_GGUF"):
        load(environ={"SHIMMY_LORA_GGUF": "l.gguf"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("auto", None),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_bind_addresses(text: str, address: tuple[str, int] | None) -> None:
    assert bind_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", ":80", "host:", "host:65536", "host:-1", "host:²", "::1:80", "host:80x"]
)
def test_bad_bind_addresses(text: str) -> None:
    with pytest.raises(SettingsError):
        bind_address(text)


def test_split_paths_expands_home() -> None:
    assert split_paths("~/m; /x ") == (Path.home() / "m", Path("/x"))


def test_settings_import_is_light() -> None:
    code = "import sys, shimmy.settings; print(' '.join(sys.modules))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    ).stdout.split()
    assert {"typer", "rich", "fastapi", "uvicorn", "numpy", "platformdirs"}.isdisjoint(modules)


@pytest.fixture
def root_logger() -> object:
    loggers = [logging.getLogger(name) for name in ("root", "uvicorn", "shimmy.llama")]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("root_logger")
class TestLogs:
    def test_json_records(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("info", "json")
        configure_logging("info", "json")
        logger = logging.getLogger("shimmy.test")
        try:
            raise ValueError("why")
        except ValueError:
            logger.exception("it %s", "broke", extra={"model": "m"})
        logger.debug("unseen")
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        record = json.loads(lines[0])
        assert (record["level"], record["logger"], record["message"], record["model"]) == (
            "error",
            "shimmy.test",
            "it broke",
            "m",
        )
        assert "ValueError: why" in record["error"]
        assert record["time"].endswith("Z")

    def test_text_records(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("warning", "text")
        logging.getLogger("shimmy.test").warning("hello")
        logging.getLogger("shimmy.test").info("unseen")
        assert capsys.readouterr().err.endswith("Z WARNING shimmy.test: hello\n")

    @pytest.mark.parametrize("name", ["uvicorn.access", "shimmy.llama"])
    def test_chatty_loggers_show_at_debug_only(self, name: str) -> None:
        configure_logging("info", "text")
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)
        configure_logging("debug", "text")
        assert logging.getLogger(name).isEnabledFor(logging.INFO)

    @pytest.mark.parametrize("name", ["httpx", "httpx2", "httpcore.http11"])
    def test_addresses_that_are_downloaded_from_never_show(self, name: str) -> None:
        configure_logging("debug", "text")
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)
