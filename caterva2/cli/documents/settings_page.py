"""The man page ``caterva2.toml(5)``: from the sample of all settings, and the limits' own words."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator

from caterva2 import config
from caterva2.cli.documents import samples
from caterva2.limits import DEFAULTS, Limits

PAGE = "caterva2.toml"
_ABOUT = {
    "broker": "Of cat2bro.",
    "publisher": "Of cat2pub. With --id ID the settings in [publisher.ID] go over these.",
    "subscriber": "Of cat2sub. With --id ID the settings in [subscriber.ID] go over these.",
    "client": "Of cat2cli and of caterva2 open. CATERVA2_URL, CATERVA2_USERNAME, CATERVA2_PASSWORD "
    "and CATERVA2_TOKEN of the environment are used where these are empty.",
}
_BEGIN = """\
.TH CATERVA2.TOML "5" "{date}" "{version}" "Caterva2"
.SH NAME
caterva2.toml \\- settings of the commands of Caterva2
.SH DESCRIPTION
All commands look for
.I caterva2.toml
in the current directory, or read the file that
.B \\-\\-conf
names. The command line goes over the file, and the file over the defaults, which are shown here.
The file is TOML. An unknown section, an unknown setting, a value of another type and settings that
contradict each other are refused with exit code 2.
.PP
Sizes are texts such as "500MB" (powers of 1000) or "2GiB" (powers of 1024).
.B caterva2 settings
prints a file with all settings.
"""


def page(date: str, version: str) -> str:
    """Return the page, in roff."""
    shown = list(samples.settings(samples.sample()))
    lines = [_BEGIN.format(date=date, version=version).rstrip()]
    for section in config.SECTIONS:
        lines += [f".SH [{section.upper()}]", escaped(_ABOUT[section])]
        for each in shown:
            if each.section == section:
                default = each.value if each.is_default else f"{each.value}, an example"
                lines += _entry(each.name, default, each.text)
    lines += [".SH [LIMITS]", escaped("Limits of the work that a process takes on, in groups.")]
    for field in dataclasses.fields(Limits):
        kind = type(getattr(DEFAULTS, field.name))
        about = inspect.getdoc(kind) or ""
        lines += [f".SS [limits.{field.name}]", escaped(about.partition("\n")[0])]
        texts = dict(described(kind))
        for each in shown:
            if each.section == f"limits.{field.name}":
                lines += _entry(each.name, each.value, texts.get(each.name, ""))
    return "\n".join(lines) + "\n"


def described(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the fields of a class with the texts that stand below them."""
    (made,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(made, ast.ClassDef)
    for field, text in zip(made.body, made.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(text.value.value).split())


def escaped(text: str) -> str:
    """Return a text in which nothing means anything to roff."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{plain}" if plain.startswith(".") else plain


def _entry(name: str, default: str, text: str) -> list[str]:
    plain = text.replace("`", "").replace("**", "")
    return [".TP", f"\\fB{escaped(name)}\\fR = {escaped(default)}", escaped(plain) or "\\&"]
