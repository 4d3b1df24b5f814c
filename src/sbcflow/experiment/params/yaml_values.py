"""Values of YAML files: read as DVC reads them (YAML 1.2), written as YAML 1.1 and 1.2 both read them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

NO_WRAP = 2**31 - 1
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# Plain words that YAML 1.1 or 1.2 reads as something else than a string.
NOT_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
# A hash with a letter that no number holds.
HASH = re.compile(r"(?=.*[acdf])[0-9a-f]+(\.dir)?")
# The form of a scalar in YAML 1.2, and the characters it starts with.
YAML_1_2 = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?[0-9_]+|[-+]?0x[0-9a-fA-F_]+", "-+0123456789"),
    "float": (
        r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
}
_C_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_C_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Loader(_C_LOADER):  # type: ignore[misc]
    """PyYAML's C parser with the scalars of YAML 1.2: 1e-3 is a number, ``no`` a word."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        digits = str(node.value).replace("_", "")
        based = digits.lstrip("+-")[:2] in ("0b", "0o", "0x")
        return int(digits, 0 if based else 10)


class Dumper(_C_DUMPER):  # type: ignore[misc]
    """PyYAML's C emitter; quotes what either YAML 1.1 or 1.2 would read as no string. Makes no aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _speak_yaml_1_2() -> None:
    """Give both the scalars of YAML 1.2; the loader loses those of 1.1, and ``=``, which it cannot make."""
    replaced = {f"tag:yaml.org,2002:{name}" for name in (*YAML_1_2, "value")}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if tag not in replaced]
        for first, forms in _C_LOADER.yaml_implicit_resolvers.items()
    }
    for name, (form, first) in YAML_1_2.items():
        for speaker in (Loader, Dumper):
            speaker.add_implicit_resolver(
                f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{form})$"), list(first)
            )
    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)


_speak_yaml_1_2()


def load_yaml(text: bytes) -> Any:  # noqa: ANN401
    """Read YAML as DVC does.

    Raises:
        ValueError: the text is not UTF-8, not YAML, or holds what plain YAML cannot.
    """
    try:
        return yaml.load(text.decode("utf-8"), Loader=Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None


def dump_yaml(values: Mapping[str, Any]) -> bytes:
    """Write a mapping as YAML in the form of DVC's own files, keys in their order."""
    return "".join(f"{line}\n" for line in _lines(values)).encode("utf-8")


def _lines(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the lines of a collection that is not empty; PyYAML's own writer takes ten times as long."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not _is_block(item):
                yield f"{_scalar(key)}: {_scalar(item)}"
                continue
            yield f"{_scalar(key)}:"
            yield from (f"{'' if isinstance(item, list) else '  '}{line}" for line in _lines(item))
    else:
        for item in value:
            first, *rest = _lines(item) if _is_block(item) else [_scalar(item)]
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _is_block(value: object) -> bool:
    return isinstance(value, Mapping | list) and bool(value)


def _scalar(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        return token(value)
    return value if HASH.fullmatch(value) else _string(value)


@lru_cache(maxsize=1024)
def _string(value: str) -> str:
    """Return a string as PyYAML writes it, on one line; commands and paths come again and again."""
    if not value.isprintable():
        return json.dumps(value)
    text = yaml.dump(value, Dumper=Dumper, allow_unicode=True, width=NO_WRAP)
    return str(text).removesuffix("\n").removesuffix("\n...")


def same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Say whether two YAML values are equal, types too: 1, 1.0 and true differ, nan equals nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def unshared(value: Any) -> Any:  # noqa: ANN401
    """Return a copy that shares no list or mapping with the original, nor, as aliases do, within itself."""
    if isinstance(value, dict):
        return {key: unshared(item) for key, item in value.items()}
    return [unshared(item) for item in value] if isinstance(value, list) else value


def token(value: Any, quote: str = "") -> str:  # noqa: ANN401
    """Write a value on one line; a string in the quotes given, or in those it needs."""
    if isinstance(value, str):
        return _string_token(value, quote)
    if isinstance(value, list):
        return f"[{', '.join(map(token, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{token(key)}: {token(item)}' for key, item in value.items())}}}"
    if isinstance(value, float):
        return float_token(value)
    return json.dumps(value) if value is None or isinstance(value, int) else str(value)


def _string_token(value: str, quote: str) -> str:
    if quote == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if not quote and WORD.fullmatch(value) and value.lower() not in NOT_WORDS:
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def float_token(value: float) -> str:
    """Write a number so that YAML 1.1, which takes 1e-05 for a word, reads it too."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    mantissa, mark, exponent = repr(value).partition("e")
    return f"{mantissa}{'.0' if mark and '.' not in mantissa else ''}{mark}{exponent}"
