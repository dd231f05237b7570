"""Items: the rows a run trains and validates on, checked before anything is spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graders.composite import Composite
from graders.grader import Grader
from graders.model.group import Group
from graders.rows import read_rows
from graders.sample import Sample
from graders.template import short
from graders.variables import missing_variables
from rft_loop.model.policy import Policy, written

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a data file with the place of each, for messages."""

    rows: list[dict[str, Any]]
    places: list[str]

    def __len__(self) -> int:
        return len(self.rows)


def read_items(path: Path, last_role: str = "user") -> Rows:
    """Rows in OpenAI's format: `messages`, the last one by `last_role`, and any further keys.

    Raises ValueError naming file, line and what was expected.
    """
    rows, places = [], []
    for place, row in read_rows(path):
        if "messages" not in row:
            raise ValueError(f"{place}: {_no_messages(row)}")
        _check_messages(place, row["messages"], last_role)
        rows.append(row)
        places.append(place)
    if not rows:
        raise ValueError(f"{path}: no rows")
    return Rows(rows, places)


def _no_messages(row: Mapping[str, Any]) -> str:
    prompt = row.get("prompt")
    if isinstance(prompt, list):
        return "no 'messages'; rename 'prompt' to 'messages'"
    if prompt is not None:
        return "no 'messages'; rename 'prompt': messages: [{role: user, content: ...}]"
    held = ", ".join(list(row)[:20]) or "nothing"
    return f"no 'messages' (it has: {held}); a row has messages: [{{role: user, content: ...}}]"


def _check_messages(place: str, messages: Any, last_role: str) -> None:
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"{place}: 'messages' must be a list of {{role, content}}, not {short(messages)}")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError(f"{place}: a message is {{role, content}} with text as content, not {short(message)}")
        if any("\ud800" <= character <= "\udfff" for character in message["content"]):
            raise ValueError(f"{place}: a message holds half a surrogate pair, which is no text: {short(message)}")
        if message.get("role") not in ROLES:
            raise ValueError(f"{place}: role {message.get('role')!r} is none of {', '.join(ROLES)}")
    if messages[-1]["role"] != last_role:
        wanted = "the model answers it" if last_role == "user" else "it is the answer to learn"
        raise ValueError(
            f"{place}: the last message must be the {last_role}'s ({wanted}), not {messages[-1]['role']!r}"
        )


def check_gradable(grader: Grader, items: Rows) -> None:
    """Refuse rows that the grader could never decide: a missing reference, a name outside the list.

    Each row is graded once with an empty output, as a model may well give. Graders that wait on a network, or that
    compare the rollouts of an item, are not asked; of those only the templates are held against the rows.
    """
    if lacking := missing_variables(grader, items.rows):
        file = items.places[0].rpartition(":")[0]
        raise ValueError(f"{file}: grader {grader.label!r} cannot grade its rows: {'; '.join(map(str, lacking))}")
    if grader.waits or grader.judges_groups:
        return
    for place, row in zip(items.places, items.rows, strict=True):
        grade = grader(Sample(""), row)
        if grade.score is None:
            raise ValueError(
                f"{place}: grader {grader.label!r} cannot grade this row: {grade.why} (asked with an empty output: "
                "mend the row, or let the grader answer to an empty output too)"
            )


def check_group_size(grader: Grader, group_size: int) -> None:
    """Refuse a grader, or a part of one, that compares fewer outputs than an item has rollouts."""
    if isinstance(grader, Group) and grader.max_size < group_size:
        raise ValueError(
            f"{grader.label!r} compares at most max_size={grader.max_size} outputs, and group_size is {group_size}; "
            "raise max_size, or lower group_size"
        )
    for part in grader.members.values() if isinstance(grader, Composite) else ():
        check_group_size(part, group_size)


def prompts_of(
    policy: Policy, items: Rows, max_new_tokens: int, max_prompt_tokens: int | None = None
) -> list[list[int]]:
    """Token ids of every row's prompt.

    Refuses one that the model's chat template does not take whole, or too long for the recipe or the model's context.
    """
    context = context_of(policy)
    check_written_whole(policy, items)
    prompts = [_prompt(policy, place, row) for place, row in zip(items.places, items.rows, strict=True)]
    for place, prompt in zip(items.places, prompts, strict=True):
        if max_prompt_tokens is not None and len(prompt) > max_prompt_tokens:
            raise ValueError(f"{place}: the prompt has {len(prompt)} tokens; max_prompt_tokens is {max_prompt_tokens}")
        if len(prompt) + max_new_tokens > context:
            raise ValueError(
                f"{place}: {len(prompt)} prompt tokens and max_new_tokens={max_new_tokens} "
                f"exceed the model's context of {context}; lower max_new_tokens or shorten the prompt"
            )
    return prompts


def _prompt(policy: Policy, place: str, row: dict[str, Any]) -> list[int]:
    try:
        return policy.prompt_ids(row["messages"])
    except ValueError as problem:
        raise ValueError(f"{place}: {problem}") from None


def check_written_whole(policy: Policy, items: Rows) -> None:
    """Refuse rows of which the chat template leaves a message out, as some do with a system message.

    Each order of roles is tried once, with a mark in the place of each message.
    """
    if policy.tokenizer.chat_template is None:
        return
    orders: set[tuple[str, ...]] = set()
    for place, row in zip(items.places, items.rows, strict=True):
        order = tuple(message["role"] for message in row["messages"])
        if order in orders:
            continue
        orders.add(order)
        marked = [{**message, "content": f"mark-{i}-"} for i, message in enumerate(row["messages"])]
        try:
            text = written(policy.tokenizer, marked)
        except ValueError as problem:
            raise ValueError(f"{place}: {problem}") from None
        for role, message in zip(order, marked, strict=True):
            if role != "assistant" and message["content"] not in text:
                raise ValueError(
                    f"{place}: the model's chat template leaves the {role} message out, without a word; "
                    f"put its text at the head of the user's message"
                )


def context_of(policy: Policy) -> int:
    """The most tokens the model can attend to, prompt and answer together."""
    return getattr(policy.model.config, "max_position_embeddings", None) or 10**9
