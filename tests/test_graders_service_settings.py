from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from graders.service import services as services_module
from graders.service.services import FILE_OF_JUDGES, Services, current, use
from graders.service.settings import OPENAI_URL, Price, Service, Settings, read_settings
from graders.testing.scripted_judge import Chaos, Request, ScriptedJudge, error, in_order, said, verdict


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", FILE_OF_JUDGES):
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, text: str) -> Path:
    file = folder / "judges.yaml"
    file.write_text(text)
    return file


def test_a_file_of_judges_says_who_answers_for_whom_and_at_what_price(tmp_path: Path) -> None:
    settings = read_settings(
        written(
            tmp_path,
            """
            services:
              local: {base_url: http://127.0.0.1:8080/v1/, structured_output: json_object, concurrency: 4}
            models:
              gpt-4o: {service: local, model: qwen3-8b}
              "*": {service: openai}
            prices:
              qwen3-8b: {input: 1, output: 2, cached_input: 0.5}
            """,
        )
    )
    route = settings.route("gpt-4o")
    assert (route.name, route.model, route.service.address) == ("local", "qwen3-8b", "http://127.0.0.1:8080/v1")
    assert settings.route("gpt-5").service.address == OPENAI_URL
    counts = {"prompt_tokens": 3_000_000, "cached_tokens": 1_000_000, "completion_tokens": 1_000_000}
    assert settings.prices["qwen3-8b"].of(counts) == 2 * 1 + 1 * 0.5 + 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: {", "not YAML"),
        ("a: &x 1\nb: *x", "aliases (*name) are not read"),
        ("[1, 2]", "is an object with services, models and prices, not [1, 2]"),
        ("prices: {}\nmodels: {}\nprices: {}", "the key 'prices' is written twice, the second time in line 3"),
        ('{"services": {"a": {}, "a": {}}}', "the key 'a' is written twice"),
        ("prices: {1: {input: 1, output: 1}, 0x1: {input: 1, output: 1}}", "is written twice"),
        ("services: {a: {api_key_env: ''}}", "this is not such a name"),
        ("service: {}", "did you mean 'services'?"),
        ("services: {a: {base_ulr: 'http://x'}}", "did you mean 'base_url'?"),
        ("services: {local: {}}\nmodels: {m: {service: locla}}", "models.m: no service 'locla'; did you mean 'local'?"),
        ("services: {a: {base_url: 'ftp://x'}}", "must begin with https:// or http://, not ftp"),
        ("services: {a: {base_url: 'localhost:8080'}}", "must begin with https:// or http://"),
        ("services: {a: {base_url: 'http://'}}", "it needs a host"),
        ("services: {a: {base_url: 'http://x:99999'}}", "not a web address"),
        ("services: {a: {base_url: 'http://key@x/v1'}}", "a key does not belong into the address"),
        ("services: {a: {base_url: 'http://x/v1?key=1'}}", "without ? and #"),
        ("services: {a: {base_url: 'http://jüdge.example/v1'}}", "must be written in ASCII"),
        ("services: {a: {structured_output: yaml}}", "structured_output"),
        ("services: {a: {client: curl}}", "client"),
        ("services: {a: {concurrency: 0}}", "concurrency"),
        ("services: {a: {timeout: -1}}", "timeout"),
        ("services: {a: {retries: 1.5}}", "retries"),
        ("services: {a: {requests_per_minute: 0}}", "requests_per_minute"),
        ("prices: {m: {input: 1}}", "output"),
        ("prices: {m: {input: -1, output: 1}}", "prices.m.input"),
        ("prices: {m: {input: .nan, output: 1}}", "prices.m.input"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place_and_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"judges\.yaml: ") as caught:
        read_settings(written(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_is_one_without_settings(tmp_path: Path, text: str) -> None:
    assert read_settings(written(tmp_path, text)) == Settings()


@pytest.mark.parametrize(
    "key", ["sk-proj-0123456789", "0123456789abcdef", "hf_abcdefghijklmnop", "planted key", "A=planted"]
)
def test_a_key_in_the_place_of_its_variable_is_refused_without_being_shown(tmp_path: Path, key: str) -> None:
    wire = {"services": {"a": {"api_key_env": key}}}
    with pytest.raises(ValueError, match="names the environment variable that holds the key; this is not") as caught:
        read_settings(written(tmp_path, json.dumps(wire)))
    assert key not in str(caught.value)
    with pytest.raises(ValueError, match="this is not such a name") as caught:
        Settings.model_validate(wire)
    assert key not in str(caught.value)
    with pytest.raises(ValueError, match="this is not such a name") as caught:
        Service(api_key_env=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("model", ["gpt-4o", "qwen3:8b", "@cf/meta/llama", "- x: #y", 'a "quoted" one'])
def test_what_to_write_for_a_price_that_is_missing_can_be_pasted(model: str) -> None:
    with pytest.raises(ValueError, match="write prices: ") as caught:
        Services(Settings(), budget=1.0)._bound(model, 5)
    line = str(caught.value).partition("write ")[2].partition(" (dollars")[0].replace("...", "1")
    assert Settings.model_validate(yaml.safe_load(line)).prices == {model: Price(input=1, output=1)}


def test_a_file_that_is_none_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file of judges .*none\.yaml"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "judges.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not YAML"):
        read_settings(tmp_path / "judges.yaml")


def test_without_a_file_openai_is_asked_or_who_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    with pytest.raises(ValueError, match=f"model 'gpt-4o': no key for {OPENAI_URL}: .*OPENAI_API_KEY is not set"):
        settings.check_ready("gpt-4o")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/")
    settings.check_ready("gpt-4o")  # a server of one's own may do without a key
    assert settings.route("gpt-4o").service.address == "http://127.0.0.1:8080/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "127.0.0.1:8080")
    with pytest.raises(ValueError, match=r"model .gpt-4o.: .*must begin with https:// or http://"):
        settings.check_ready("gpt-4o")


def test_a_service_with_an_address_of_its_own_needs_the_key_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(base_url="http://127.0.0.1:1/v1", api_key_env="MY_KEY")
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ValueError, match="the environment variable MY_KEY is not set"):
        _ = service.key
    monkeypatch.setenv("MY_KEY", " abc\n")
    assert service.key == "abc"
    monkeypatch.setenv("MY_KEY", "abc\ndef-secret")
    with pytest.raises(ValueError, match="the key in MY_KEY holds characters") as caught:
        _ = service.key
    assert "secret" not in str(caught.value)


def test_the_file_that_the_environment_names_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_module, "_current", None)
    monkeypatch.setenv(FILE_OF_JUDGES, str(written(tmp_path, "prices: {m: {input: 1, output: 2}}")))
    assert current().settings.prices == {"m": Price(input=1, output=2)}
    assert current() is current()
    with use(Services(Settings())) as other:
        assert current() is other
    assert current() is not other


# The scripted judge


def posted(url: str, body: Any) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, problem.read()


def test_a_scripted_judge_answers_as_it_is_told_and_remembers() -> None:
    with ScriptedJudge(in_order(verdict(4), error(429, "slow down", Retry_After="1"), said("last"))) as judge:
        ends = [posted(judge.url, {"n": 1}) for _ in range(4)]
    assert [status for status, _ in ends] == [200, 429, 200, 200]
    completion = json.loads(ends[0][1])
    assert json.loads(completion["choices"][0]["message"]["content"])["result"] == 4
    assert completion["usage"]["total_tokens"] == 120
    assert json.loads(ends[1][1])["error"]["message"] == "slow down"
    assert [request.time for request in judge.requests] == [1, 2, 3, 4]
    assert judge.requests[0].body == {"n": 1}
    assert judge.requests[0].path == "/v1/chat/completions"


def test_one_that_is_not_to_remember_keeps_nothing() -> None:
    with ScriptedJudge(lambda _: said("x"), remember=False) as judge:
        posted(judge.url, {})
    assert judge.requests == []


def test_a_script_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no reactions"):
        in_order()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_chaos_meets_its_share_of_requests_and_the_same_ones_again(share: float) -> None:
    calm = said("calm")
    chaos = Chaos(lambda _: calm, share)
    requests = [Request("/", {}, str(n).encode()) for n in range(2000)]
    met = [chaos(request) != calm for request in requests]
    assert sum(met) / 2000 == pytest.approx(share, abs=0.04)
    assert met == [chaos(request) != calm for request in requests]
    other = Chaos(lambda _: calm, share, seed=1)
    assert share != 0.3 or met != [other(request) != calm for request in requests]
