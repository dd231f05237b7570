"""Messages: what a judge model is asked, in every shape OpenAI's graders write them, with templates inside."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from graders.grade import GradingError
from graders.options import Options
from graders.sample import Item, Sample
from graders.template import Template, Variable, Wrap, nearest, parse, render_all, short

ROLES = ("user", "assistant", "system", "developer")


class _CacheBreakpoint(Options):
    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | None = None


class InputText(Options):
    """Text. `prompt_cache_breakpoint` is OpenAI's hint to its own cache, stored as given."""

    type: Literal["input_text"]
    text: Template
    prompt_cache_breakpoint: _CacheBreakpoint | None = None


class OutputText(Options):
    """Text that a model wrote."""

    type: Literal["output_text"]
    text: Template


def _no_file(given: Any) -> Any:
    if given is not None:
        raise ValueError("an image is given by its image_url here, not by a file of the service; leave file_id out")
    return given


class InputImage(Options):
    """An image, by its web address or as a `data:` URL."""

    type: Literal["input_image"]
    image_url: Template
    detail: Annotated[Literal["high", "low", "auto"], BeforeValidator(lambda given: given or "auto")] = "auto"
    file_id: Annotated[None, BeforeValidator(_no_file)] = None  # in OpenAI's examples, always null


class _Audio(Options):
    data: Template  # base64
    format: Literal["mp3", "wav"]


class InputAudio(Options):
    """A sound, as base64 text."""

    type: Literal["input_audio"]
    input_audio: _Audio


TEXT, LIST = "(a text)", "(a list)"  # tags that no `type` of a user's can be
_KINDS = ("input_text", "output_text", "input_image", "input_audio")


def _kind(given: Any) -> str:
    """Which of the shapes of content this is; a tag that is none of them is refused by `_known_kind`."""
    if isinstance(given, str):
        return TEXT
    if isinstance(given, list | tuple):
        return LIST
    return str(given.get("type") if isinstance(given, Mapping) else getattr(given, "type", None))


def _known_kind(given: Any) -> Any:
    kind = _kind(given)
    if kind not in (TEXT, LIST, *_KINDS):
        raise ValueError(
            f"content is a text, an object with a 'type', or a list of these, not {short(given)}; "
            f"{nearest(kind, _KINDS)}"
        )
    return given


def _known_part(given: Any) -> Any:
    if _kind(given) == LIST:
        raise ValueError(f"a list inside a list of content; write its elements in the outer one, not {short(given)}")
    return _known_kind(given)


Part = Annotated[
    Annotated[Template, Tag(TEXT)]
    | Annotated[InputText, Tag("input_text")]
    | Annotated[OutputText, Tag("output_text")]
    | Annotated[InputImage, Tag("input_image")]
    | Annotated[InputAudio, Tag("input_audio")],
    Discriminator(_kind),
    BeforeValidator(_known_part),
]
Content = Annotated[
    Annotated[Template, Tag(TEXT)]
    | Annotated[InputText, Tag("input_text")]
    | Annotated[OutputText, Tag("output_text")]
    | Annotated[InputImage, Tag("input_image")]
    | Annotated[InputAudio, Tag("input_audio")]
    | Annotated[list[Part], Tag(LIST), Field(min_length=1)],
    Discriminator(_kind),
    BeforeValidator(_known_kind),
]


class Message(Options):
    """One message to a judge: a role, and content as text, as one object or as a list of both."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    type: Literal["message"] = "message"

    @model_validator(mode="before")
    @classmethod
    def _is_message(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise ValueError(f'a message is {{"role": "user", "content": ...}}, not the text {short(given)}')
        if isinstance(given, Mapping) and given.get("type", "") is None:
            return {key: value for key, value in given.items() if key != "type"}  # written by the client's types
        return given

    def parts(self) -> Sequence[Any]:
        return self.content if isinstance(self.content, list) else [self.content]


def _is_list(given: Any) -> Any:
    if not isinstance(given, list | tuple):
        raise ValueError(
            f'a list of messages is expected, as in [{{"role": "user", "content": ...}}], not {short(given)}'
        )
    if not given:
        raise ValueError("no messages, so the judge would be asked nothing")
    return given


Messages = Annotated[list[Message], BeforeValidator(_is_list)]
"""The field `input` of graders that ask a model."""


def _texts(part: Any) -> Iterator[str]:
    """The templates of one part of a message, in the order `_filled` takes them."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, InputImage):
        yield part.image_url
    elif isinstance(part, InputAudio):
        yield part.input_audio.data
    else:
        yield part.text


def _filled(part: Any, text: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "input_text", "text": text}
    if isinstance(part, InputImage):
        return {"type": "input_image", "image_url": text, "detail": part.detail}
    if isinstance(part, InputAudio):
        return {"type": "input_audio", "input_audio": {"data": text, "format": part.input_audio.format}}
    return {"type": part.type, "text": text}


def rendered(messages: Sequence[Message], sample: Sample, item: Item, wrap: Wrap | None = None) -> list[dict[str, Any]]:
    """Messages with every variable put in: `{"role", "content"}`, content a text or a list of typed objects.

    `wrap` says what is put in for a variable of a text; images and sounds get their values as they are. Raises
    GradingError where a variable has no value, as `graders.template.render_all` does, and (`sample_parse_error`, the
    candidate's fault) where the sample's image or sound is none that can be sent.
    """
    parts = [part for message in messages for part in message.parts()]
    templates = [text for part in parts for text in _texts(part)]
    wraps = None if wrap is None else [None if isinstance(part, InputImage | InputAudio) else wrap for part in parts]
    filled = render_all(templates, sample, item, wraps)
    for part, template, text in zip(parts, templates, filled, strict=True):
        if isinstance(part, InputImage | InputAudio) and _of_the_sample(template):
            _check_media(part, text)
    texts = iter(filled)
    return [
        {"role": message.role, "content": next(texts)}
        if isinstance(message.content, str)
        else {"role": message.role, "content": [_filled(part, next(texts)) for part in message.parts()]}
        for message in messages
    ]


_ADDRESS = re.compile(r"https?://[^\s\x00-\x20\ud800-\udfff]+", re.IGNORECASE)
_IMAGE = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)


def _of_the_sample(template: str) -> bool:
    return any(isinstance(piece, Variable) and piece.namespace == "sample" for piece in parse(template))


def _check_media(part: InputImage | InputAudio, text: str) -> None:
    """Refuse what a candidate gave for an image or a sound and no service would take: the request would fail."""
    if isinstance(part, InputAudio):
        if not _is_base64(text):
            raise GradingError("sample_parse_error", f"the output's sound is no base64: {short(text)}", "candidate")
        return
    embedded = _IMAGE.match(text)
    if not (_is_base64(text[embedded.end() :]) if embedded else _ADDRESS.fullmatch(text)):
        detail = f"the output's image is neither an http address nor data:image/...;base64,...: {short(text)}"
        raise GradingError("sample_parse_error", detail, "candidate")


def _is_base64(text: str) -> bool:
    try:
        return bool(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def with_note(messages: list[dict[str, Any]], note: str) -> list[dict[str, Any]]:
    """The messages with one more paragraph for the judge: at the end of a leading system message, or as one."""
    first, *rest = messages
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": note}, *messages]
    if isinstance(first["content"], str):
        return [{**first, "content": f"{first['content']}\n\n{note}"}, *rest]
    return [{**first, "content": [*first["content"], {"type": "input_text", "text": note}]}, *rest]
